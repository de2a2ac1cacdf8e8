package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/vendbox/vendbox/internal/payments"
)

// client is a shop's frontend: it calls the API as any program would.
type client struct {
	http          *http.Client
	url           string
	apiKey        string
	paymentSecret string
}

// apiError is an answer that was not 2xx.
type apiError struct {
	status int
	code   string
	detail string
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.status, e.code, e.detail) }

func (c *client) post(ctx context.Context, path string, body, into any, header ...string) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, path, "application/json", data, into, header...)
}

// call sends a request with the API key; header is pairs of names and values, and an empty value removes one.
func (c *client) call(ctx context.Context, method, path, contentType string, body []byte, into any, header ...string) error {
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.apiKey)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for pair := range slices.Chunk(header, 2) {
		if pair[1] == "" {
			r.Header.Del(pair[0])
		} else {
			r.Header.Set(pair[0], pair[1])
		}
	}
	response, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		var problem struct {
			Code   string `json:"code"`
			Detail string `json:"detail"`
		}
		_ = json.Unmarshal(answer, &problem) // what is no problem document is shown by its status
		return fmt.Errorf("%s %s: %w", method, path, &apiError{response.StatusCode, problem.Code, problem.Detail})
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

type placedOrder struct {
	ID          string `json:"id"`
	AccessToken string `json:"access_token"`
	Total       struct {
		Amount   int64  `json:"amount"`
		Currency string `json:"currency"`
	} `json:"total"`
}

func (c *client) place(ctx context.Context, sku, phone, key string) (placedOrder, error) {
	var order placedOrder
	err := c.post(ctx, "/v1/orders", map[string]any{
		"items":   []map[string]any{{"sku": sku, "quantity": 1}},
		"contact": map[string]string{"phone": phone}, "locale": "zh",
	}, &order, "Idempotency-Key", key)
	return order, err
}

// startPayment begins an attempt and returns its id.
func (c *client) startPayment(ctx context.Context, orderID string) (string, error) {
	var payment struct {
		ID string `json:"id"`
	}
	err := c.post(ctx, "/v1/orders/"+orderID+"/payments", map[string]string{"channel": "sandbox"}, &payment)
	return payment.ID, err
}

// notify is the gateway's part: it signs the notice and calls back.
func (c *client) notify(ctx context.Context, paymentID string, order placedOrder) error {
	now := time.Now()
	body, err := json.Marshal(map[string]any{
		"event_id": "evt_" + paymentID, "type": payments.TypeSucceeded, "payment_id": paymentID,
		"amount": order.Total.Amount, "currency": order.Total.Currency, "occurred_at": now.UTC(),
	})
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, "/v1/payment-callbacks/sandbox", "application/json", body, nil,
		payments.SignatureHeader, payments.SignSandbox(c.paymentSecret, now, body), "Authorization", "")
}

// cards are what the buyer sees with the order's access token.
func (c *client) cards(ctx context.Context, order placedOrder) ([]string, error) {
	var list struct {
		Data []struct {
			Code string `json:"code"`
		} `json:"data"`
	}
	err := c.call(ctx, http.MethodGet, "/v1/orders/"+order.ID+"/cards", "", nil, &list,
		"Authorization", "", "Vendbox-Access-Token", order.AccessToken)
	codes := make([]string, len(list.Data))
	for i, card := range list.Data {
		codes[i] = card.Code
	}
	return codes, err
}
