// Package webhooks sends events to the HTTP endpoints that ask for them, by Standard Webhooks 1.0.0
// (https://www.standardwebhooks.com): endpoints and their secrets, matching, signing, delivery with retries, the log of
// attempts, and sending again.
//
// # What a subscriber may rely on
//
// Each (event, matching endpoint) is a row in webhook_deliveries, which ends as succeeded, exhausted or
// endpoint_disabled. A delivery may arrive more than once; all its repeats carry the same webhook-id and the same bytes,
// and a new webhook-timestamp and webhook-signature.
//
//	POST <url>
//	content-type: application/json
//	user-agent: vendbox/<version>
//	webhook-id: msg_<event id>
//	webhook-timestamp: <Unix seconds of this attempt>
//	webhook-signature: v1,<base64 HMAC-SHA256 over id.timestamp.body> …one for each secret that has not expired
//	traceparent: <in the trace of the request that caused the event>
//
//	{"type":"order.paid","timestamp":"2025-01-02T03:04:05.678901Z","data":{…}}
//
// Only a 2xx whose answer ends (or fills its bound) within the timeout is a success. Redirects are failures and never
// followed. 410 disables the endpoint. 429, 502 and 504 make all deliveries to the endpoint pause. Retry-After is
// honoured up to maxRetryAfter.
//
// # When it is tried again
//
// Before attempt n+1 a delivery waits for a random time between 0 and min(RetryBase × 6ⁿ⁻¹, RetryCap): full jitter. By
// default that is 8 attempts, the waits at most 10 s, 1 min, 6 min, 36 min, 3.6 h, 21.6 h and 28 h: 27 hours on
// average. After the last one the delivery is exhausted and its job fails, so that it stands among the failed jobs.
//
// # What keeps it from being used against us
//
// Addresses are checked when they are dialled, after the name is resolved, so neither rebinding nor a spelling of an
// address reaches our own network. No proxy of the environment is used, answers are read up to a bound, and an endpoint
// may hold only a part of the workers, so that a slow one does not stop the others.
package webhooks
