// Package risk holds orders that look like fraud (风控): by rules of the shop's own, and by an external scorer.
//
// Rules that refuse are asked when an order is placed, within its transaction but in memory: what they have to know of the
// buyer's earlier orders is read before it. Everything is asked when an order is paid, before anything is delivered: the relay
// turns order.paid into a job assess_order, which reads what the rules need, asks the scorer, and then in one
// transaction writes the order's row in risk_assessments and either the delivery's job or the hold.
// docs/decisions/0015 says why.
//
// Without rules and without a scorer none of this happens, and none of it costs anything.
package risk
