package gateways_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v85/webhook"

	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/channeltest"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const (
	stripeSecret = "whsec_the-new-one"
	stripeKey    = "sk_test_of-the-shop"
)

func stripeIntentID(attempt payments.Attempt) string { return "pi_" + merchantNo(attempt) }

func stripeIntent(attempt payments.Attempt, amount int64, status string) string {
	return fmt.Sprintf(`{"id":%q,"object":"payment_intent","amount":%d,"amount_received":%d,"currency":%q,"status":%q,`+
		`"metadata":{"payment_id":%q},"created":1700000000,"livemode":false,"receipt_email":%q}`,
		stripeIntentID(attempt), amount, amount, strings.ToLower(attempt.Amount.Currency), status, attempt.ID, stripeBuyer)
}

// stripeBuyer is what Stripe knows of a buyer and we need not.
const stripeBuyer = "buyer@example.com"

func stripeEvent(kind, object string) string {
	return fmt.Sprintf(`{"id":"evt_%s","object":"event","api_version":"2019-01-01","created":%d,"type":%q,"livemode":false,`+
		`"data":{"object":%s}}`,
		uuid.NewString(), time.Now().Unix(), kind, object)
}

func stripeSigned(body, secret string, at time.Time) payments.Callback {
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: at})
	return payments.Callback{Body: []byte(body), Header: http.Header{"Stripe-Signature": {signed.Header}}}
}

// stripeFake is as much of Stripe as a shop needs.
type stripeFake struct {
	*far

	sessions map[string]url.Values // by id
	keys     map[string]string     // answers by idempotency key
	refunds  []string
}

func stripeFar(tb testing.TB) *stripeFake {
	tb.Helper()
	s := &stripeFake{sessions: map[string]url.Values{}, keys: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/checkout/sessions", s.once(s.createSession))
	mux.HandleFunc("GET /v1/checkout/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
		intent := "null"
		attempt, paid := s.attempt(s.sessions[r.PathValue("id")].Get("client_reference_id"))
		if paid && r.URL.Query().Get("expand[0]") == "payment_intent" {
			intent = stripeIntent(attempt, attempt.Amount.Amount, "succeeded")
		}
		_, _ = fmt.Fprintf(w, `{"id":%q,"object":"checkout.session","payment_intent":%s}`, r.PathValue("id"), intent)
	})
	mux.HandleFunc("GET /v1/payment_intents/search", func(w http.ResponseWriter, r *http.Request) {
		found := ""
		for id, attempt := range s.paid {
			if r.URL.Query().Get("query") == fmt.Sprintf("metadata['payment_id']:'%s' AND status:'succeeded'", id) {
				found = stripeIntent(attempt, attempt.Amount.Amount, "succeeded")
			}
		}
		_, _ = fmt.Fprintf(w, `{"object":"search_result","data":[%s],"has_more":false}`, found)
	})
	mux.HandleFunc("GET /v1/payment_intents/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, attempt := range s.paid {
			if stripeIntentID(attempt) == r.PathValue("id") {
				_, _ = w.Write([]byte(stripeIntent(attempt, attempt.Amount.Amount, "succeeded")))
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","code":"resource_missing"}}`))
	})
	mux.HandleFunc("GET /v1/refunds", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"object":"list","data":[%s],"has_more":false}`, strings.Join(s.refunds, ","))
	})
	mux.HandleFunc("POST /v1/refunds", s.once(s.createRefund))
	s.far = newFar(tb, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+stripeKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		mux.ServeHTTP(w, r)
	})
	return s
}

// once answers a repeated idempotency key like the first.
func (s *stripeFake) once(fn func(form url.Values) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		key := r.Header.Get("Idempotency-Key")
		if _, known := s.keys[key]; !known {
			s.keys[key] = fn(r.PostForm)
		}
		if strings.Contains(s.keys[key], `"error"`) {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(s.keys[key]))
	}
}

func (s *stripeFake) createSession(form url.Values) string {
	id := "cs_test_" + strconv.Itoa(len(s.sessions))
	s.sessions[id] = map[string][]string(form)
	s.sessions[id].Set("client_reference_id", strings.ReplaceAll(form.Get("client_reference_id"), "-", ""))
	return fmt.Sprintf(`{"id":%q,"object":"checkout.session","url":"https://checkout.stripe.example/%s"}`, id, id)
}

func (s *stripeFake) createRefund(form url.Values) string {
	if amount, err := strconv.Atoi(form.Get("amount")); err != nil || amount > 1234 {
		return `{"error":{"type":"invalid_request_error","code":"","message":"Refund amount is greater than charge amount"}}`
	}
	refund := fmt.Sprintf(`{"id":"re_%d","object":"refund","status":"succeeded","metadata":{"refund_id":%q}}`,
		len(s.refunds), form.Get("metadata[refund_id]"))
	s.refunds = append(s.refunds, refund)
	return refund
}

func stripeChannel(tb testing.TB, baseURL string) payments.Channel {
	tb.Helper()
	return channel(tb, map[string]any{
		"type": "stripe", "subject": "Order {order_number}", "return_url": "https://shop.example/orders/{order_id}",
		"accounts": []any{
			map[string]any{
				"name": "old", "retired": true, "currencies": []string{"EUR"}, "secret_key": "sk_old",
				"webhook_secrets": []string{"whsec_old"},
			},
			map[string]any{
				"name": "shop", "currencies": []string{"EUR", "USD"}, "secret_key": stripeKey, "base_url": baseURL,
				"webhook_secrets": []string{"whsec_the-one-before", stripeSecret},
			},
		},
	})
}

func TestStripeIsAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, pgtest.New, func(t *testing.T) channeltest.Subject {
		t.Helper()
		f := stripeFar(t)
		return channeltest.Subject{
			Channel: stripeChannel(t, f.URL), Currency: "EUR",
			Answer: payments.Answer{Status: 200, ContentType: "application/json", Body: `{"received":true}`},
			Pay:    f.pay,
			Kept: func(t *testing.T, attempt payments.Attempt, body []byte) {
				t.Helper()
				require.Contains(t, string(body), attempt.ID.String())
				require.NotContains(t, string(body), stripeBuyer, "the buyer's own data stays outside")
			},
			Notice: func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback {
				t.Helper()
				return stripeSigned(stripeEvent("payment_intent.succeeded", stripeIntent(attempt, amount, "succeeded")), stripeSecret, time.Now())
			},
			Pending: func(t *testing.T, attempt payments.Attempt) payments.Callback {
				t.Helper()
				intent := stripeIntent(attempt, attempt.Amount.Amount, "processing")
				return stripeSigned(stripeEvent("payment_intent.processing", intent), stripeSecret, time.Now())
			},
			Forgeries: stripeForgeries,
			Reference: stripeIntentID,
			Break:     f.breakNext,
			Refunds:   func() int { return len(f.refunds) },
		}
	})
}

func stripeForgeries(t *testing.T, attempt payments.Attempt) []channeltest.Forgery {
	t.Helper()
	intent := stripeIntent(attempt, attempt.Amount.Amount, "succeeded")
	body := stripeEvent("payment_intent.succeeded", intent)
	now := time.Now()
	changed := func(from, to string) payments.Callback {
		require.Contains(t, body, from)
		return stripeSigned(strings.Replace(body, from, to, 1), stripeSecret, now)
	}
	header := func(value string) payments.Callback {
		return payments.Callback{Body: []byte(body), Header: http.Header{"Stripe-Signature": {value}}}
	}
	return []channeltest.Forgery{
		forged("unsigned", payments.Callback{Body: []byte(body), Header: http.Header{}}, "callback_unsigned"),
		forged("a foreign key", stripeSigned(body, "whsec_foreign", now), "callback_signature_invalid"),
		forged("true for a signature", header("true"), "callback_signature_invalid"),
		forged("no scheme that we know", header(fmt.Sprintf("t=%d,v0=00", now.Unix())), "callback_signature_invalid"),
		forged("no time", header("v1=00"), "callback_stale"),
		forged("stale", stripeSigned(body, stripeSecret, now.Add(-301*time.Second)), "callback_stale"),
		forged("a connected account's", changed(`"livemode":false,"data"`, `"account":"acct_1","data"`), "callback_foreign"),
		forged("not an event", changed(`"object":"event"`, `"object":"charge"`), "callback_malformed"),
		forged("another object", changed(`"object":"payment_intent"`, `"object":"charge"`), "callback_malformed"),
		forged("not succeeded", changed(`"status":"succeeded"`, `"status":"processing"`), "callback_malformed"),
		forged("a name twice", changed(`"livemode":false,"data"`, `"type":"charge.failed","data"`), "callback_malformed"),
		forged("a name twice inside", changed(`"amount":1234`, `"amount_received":1`), "callback_malformed"),
		forged("a float", changed(`"amount_received":1234`, `"amount_received":1234.5`), "callback_malformed"),
		forged("true for an amount", changed(`"amount_received":1234`, `"amount_received":true`), "callback_malformed"),
	}
}

func TestStripeCheckoutSession(t *testing.T) {
	t.Parallel()
	f := stripeFar(t)
	c := stripeChannel(t, f.URL)
	attempt := attemptOf(t, c, "EUR")
	require.Equal(t, "shop", attempt.Account, "the other is retired")
	instructions, reference, err := c.Begin(t.Context(), attempt)
	require.NoError(t, err)
	require.Equal(t, payments.Instructions{"pay_url": "https://checkout.stripe.example/cs_test_0"}, instructions)
	require.Equal(t, "cs_test_0", reference)
	form := f.sessions[reference]
	for name, want := range map[string]string{
		"mode": "payment", "line_items[0][price_data][currency]": "eur", "line_items[0][price_data][unit_amount]": "1234",
		"line_items[0][quantity]": "1", "line_items[0][price_data][product_data][name]": "Order N-1",
		"payment_intent_data[metadata][payment_id]": attempt.ID.String(), "metadata[payment_id]": attempt.ID.String(),
		"success_url": "https://shop.example/orders/" + attempt.OrderID.String(), "adaptive_pricing[enabled]": "false",
	} {
		require.Equal(t, want, form.Get(name), name)
	}
	_, again, err := c.Begin(t.Context(), attempt)
	require.NoError(t, err)
	require.Equal(t, reference, again, "by the idempotency key")
	for i := 0; f.breakNext(i); i++ {
		_, _, err = c.Begin(t.Context(), attempt)
		requireCode(t, err, "payment_gateway_unavailable")
		require.NotContains(t, err.Error(), stripeKey)
	}
}

func TestStripeRefundIsRefused(t *testing.T) {
	t.Parallel()
	f := stripeFar(t)
	c := stripeChannel(t, f.URL)
	attempt := attemptOf(t, c, "EUR")
	f.pay(attempt)
	attempt.Reference = stripeIntentID(attempt)
	refund := payments.Refund{ID: uuid.Must(uuid.NewV7()), Attempt: attempt, Amount: attempt.Amount}
	refund.Amount.Amount++
	answer, err := c.(payments.Refunder).Refund(t.Context(), refund)
	require.NoError(t, err)
	require.Equal(t, payments.RefundRefused, answer.Status)
	require.Contains(t, answer.Reason, "greater")
	refund.Amount.Amount, refund.ID = 100, uuid.Must(uuid.NewV7())
	for i := 0; f.breakNext(i) && i < len(breakages)-1; i++ {
		_, err = c.(payments.Refunder).Refund(t.Context(), refund)
		require.Error(t, err, "not knowing is not a refusal")
	}
	require.Empty(t, f.refunds)
}

// An endpoint hears of all that happens on its account.
func TestStripeOtherEvents(t *testing.T) {
	t.Parallel()
	c := stripeChannel(t, "https://stripe.example")
	attempt := attemptOf(t, c, "EUR")
	var elsewhere map[string]any
	require.NoError(t, json.Unmarshal([]byte(stripeIntent(attempt, 1, "succeeded")), &elsewhere))
	elsewhere["metadata"] = map[string]string{}
	other, err := json.Marshal(elsewhere)
	require.NoError(t, err)
	for kind, object := range map[string]string{
		"payment_intent.succeeded": string(other), "customer.created": `{"id":"cus_1","object":"customer","metadata":{}}`,
	} {
		notice, err := c.Verify(t.Context(), stripeSigned(stripeEvent(kind, object), stripeSecret, time.Now()))
		require.NoError(t, err)
		require.Equal(t, "stripe."+kind, notice.Type)
	}
	notice, err := c.Verify(t.Context(), stripeSigned(stripeEvent("charge.failed", `{}`), "whsec_old", time.Now()))
	require.NoError(t, err)
	require.Equal(t, "old", notice.Account, "a retired account goes on to verify")
}
