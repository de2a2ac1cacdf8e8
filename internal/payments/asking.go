package payments

import (
	"context"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
)

// Querier is a channel whose gateway can be asked what became of an attempt: before its order expires, and when a
// callback seems to be lost.
type Querier interface {
	// Query returns the notice that the gateway would have sent, verified, if the money is there; paid is false when it
	// is not. It goes over the network and is never called in a transaction. Its EventID is the same for the same
	// payment, and need not be the callback's: a payment is applied once under whatever ids it is told of.
	Query(ctx context.Context, attempt Attempt) (notice Notice, paid bool, err error)
}

// Refunder is a channel that can give money back by itself. Where it cannot, a person does it at the gateway.
type Refunder interface {
	// Refund asks the gateway to give back a part of what an attempt has paid. ID is the idempotency key: however often
	// the same refund is asked for, the money goes once. It goes over the network and is never called in a transaction.
	// The error is of not knowing: the outcome has to be found out by asking again with the same ID.
	Refund(ctx context.Context, refund Refund) (RefundAnswer, error)
}

// Refund is money to be given back.
type Refund struct {
	ID      uuid.UUID // the refund's own, and its idempotency key at the gateway
	Attempt Attempt   // what paid
	Amount  ordering.Money
	Reason  string
}

// RefundAnswer is what a gateway says of a refund.
type RefundAnswer struct {
	Status    RefundStatus
	Reference string // the gateway's id of it
	Reason    string // why it was refused, fit to be shown to an operator
}

// RefundStatus is where a refund stands at its gateway.
type RefundStatus string

// The statuses that a gateway may answer.
const (
	RefundSucceeded RefundStatus = "succeeded"
	RefundPending   RefundStatus = "pending" // taken over; ask again later
	RefundRefused   RefundStatus = "refused" // final: it will not be done
)
