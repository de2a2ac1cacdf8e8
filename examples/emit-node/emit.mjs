// Sends an invoice: a row in its own table and an event for vendbox's subscribers, in one transaction.
//
//   DATABASE_URL=postgres://… node emit.mjs INV-1001 5000
import pg from "pg";

const [number, total] = process.argv.slice(2);
if (!number || !/^\d+$/.test(total ?? "")) {
  console.error("usage: node emit.mjs NUMBER TOTAL");
  process.exit(2);
}

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
try {
  await client.query(`create table if not exists invoices (
    number text primary key, total bigint not null, sent_at timestamptz not null default now())`);
  await client.query("begin");
  console.log(await sendInvoice(number, Number(total)));
  await client.query("commit");
} catch (error) {
  console.error("emit-node:", error.message);
  process.exitCode = 1; // the end of the connection rolls back
} finally {
  await client.end();
}

// What an application does: its own change, and the event that tells of it.
async function sendInvoice(number, total) {
  await client.query("insert into invoices (number, total) values ($1, $2)", [number, total]);
  const { rows } = await client.query("select vendbox.emit('invoice.sent', 'invoice', $1, $2) as event_id", [
    number,
    { number, total },
  ]);
  return rows[0].event_id;
}
