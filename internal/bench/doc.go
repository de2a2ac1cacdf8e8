// Package bench measures vendbox from the outside, over HTTP, on the machine it runs on.
//
// Orders compares placing orders with two other handlers behind the same door: one that runs a transaction per order,
// and one that touches no database. Pipeline measures what follows an order: how soon after its payment the card is
// there, and how many orders a second go all the way to the SMS and the webhook.
//
// No figure is reported without its check: after each measurement SQL has to find exactly what was acknowledged.
package bench
