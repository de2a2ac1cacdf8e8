package gateways

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v85"

	"github.com/vendbox/vendbox/internal/payments"
)

// newStripeAPI is a client of one account. It repeats what a network broke: every write has an idempotency key.
func newStripeAPI(secretKey, baseURL string, far far) *stripesdk.Client {
	backends := stripesdk.NewBackendsWithConfig(&stripesdk.BackendConfig{
		URL: new(baseURL), HTTPClient: far.client, EnableTelemetry: new(false),
		LeveledLogger: &stripesdk.LeveledLogger{Level: stripesdk.LevelNull}, MaxNetworkRetries: new(int64(1)),
	})
	return stripesdk.NewClient(secretKey, stripesdk.WithBackends(backends))
}

// A Checkout Session cannot expire sooner, and is made a little later than it is asked for.
const (
	stripeShortestSession = 30*time.Minute + time.Minute
	stripeLongestSession  = 24*time.Hour - time.Minute
)

// Begin makes a Checkout Session and gives its address. The session may outlive the order, since Stripe lets none end
// sooner than in half an hour: money that comes then is late money.
func (s *stripe) Begin(ctx context.Context, attempt payments.Attempt) (payments.Instructions, string, error) {
	account, err := s.accounts.named(s.name, attempt.Account)
	if err != nil {
		return nil, "", err
	}
	lasts := min(max(attempt.ExpiresAt.Sub(s.now()), stripeShortestSession), stripeLongestSession)
	params := &stripesdk.CheckoutSessionCreateParams{
		Mode:              new("payment"),
		ClientReferenceID: new(attempt.ID.String()),
		ExpiresAt:         new(s.now().Add(lasts).Unix()),
		SuccessURL:        new(s.returnURLOf(attempt)),
		CancelURL:         new(s.returnURLOf(attempt)),
		// The amount must come in the order's currency.
		AdaptivePricing: &stripesdk.CheckoutSessionCreateAdaptivePricingParams{Enabled: new(false)},
		LineItems: []*stripesdk.CheckoutSessionCreateLineItemParams{{
			Quantity: new(int64(1)),
			PriceData: &stripesdk.CheckoutSessionCreateLineItemPriceDataParams{
				Currency: new(strings.ToLower(attempt.Amount.Currency)), UnitAmount: new(attempt.Amount.Amount),
				ProductData: &stripesdk.CheckoutSessionCreateLineItemPriceDataProductDataParams{
					Name: new(s.subjectOf(attempt)),
				},
			},
		}},
		// The session's metadata stays with the session: the intent, which the notice is about, gets its own.
		PaymentIntentData: &stripesdk.CheckoutSessionCreatePaymentIntentDataParams{
			Metadata: map[string]string{stripePaymentID: attempt.ID.String(), "order_number": attempt.OrderNumber},
		},
	}
	params.AddMetadata(stripePaymentID, attempt.ID.String())
	params.SetIdempotencyKey(attempt.ID.String())
	session, err := account.api.V1CheckoutSessions.Create(ctx, params)
	if err != nil {
		return nil, "", s.unavailable(stripeError(err))
	}
	if session.URL == "" || !gatewayID.MatchString(session.ID) {
		return nil, "", s.unavailable(errors.New("a session without an address"))
	}
	return payments.Instructions{"pay_url": session.URL}, session.ID, nil
}

// stripeError keeps what helps, and not the whole JSON.
func stripeError(err error) error {
	if answer, ok := errors.AsType[*stripesdk.Error](err); ok {
		return fmt.Errorf("HTTP %d %s %s %s", answer.HTTPStatusCode, answer.Type, answer.Code, answer.RequestID)
	}
	return withoutAddress(err)
}

// intent finds the PaymentIntent of an attempt; nil: there is none yet.
func (s *stripe) intent(ctx context.Context, api *stripesdk.Client, attempt payments.Attempt) (*stripesdk.PaymentIntent, error) {
	var intent *stripesdk.PaymentIntent
	var err error
	switch {
	case strings.HasPrefix(attempt.Reference, "pi_"):
		intent, err = api.V1PaymentIntents.Retrieve(ctx, attempt.Reference, &stripesdk.PaymentIntentRetrieveParams{})
	case attempt.Reference != "":
		params := &stripesdk.CheckoutSessionRetrieveParams{}
		params.AddExpand("payment_intent")
		var session *stripesdk.CheckoutSession
		if session, err = api.V1CheckoutSessions.Retrieve(ctx, attempt.Reference, params); err == nil {
			intent = session.PaymentIntent
			if session.ID != attempt.Reference {
				err = errors.New("an answer about something else")
			}
		}
	default: // Begin's answer was lost. The search lags behind by up to a minute.
		params := &stripesdk.PaymentIntentSearchParams{}
		params.Query = fmt.Sprintf("metadata['%s']:'%s' AND status:'succeeded'", stripePaymentID, attempt.ID)
		for found, failed := range api.V1PaymentIntents.Search(ctx, params).All(ctx) {
			intent, err = found, failed
			break
		}
	}
	if err != nil {
		return nil, s.unavailable(stripeError(err))
	}
	if intent != nil && intent.Metadata[stripePaymentID] != attempt.ID.String() {
		return nil, s.unavailable(errors.New("an answer about something else"))
	}
	return intent, nil
}

// Query asks for the attempt's PaymentIntent.
func (s *stripe) Query(ctx context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	account, err := s.accounts.named(s.name, attempt.Account)
	if err != nil {
		return payments.Notice{}, false, err
	}
	intent, err := s.intent(ctx, account.api, attempt)
	if err != nil || intent == nil || intent.Status != stripesdk.PaymentIntentStatusSucceeded {
		return payments.Notice{}, false, err
	}
	notice := payments.Notice{
		EventID: "query:" + intent.ID, Account: account.Name, PaymentID: attempt.ID, OccurredAt: s.now().UTC(),
	}
	notice.Body = stripeKept(stripeEvent{ID: notice.EventID, Object: "answer", Data: stripeData{Object: stripeObject{
		ID: intent.ID, Object: "payment_intent", Status: string(intent.Status), AmountReceived: intent.AmountReceived,
		Currency: string(intent.Currency), Metadata: intent.Metadata,
	}}})
	if err := stripeFill(&notice, intent.ID, intent.AmountReceived, string(intent.Currency)); err != nil {
		return payments.Notice{}, false, s.unavailable(err)
	}
	return notice, true, nil
}

// stripeRefundID is the metadata that carries our refund's id.
const stripeRefundID = "refund_id"

// Refund looks first whether it was done: Stripe forgets an idempotency key after a day, and money would go twice.
func (s *stripe) Refund(ctx context.Context, refund payments.Refund) (payments.RefundAnswer, error) {
	account, err := s.accounts.named(s.name, refund.Attempt.Account)
	if err != nil {
		return payments.RefundAnswer{}, err
	}
	intent, err := s.intent(ctx, account.api, refund.Attempt)
	if err != nil {
		return payments.RefundAnswer{}, err
	}
	if intent == nil {
		return payments.RefundAnswer{}, s.unavailable(errors.New("there is no payment to refund"))
	}
	list := &stripesdk.RefundListParams{PaymentIntent: new(intent.ID)}
	for earlier, err := range account.api.V1Refunds.List(ctx, list).All(ctx) {
		if err != nil {
			return payments.RefundAnswer{}, s.unavailable(stripeError(err))
		}
		if earlier.Metadata[stripeRefundID] == refund.ID.String() {
			return stripeRefunded(earlier), nil
		}
	}
	params := &stripesdk.RefundCreateParams{
		PaymentIntent: new(intent.ID), Amount: new(refund.Amount.Amount),
	}
	params.AddMetadata(stripeRefundID, refund.ID.String())
	params.SetIdempotencyKey(refund.ID.String())
	made, err := account.api.V1Refunds.Create(ctx, params)
	if answer, ok := errors.AsType[*stripesdk.Error](err); ok && stripeRefuses(answer) {
		return payments.RefundAnswer{Status: payments.RefundRefused, Reason: answer.Msg}, nil
	}
	if err != nil {
		return payments.RefundAnswer{}, s.unavailable(stripeError(err))
	}
	return stripeRefunded(made), nil
}

// stripeRefuses: it understood, and will not do it. What is about keys, limits or the same key at the same time says
// nothing about the money.
func stripeRefuses(answer *stripesdk.Error) bool {
	return answer.Type == stripesdk.ErrorTypeInvalidRequest &&
		(answer.HTTPStatusCode == http.StatusBadRequest || answer.HTTPStatusCode == http.StatusNotFound)
}

func stripeRefunded(r *stripesdk.Refund) payments.RefundAnswer {
	answer := payments.RefundAnswer{Status: payments.RefundPending, Reference: r.ID, Reason: string(r.FailureReason)}
	switch r.Status {
	case stripesdk.RefundStatusSucceeded:
		answer.Status = payments.RefundSucceeded
	case stripesdk.RefundStatusFailed, stripesdk.RefundStatusCanceled:
		answer.Status = payments.RefundRefused
	default: // pending, or waiting for the buyer
	}
	return answer
}
