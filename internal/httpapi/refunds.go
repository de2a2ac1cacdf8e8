package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// refund is money that goes back.
type refund struct {
	ID         uuid.UUID    `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The refund's id, and its idempotency key at the gateway."`
	OrderID    uuid.UUID    `json:"order_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The order."`
	PaymentID  uuid.UUID    `json:"payment_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d3" doc:"The payment that the money came with."`
	Amount     money        `json:"amount" doc:"How much."`
	Status     string       `json:"status" enum:"pending,succeeded,refused,unknown,manual" example:"pending" doc:"pending: a job is at it. unknown: the gateway was asked, and what it did is not known yet. manual: the channel cannot give money back; do it at the gateway and settle the refund."`
	Items      []refundItem `json:"items,omitempty" doc:"The units. Lists leave them out."`
	Reason     string       `json:"reason,omitempty" example:"The code does not work." doc:"Why."`
	Actor      string       `json:"actor" example:"key:ab12cd34" doc:"Who asked for it."`
	Reference  string       `json:"reference,omitempty" example:"re_3MmlLrLkdIwHu7ix0snN0B15" doc:"The gateway's id of it."`
	Error      string       `json:"error,omitempty" example:"the gateway could not be asked" doc:"What went wrong last."`
	CreatedAt  time.Time    `json:"created_at" example:"2026-01-02T03:04:05Z" doc:"When it was asked for."`
	FinishedAt *time.Time   `json:"finished_at,omitempty" example:"2026-01-02T03:04:06Z" doc:"When it ended."`
}

type refundItem struct {
	Line     int `json:"line" minimum:"1" maximum:"100" example:"1" doc:"The order's line."`
	Quantity int `json:"quantity" minimum:"1" maximum:"1000" example:"1" doc:"How many units."`
}

func (s *Server) registerRefunds() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "refund-order", Method: http.MethodPost, Path: "/v1/orders/{id}/refund", Tags: []string{tagPayments},
			DefaultStatus: http.StatusCreated, Summary: "Refund an order",
			Description: "Takes units back, all that are left without items: what was not delivered returns to the stock, and the cards of what " +
				"was are revoked and never sold again. The money is returned by a job through the gateway that took it, once, whatever is repeated. " +
				"With an Idempotency-Key a repeated request gets the same refund.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.OrdersManage), Faults: []string{
			"order_not_found", "order_state_wrong", "refund_exceeds_order", "refund_lines_invalid", "reason_invalid", "idempotency_key_reused",
		},
	}, s.refundOrder)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-refunds", Method: http.MethodGet, Path: "/v1/refunds", Tags: []string{tagPayments},
			Summary: "List refunds", Description: "Newest first. status finds those that need a person: manual, unknown, refused.",
		},
		Auth: needs(access.OrdersManage), Faults: []string{"cursor_invalid"},
	}, s.listRefunds)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-refund", Method: http.MethodGet, Path: "/v1/refunds/{id}", Tags: []string{tagPayments},
			Summary: "Get a refund", Description: "One refund with its units.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.OrdersManage), Faults: []string{"refund_not_found"},
	}, s.getRefund)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "settle-refund", Method: http.MethodPost, Path: "/v1/refunds/{id}/settle", Tags: []string{tagPayments},
			Summary: "Settle a refund by hand",
			Description: "Says that the money has gone back: you have done it where no gateway could or one refused, or found out what a gateway " +
				"did. Nothing is sent to the gateway. A pending refund is the job's: it cannot be settled.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.OrdersManage), Faults: []string{"refund_not_found", "refund_in_progress", "refund_finished"},
	}, s.settleRefund)
}

// refundItems are not left out where they are null: no items refund everything, and a list that somebody has forgotten to fill
// must not.
type refundItems []refundItem

// UnmarshalJSON makes null an empty list.
func (r *refundItems) UnmarshalJSON(data []byte) error {
	*r = refundItems{}
	if string(data) == "null" {
		return nil
	}
	return json.Unmarshal(data, (*[]refundItem)(r))
}

type refundOrderInput struct {
	UUIDPath

	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" example:"refund-1001" doc:"A key of yours for this refund of this order."`
	Body           *struct {
		Items  refundItems `json:"items,omitempty" minItems:"1" maxItems:"100" doc:"Which units. Default: everything that is left."`
		Reason string      `json:"reason,omitempty" maxLength:"500" example:"The code does not work." doc:"Why."`
	}
}

type refundOutput struct{ Body refund }

type refundOrderOutput struct {
	Replayed string `header:"Idempotent-Replayed" doc:"true when an earlier request with this Idempotency-Key made the refund."`
	Body     refund
}

func (s *Server) refundOrder(ctx context.Context, in *refundOrderInput) (*refundOrderOutput, error) {
	r := payments.RefundRequest{
		IdempotencyKey: in.IdempotencyKey,
		By:             ordering.By{Actor: principalOf(ctx).Actor(), Traceparent: telemetry.Traceparent(ctx)},
	}
	if in.Body != nil {
		r.By.Reason = in.Body.Reason
		if in.Body.Items != nil {
			r.Lines = []ordering.RefundLine{}
		}
		for _, item := range in.Body.Items {
			r.Lines = append(r.Lines, ordering.RefundLine(item))
		}
	}
	made, err := s.deps.Payments.Refund(ctx, in.ID, r)
	if err != nil {
		return nil, err
	}
	out := &refundOrderOutput{Body: viewRefund(made)}
	if made.Replayed {
		out.Replayed = "true"
	}
	return out, nil
}

func viewRefund(r payments.Refunding) refund {
	view := refund{
		ID: r.ID, OrderID: r.OrderID, PaymentID: r.PaymentID, Amount: r.Amount, Status: string(r.Status), Reason: r.Reason,
		Actor: r.Actor, Reference: r.Reference, Error: r.Error, CreatedAt: utc(r.CreatedAt),
	}
	if !r.FinishedAt.IsZero() {
		view.FinishedAt = new(utc(r.FinishedAt))
	}
	for _, line := range r.Lines {
		view.Items = append(view.Items, refundItem{line.Line, line.Quantity})
	}
	return view
}

type listRefundsInput struct {
	PageQuery

	Status  string    `query:"status" enum:"pending,succeeded,refused,unknown,manual" example:"manual" doc:"Only refunds of this status."`
	OrderID uuid.UUID `query:"order_id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"Only refunds of this order."`
}

type listRefundsOutput struct{ Body listBody[refund] }

func (s *Server) listRefunds(ctx context.Context, in *listRefundsInput) (*listRefundsOutput, error) {
	refunds, next, err := s.deps.Payments.ListRefunds(ctx, payments.RefundQuery{
		Status: in.Status, OrderID: in.OrderID, Cursor: in.Cursor, Limit: in.Limit,
	})
	if err != nil {
		return nil, err
	}
	views := make([]refund, len(refunds))
	for i, r := range refunds {
		views[i] = viewRefund(r)
	}
	return &listRefundsOutput{list(views, next)}, nil
}

func (s *Server) getRefund(ctx context.Context, in *UUIDPath) (*refundOutput, error) {
	r, err := s.deps.Payments.RefundByID(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &refundOutput{viewRefund(r)}, nil
}

type settleRefundInput struct {
	UUIDPath

	Body *struct {
		Reference string `json:"reference,omitempty" maxLength:"200" example:"2026010222001400001234567890" doc:"The gateway's id of it, if there is one."`
	}
}

func (s *Server) settleRefund(ctx context.Context, in *settleRefundInput) (*refundOutput, error) {
	reference := ""
	if in.Body != nil {
		reference = in.Body.Reference
	}
	r, err := s.deps.Payments.SettleRefund(ctx, in.ID, reference, principalOf(ctx).Actor())
	if err != nil {
		return nil, err
	}
	return &refundOutput{viewRefund(r)}, nil
}
