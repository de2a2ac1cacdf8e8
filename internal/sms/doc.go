// Package sms turns events into text messages: templates, the ledger of what was sent, providers, and the worker
// between them.
//
// An event whose type has an enabled template, and whose order has a telephone number, becomes one row of sms_messages
// and one job (Service.Enlist, in the relay's transaction). The job's worker writes the text, marks the row "sending" in
// a transaction of its own, asks the provider outside any transaction, and writes down what the provider answered.
//
// A message costs money and disturbs a person, so it is never sent twice by guesswork. What certainly never reached the
// gateway, or was refused for now, is tried again. Where nobody can tell (the answer was lost, the process died in
// between) the message becomes "unknown" and waits for a person, unless its template says that a repeat does no harm.
package sms
