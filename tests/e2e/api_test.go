package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
)

// answer of the API.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// into reads the body of an answer with the status that was wanted.
func (a answer) into(t *testing.T, status int, value any) {
	t.Helper()
	require.Equalf(t, status, a.status, "%s", a.body)
	require.NoErrorf(t, json.Unmarshal(a.body, value), "%s", a.body)
}

// call sends a request with the API key to the process that was started last; a string is sent as text, anything else
// as JSON. header is pairs; an empty value takes one away.
func (s *site) call(ctx context.Context, method, path string, body any, header ...string) (answer, error) {
	return s.callAt(ctx, *s.url.Load(), method, path, body, header...)
}

func (s *site) callAt(ctx context.Context, base, method, path string, body any, header ...string) (answer, error) {
	contentType, data := "", []byte(nil)
	switch body := body.(type) {
	case nil:
	case string:
		contentType, data = "text/plain", []byte(body)
	case []byte:
		contentType, data = "application/json", body
	default:
		var err error
		if data, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
		contentType = "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(data))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+s.apiKey)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	response, err := s.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, text}, err
}

// must is call for what may not fail.
func (s *site) must(t *testing.T, status int, into any, method, path string, body any, header ...string) {
	t.Helper()
	got, err := s.call(t.Context(), method, path, body, header...)
	require.NoError(t, err)
	if into == nil {
		into = new(any)
	}
	got.into(t, status, into)
}

// stockCards makes a product and imports cards for it. They are PREFIX-000001 and so on.
func (s *site) stockCards(t *testing.T, sku string, cards int) {
	t.Helper()
	s.product(t, sku, "card")
	var text strings.Builder
	for i := range cards {
		fmt.Fprintf(&text, "%s-%06d\n", strings.ToUpper(sku), i+1)
	}
	var report struct{ Imported int }
	s.must(t, http.StatusCreated, &report, http.MethodPost, "/v1/products/"+sku+"/card-imports", text.String())
	require.Equal(t, cards, report.Imported)
}

// stockCounted makes a product of which only the number is kept.
func (s *site) stockCounted(t *testing.T, sku string, units int) {
	t.Helper()
	s.product(t, sku, "counted")
	s.must(t, http.StatusOK, nil, http.MethodPost, "/v1/products/"+sku+"/stock", map[string]any{"delta": units, "reason": "e2e"})
}

func (s *site) product(t *testing.T, sku, kind string) {
	t.Helper()
	s.must(t, http.StatusCreated, nil, http.MethodPost, "/v1/products", map[string]any{
		"sku": sku, "name": "Product " + sku, "kind": kind, "price": map[string]any{"amount": 990, "currency": "CNY"},
	})
}

// available is how many units can be ordered.
func (s *site) available(t *testing.T, sku string) int {
	t.Helper()
	var product struct {
		Stock struct{ Available int }
	}
	s.must(t, http.StatusOK, &product, http.MethodGet, "/v1/products/"+sku, nil)
	return product.Stock.Available
}

// subscribe makes the sink a webhook endpoint.
func (s *site) subscribe(t *testing.T, eventTypes ...string) {
	t.Helper()
	var endpoint struct{ Secret string }
	s.must(t, http.StatusCreated, &endpoint, http.MethodPost, "/v1/webhook-endpoints",
		map[string]any{"url": s.sink.url + "/webhooks", "event_types": eventTypes})
	s.sink.trust(t, endpoint.Secret)
}

// textOn makes every event of a type a message to the buyer.
func (s *site) textOn(t *testing.T, eventType string) {
	t.Helper()
	s.must(t, http.StatusCreated, nil, http.MethodPost, "/v1/sms-templates",
		map[string]any{"event_type": eventType, "locale": "en", "body": "Your order {{order_number}} is ready."})
}

// order is what the API says of one.
type order struct {
	ID                string `json:"id"`
	Status            string `json:"status"`
	PaymentStatus     string `json:"payment_status"`
	FulfillmentStatus string `json:"fulfillment_status"`
	AccessToken       string `json:"access_token"`
	Total             struct {
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
	} `json:"total"`
}

// problem is an error's answer.
type problem struct {
	Code      string `json:"code"`
	SKU       string `json:"sku"`
	Available *int   `json:"available"`
}

// cart is the body of an order with one line a quantity, all of one SKU.
func cart(sku string, quantities ...int) map[string]any {
	lines := make([]map[string]any, len(quantities))
	for i, quantity := range quantities {
		lines[i] = map[string]any{"sku": sku, "quantity": quantity}
	}
	return map[string]any{"items": lines, "contact": map[string]string{"phone": "+8613800138000"}, "locale": "en"}
}

// place places an order that must succeed.
func (s *site) place(t *testing.T, body any, header ...string) order {
	t.Helper()
	var placed order
	s.must(t, http.StatusCreated, &placed, http.MethodPost, "/v1/orders", body, header...)
	return placed
}

// pay pays an order that must be payable.
func (s *site) pay(t *testing.T, o order, header ...string) {
	t.Helper()
	var attempt struct{ ID string }
	s.must(t, http.StatusCreated, &attempt, http.MethodPost, "/v1/orders/"+o.ID+"/payments",
		map[string]string{"channel": "sandbox"}, header...)
	got, err := s.notice(t.Context(), attempt.ID, o, header...)
	require.NoError(t, err)
	require.Equalf(t, http.StatusOK, got.status, "%s", got.body)
}

// notice is the payment gateway's signed callback.
func (s *site) notice(ctx context.Context, paymentID string, o order, header ...string) (answer, error) {
	now := time.Now()
	body, err := json.Marshal(map[string]any{
		"event_id": "evt_" + paymentID, "type": payments.TypeSucceeded, "payment_id": paymentID,
		"amount": o.Total.Amount, "currency": o.Total.Currency, "occurred_at": now.UTC(),
	})
	if err != nil {
		return answer{}, err
	}
	return s.call(ctx, http.MethodPost, "/v1/payment-callbacks/sandbox", body,
		append([]string{payments.SignatureHeader, payments.SignSandbox(s.paymentSecret, now, body), "Authorization", ""}, header...)...)
}

// codes are the cards that the buyer sees with the order's token.
func (s *site) codes(t *testing.T, o order) []string {
	t.Helper()
	var list struct {
		Data []struct{ Code string }
	}
	s.must(t, http.StatusOK, &list, http.MethodGet, "/v1/orders/"+o.ID+"/cards", nil,
		"Authorization", "", "Vendbox-Access-Token", o.AccessToken)
	codes := make([]string, len(list.Data))
	for i, card := range list.Data {
		codes[i] = card.Code
	}
	return codes
}

// awaitCompleted waits until an order is delivered.
func (s *site) awaitCompleted(t *testing.T, o order, limit time.Duration) {
	t.Helper()
	await(t, limit, "order "+o.ID, func() error {
		var now order
		s.must(t, http.StatusOK, &now, http.MethodGet, "/v1/orders/"+o.ID, nil)
		if now.Status != "completed" || now.PaymentStatus != "paid" || now.FulfillmentStatus != "fulfilled" {
			return fmt.Errorf("it is %s, %s, %s", now.Status, now.PaymentStatus, now.FulfillmentStatus)
		}
		return nil
	})
}
