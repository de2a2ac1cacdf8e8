// Reads one JSON document a line: {"secret", "headers", "body"} with the body in base64. Answers each with a line:
// {"ok": true, "type": the body's type} or {"ok": false, "error": why not}.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  let answer;
  try {
    const verified = new Webhook(secret).verify(Buffer.from(body, "base64").toString("utf8"), headers);
    answer = { ok: true, type: verified.type };
  } catch (error) {
    answer = { ok: false, error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
