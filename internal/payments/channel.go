// Package payments takes money in: attempts to pay, and the notices that payment channels send about them. A verified
// notice enters the inbox once, is compared with its attempt, and is applied to the order or recorded as an exception;
// none is dropped.
//
// # Accounts
//
// A shop may have several accounts (merchant ids) at one gateway, and changes them over time. An attempt is made for one,
// which is stored with it; a notice is verified with the credentials of one; and a notice counts for an attempt only if
// the two are the same. So whoever has the key of one account cannot pay for what another was to be paid for, and an
// account that is not used any more goes on to verify what was begun with it: notices come for a day, and later.
//
// Nothing is looked up before a notice is verified. What tells the account is in the notice, and proves nothing until the
// signature does:
//
//	Stripe         no more than the signature: Stripe-Signature is tried with the secret of each account
//	Alipay         app_id and seller_id of the form; RSA2 by that app's Alipay key
//	WeChat Pay v3  the header Wechatpay-Serial; the same account's APIv3 key opens the body, which then names the attempt
//	epay           pid of the query; MD5 with that merchant's key
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
	Account     string // which of the channel's accounts it is made for
	Amount      ordering.Money
	ExpiresAt   time.Time // the order's; a gateway should not take money after it
	Reference   string    // the gateway's id of it, as last heard; empty before Begin, and where none was told
}

// Instructions are what the buyer needs to pay: a channel's own fields (an address to open, a code to show).
type Instructions map[string]string

// MaxCallback is how many bytes a callback may have: what the inbox can hold.
const MaxCallback = 64 << 10

// Callback is a notice as it came over HTTP. Body is exactly what was sent: signatures are over bytes.
// Some gateways send it by GET: then there is only the query.
type Callback struct {
	Header http.Header
	Query  string // raw
	Body   []byte
}

// Notice is a callback that a channel has verified, in the one form the rest of the system knows.
type Notice struct {
	EventID    string    // the account's id of the notice; repeats have the same
	Type       string    // TypeSucceeded, or the channel's own name for what is only recorded
	Account    string    // whose credentials verified it
	PaymentID  uuid.UUID // uuid.Nil: it names none of ours
	Amount     ordering.Money
	OccurredAt time.Time
	Reference  string // the gateway's id of the payment, kept with the attempt; empty: none
	Body       []byte // as received, for the inbox; without the buyer's own data where a gateway sends that along

	confirmedBy *ordering.By // the person whose word it is (see Confirm); nil: the gateway's
}

// TypeSucceeded is the notice that the money is there. Every other type is recorded and has no effect.
const TypeSucceeded = "payment.succeeded"

// Answer is what a gateway expects to hear. Some repeat for a day what is not answered to the letter.
type Answer struct {
	Status      int
	ContentType string
	Body        string
}

// Channel is a payment gateway with all the accounts that the shop has there.
type Channel interface {
	// Name is the channel's name in the API and in the tables.
	Name() string
	// Account chooses the account that a new attempt, whole but for this, is made for: by its currency, say. It is
	// called for many at a time and does no I/O. Where no account will do, the error is a fault.
	Account(attempt Attempt) (string, error)
	// Begin starts an attempt at the gateway, for its account, and returns the gateway's id of it where there is one
	// already. It may go over the network and is never called in a transaction.
	Begin(ctx context.Context, attempt Attempt) (instructions Instructions, reference string, err error)
	// Verify checks a callback's signature, age and addressee and returns what it says, with the account whose
	// credentials proved it: any that new attempts are made for, or were. It may go over the network, to ask the gateway
	// whether it is true. Faults: callback_unsigned, callback_signature_invalid, callback_stale, callback_malformed, callback_foreign
	// (another merchant's or app's), callback_unconfirmed and payment_gateway_unavailable (where the gateway is asked).
	Verify(ctx context.Context, callback Callback) (Notice, error)
	// Acknowledge is the answer to a notice that is recorded, whatever its outcome.
	Acknowledge() Answer
}
