// Package life holds the promises to an order's whole life, across the rooms: every step of the machine, random commands
// against a model, payments that race with expiry, queues that drain while orders come in. The rooms are real and so is
// Postgres; the clock and the gateway are the tests' own. Jobs are worked one by one where a test needs to know what
// comes after what.
//
// The long runs are asked for by the environment: VENDBOX_LIFE_STEPS (commands against the model), VENDBOX_LIFE_DRAIN
// (orders that expire at once).
package life
