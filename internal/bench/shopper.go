package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// shopper is a buyer and the payment gateway in one: it places orders and sends the signed notices that pay them. Every
// answer that is not the expected one is an error.
type shopper struct {
	door   door
	secret string // of the sandbox channel
	client *client
	buf    []byte
}

func newShopper(ctx context.Context, d door, secret string, deadline time.Time) (*shopper, error) {
	c, err := dial(ctx, d.address, deadline)
	if err != nil {
		return nil, err
	}
	return &shopper{door: d, secret: secret, client: c}, nil
}

func (s *shopper) close() { s.client.close() }

// payable is an order with an attempt to pay it.
type payable struct {
	orderID   uuid.UUID
	paymentID uuid.UUID
	amount    ordering.Money
}

// order places an order for one unit and begins its payment.
func (s *shopper) order(sku string) (payable, error) {
	var p payable
	var placed struct {
		ID uuid.UUID `json:"id"`
	}
	phone := fmt.Sprintf("+86138%08d", rand.IntN(100_000_000))
	if err := s.post("/v1/orders", s.door.authorization(), orderBody(sku, phone), http.StatusCreated, &placed); err != nil {
		return p, err
	}
	var payment struct {
		ID     uuid.UUID      `json:"id"`
		Amount ordering.Money `json:"amount"`
	}
	path := "/v1/orders/" + placed.ID.String() + "/payments"
	err := s.post(path, s.door.authorization(), []byte(`{"channel":"sandbox"}`), http.StatusCreated, &payment)
	return payable{placed.ID, payment.ID, payment.Amount}, err
}

// notice is a payment's notice, signed and ready to be sent.
func (s *shopper) notice(p payable, now time.Time) ([]byte, error) {
	body, err := json.Marshal(map[string]any{
		"event_id": "bench-" + p.paymentID.String(), "type": payments.TypeSucceeded, "payment_id": p.paymentID,
		"amount": p.amount.Amount, "currency": p.amount.Currency, "occurred_at": now.UTC(),
	})
	if err != nil {
		return nil, fmt.Errorf("bench: notice: %w", err)
	}
	signature := payments.SignatureHeader + ": " + payments.SignSandbox(s.secret, now, body) + "\r\n"
	return s.door.post(nil, "/v1/payment-callbacks/sandbox", signature, body), nil
}

// pay sends a notice.
func (s *shopper) pay(notice []byte) error { return s.exchange(notice, http.StatusOK, nil) }

func (s *shopper) post(path, headers string, body []byte, want int, answer any) error {
	s.buf = s.door.post(s.buf[:0], path, headers, body)
	return s.exchange(s.buf, want, answer)
}

func (s *shopper) exchange(request []byte, want int, answer any) error {
	status, body, err := s.client.do(request)
	if err != nil {
		return err
	}
	if status != want {
		return fmt.Errorf("bench: answered HTTP %d instead of %d: %.300s", status, want, body)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("bench: answer: %w", err)
	}
	return nil
}
