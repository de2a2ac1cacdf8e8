package gateways

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	stripesdk "github.com/stripe/stripe-go/v85"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// stripe is Stripe, with Checkout: the buyer pays on a page of theirs. What counts is the PaymentIntent behind it.
type stripe struct {
	shop

	now      func() time.Time
	accounts accounts[*stripeAccount]
}

type stripeAccount struct {
	Account

	secrets []string // of webhook endpoints; all verify
	api     *stripesdk.Client
}

// Name is the channel's.
func (s *stripe) Name() string { return s.name }

// Account is the first that takes the attempt's currency.
func (s *stripe) Account(attempt payments.Attempt) (string, error) {
	return s.accounts.choose(s.name, attempt)
}

// Acknowledge answers 200 {"received":true}.
func (s *stripe) Acknowledge() payments.Answer {
	return payments.Answer{Status: http.StatusOK, ContentType: "application/json", Body: `{"received":true}`}
}

const (
	stripeTolerance = 300 * time.Second
	stripePaid      = "payment_intent.succeeded"
	// stripePaymentID is the metadata that carries our id.
	stripePaymentID = "payment_id"
)

type stripeEvent struct {
	ID      string     `json:"id"`
	Object  string     `json:"object"`
	Type    string     `json:"type"`
	Account string     `json:"account"` // a connected account: somebody else's money
	Created int64      `json:"created"`
	Data    stripeData `json:"data"`
}

type stripeData struct {
	Object stripeObject `json:"object"`
}

type stripeObject struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	Status         string            `json:"status"`
	AmountReceived int64             `json:"amount_received"`
	Currency       string            `json:"currency"`
	Metadata       map[string]string `json:"metadata"`
}

// Verify tries the header with the secrets of each account. Every type but payment_intent.succeeded is recorded without
// effect: the endpoint should be subscribed to that one.
func (s *stripe) Verify(_ context.Context, callback payments.Callback) (payments.Notice, error) {
	account, err := s.signer(callback.Header.Get("Stripe-Signature"), callback.Body)
	if err != nil {
		return payments.Notice{}, err
	}
	// Not by the library's type: encoding/json lets a name stand twice.
	var event stripeEvent
	if err := decode(callback.Body, &event); err != nil {
		return payments.Notice{}, malformed("json")
	}
	switch {
	case event.Object != "event" || !gatewayID.MatchString(event.ID):
		return payments.Notice{}, malformed("id")
	case event.Account != "":
		return payments.Notice{}, foreign()
	case event.Created < 946_684_800 || event.Created > 253_402_300_799: // the years 2000 to 9999
		return payments.Notice{}, malformed("created")
	}
	object := event.Data.Object
	notice := payments.Notice{
		EventID: event.ID, Type: ownType("stripe", event.Type), Account: account.Name,
		OccurredAt: time.Unix(event.Created, 0).UTC(), Body: stripeKept(event),
	}
	id, ours := object.Metadata[stripePaymentID]
	notice.PaymentID, _ = uuid.Parse(id)   // uuid.Nil when it is none
	if event.Type != stripePaid || !ours { // an endpoint hears of all that its account sells, elsewhere too
		return notice, nil
	}
	if object.Object != "payment_intent" || object.Status != "succeeded" {
		return payments.Notice{}, malformed("data.object.status")
	}
	err = stripeFill(&notice, object.ID, object.AmountReceived, object.Currency)
	return notice, err
}

// stripeKept is what the inbox keeps of an event: what was read of it. The whole may have the buyer's name, address and
// telephone number.
func stripeKept(event stripeEvent) []byte {
	id, ours := event.Data.Object.Metadata[stripePaymentID]
	event.Data.Object.Metadata = nil
	if ours {
		event.Data.Object.Metadata = map[string]string{stripePaymentID: id}
	}
	kept, err := json.Marshal(event)
	if err != nil {
		return nil // texts and numbers, which were JSON a moment ago
	}
	return kept
}

var stripeCurrency = regexp.MustCompile(`^[a-z]{3}$`)

// stripeFill adds what a paid intent says.
func stripeFill(notice *payments.Notice, intent string, received int64, currency string) error {
	switch {
	case !gatewayID.MatchString(intent):
		return malformed("data.object.id")
	case received < 0:
		return malformed("data.object.amount_received")
	case !stripeCurrency.MatchString(currency):
		return malformed("data.object.currency")
	}
	notice.Type, notice.Reference = payments.TypeSucceeded, intent
	notice.Amount = money.Money{Amount: received, Currency: strings.ToUpper(currency)}
	return nil
}

// signer is the account one of whose secrets signed.
func (s *stripe) signer(header string, body []byte) (*stripeAccount, error) {
	if header == "" {
		return nil, unsigned()
	}
	for _, account := range s.accounts {
		for _, secret := range account.secrets {
			switch err := webhook.ValidatePayloadWithTolerance(body, header, secret, stripeTolerance); {
			case err == nil:
				return account, nil
			case errors.Is(err, webhook.ErrTooOld): // looked at before the signature: no other secret will do
				return nil, stale()
			}
		}
	}
	return nil, forged()
}
