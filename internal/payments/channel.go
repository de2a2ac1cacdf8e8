// Package payments takes money in: attempts to pay, and the notices that payment channels send about them. A verified
// notice enters the inbox once, is compared with its attempt, and is applied to the order or recorded as an exception;
// none is dropped.
package payments

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
)

// Attempt is one try of a buyer to pay an order through a channel.
type Attempt struct {
	ID          uuid.UUID
	OrderID     uuid.UUID
	OrderNumber string
	Account     string // which of the channel's accounts (merchant ids) it was made for
	Amount      ordering.Money
}

// Instructions are what the buyer needs to pay: a channel's own fields (an address to open, a code to show).
type Instructions map[string]string

// Callback is a notice as it came over HTTP. Body is exactly what was sent: signatures are over bytes.
type Callback struct {
	Header http.Header
	Query  string // raw
	Body   []byte
}

// Notice is a callback that a channel has verified, in the one form the rest of the system knows.
type Notice struct {
	EventID    string // the channel's id of the notice; repeats have the same
	Type       string // TypeSucceeded, or the channel's own name for what is only recorded
	PaymentID  uuid.UUID
	Amount     ordering.Money
	OccurredAt time.Time
	Body       []byte // as received, for the inbox
}

// TypeSucceeded is the notice that the money is there. Every other type is recorded and has no effect.
const TypeSucceeded = "payment.succeeded"

// Answer is what a gateway expects to hear. Some repeat for a day what is not answered to the letter.
type Answer struct {
	Status      int
	ContentType string
	Body        string
}

// Channel is a payment gateway.
type Channel interface {
	// Name is the channel's name in the API and in the tables.
	Name() string
	// Begin starts an attempt at the gateway. It may go over the network and is never called in a transaction.
	Begin(ctx context.Context, attempt Attempt) (Instructions, error)
	// Verify checks a callback's signature, age and addressee and returns what it says. accountOf finds the account an
	// attempt was made for, whose credentials count. Faults: callback_unsigned, callback_signature_invalid,
	// callback_stale, callback_malformed.
	Verify(ctx context.Context, callback Callback, accountOf func(context.Context, uuid.UUID) (string, error)) (Notice, error)
	// Acknowledge is the answer to a notice that is recorded, whatever its outcome.
	Acknowledge() Answer
}
