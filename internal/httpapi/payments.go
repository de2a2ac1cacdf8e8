package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/payments"
)

// payment is an attempt to pay.
type payment struct {
	ID           uuid.UUID         `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The attempt's id. The channel's notice names it."`
	OrderID      uuid.UUID         `json:"order_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The order."`
	Channel      string            `json:"channel" example:"sandbox" doc:"The payment channel."`
	Status       string            `json:"status" enum:"pending,succeeded,exception" example:"pending" doc:"pending until the channel's notice has come."`
	Amount       money             `json:"amount" doc:"What is to be paid."`
	Instructions map[string]string `json:"instructions" example:"{\"callback_path\":\"/v1/payment-callbacks/sandbox\"}" doc:"What the buyer needs to pay: the channel's own fields."`
	CreatedAt    time.Time         `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it began."`
}

func (s *Server) registerPayments() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "create-payment", Method: http.MethodPost, Path: "/v1/orders/{id}/payments", Tags: []string{tagPayments},
			DefaultStatus: http.StatusCreated, Summary: "Start a payment",
			Description: "Begins an attempt to pay the order's total through a channel. An order may have several attempts; the first that " +
				"succeeds pays it.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.PaymentsWrite), Faults: []string{
			"order_not_found", "order_not_payable", "payment_channel_unknown", "payment_currency_unsupported", "payment_gateway_unavailable",
		},
	}, s.createPayment)
	s.registerCallback("payment-callback", http.MethodPost,
		"The sandbox channel wants the header `Vendbox-Signature: t=<unix>,v1=<hex HMAC-SHA256 of \"t.body\">`, "+
			"at most 300 s old, over the body `{event_id,type:\"payment.succeeded\",payment_id,amount,currency,occurred_at}`.")
	s.registerCallback("payment-callback-by-get", http.MethodGet,
		"For channels that send it in the query (epay).")
}

func (s *Server) registerCallback(id, method, more string) {
	op := operation{
		Operation: huma.Operation{
			OperationID: id, Method: method, Path: "/v1/payment-callbacks/{channel}", Tags: []string{tagPayments},
			Summary: "Receive a payment notice",
			Description: "For the channel's own servers, which sign what they send. A notice is recorded once and applied once; a repeated one is " +
				"answered like the first. " + more,
			MaxBodyBytes: payments.MaxCallback,
			Parameters: []*huma.Param{{
				Name: "channel", In: "path", Required: true, Description: "The payment channel.", Example: "sandbox",
				Schema: &huma.Schema{Type: huma.TypeString},
			}},
			Responses: map[string]*huma.Response{
				"200":     {Description: "Recorded. The body is what the channel wants to hear."},
				"204":     {Description: "Recorded. For channels that want to hear nothing (WeChat Pay)."},
				"default": {Description: "Not recorded: unsigned, stale, foreign or malformed (problem document)."},
			},
		},
		Auth: public(),
		Faults: []string{
			"payment_channel_unknown", "callback_unsigned", "callback_signature_invalid", "callback_stale", "callback_malformed",
			"callback_foreign", "callback_unconfirmed", "payment_gateway_unavailable", "body_too_large",
		},
	}
	if method == http.MethodPost {
		op.RequestBody = &huma.RequestBody{
			Required: true, Description: "The notice, as the channel defines it.",
			Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{}}, "application/x-www-form-urlencoded": {Schema: &huma.Schema{}},
			},
		}
	}
	handleHTTP(s, op, s.receiveCallback)
}

type createPaymentInput struct {
	UUIDPath

	Body struct {
		Channel string `json:"channel" pattern:"^[a-z][a-z0-9_]{0,31}$" example:"sandbox" doc:"The payment channel."`
	}
}

type createPaymentOutput struct{ Body payment }

func (s *Server) createPayment(ctx context.Context, in *createPaymentInput) (*createPaymentOutput, error) {
	p, err := s.deps.Payments.Begin(ctx, in.ID, in.Body.Channel)
	if err != nil {
		return nil, err
	}
	return &createPaymentOutput{payment{
		ID: p.ID, OrderID: p.OrderID, Channel: p.Channel, Status: p.Status, Amount: p.Amount,
		Instructions: p.Instructions, CreatedAt: utc(p.CreatedAt),
	}}, nil
}

func (s *Server) receiveCallback(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			err = fault.Wrap(err, fault.TooLarge, "body_too_large", "limit", payments.MaxCallback)
		} else {
			err = fault.Wrap(err, fault.Malformed, "body_incomplete")
		}
		s.fail(w, r, err)
		return
	}
	answer, _, err := s.deps.Payments.Receive(r.Context(), r.PathValue("channel"),
		payments.Callback{Header: r.Header, Query: r.URL.RawQuery, Body: body})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if answer.ContentType != "" {
		w.Header().Set("Content-Type", answer.ContentType)
	}
	w.WriteHeader(answer.Status)
	_, _ = io.WriteString(w, answer.Body) // a gateway that is gone repeats
}
