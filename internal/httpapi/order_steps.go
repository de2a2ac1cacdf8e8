package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// timelineEntry is one step of an order.
type timelineEntry struct {
	Sequence          int       `json:"sequence" example:"2" doc:"The order's sequence after the step; its event has the same."`
	Event             string    `json:"event" example:"order.paid" doc:"What happened."`
	Status            string    `json:"status" example:"processing" doc:"The order's status after it."`
	PaymentStatus     string    `json:"payment_status" example:"paid" doc:"Its payment status after it."`
	FulfillmentStatus string    `json:"fulfillment_status" example:"unfulfilled" doc:"Its fulfillment status after it."`
	Actor             string    `json:"actor" example:"gateway:stripe" doc:"Who did it: key:<prefix>, buyer, gateway:<channel> or system:<what>."`
	Reason            string    `json:"reason,omitempty" example:"payment 0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"Why."`
	TraceID           string    `json:"trace_id,omitempty" example:"4bf92f3577b34da6a3ce929d0e0e4736" doc:"The trace of what caused it."`
	At                time.Time `json:"at" example:"2026-01-02T03:04:05Z" doc:"When."`
}

func (s *Server) registerOrderSteps() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-order-timeline", Method: http.MethodGet, Path: "/v1/orders/{id}/timeline", Tags: []string{tagOrders},
			Summary:     "Get an order's timeline",
			Description: "Every step of the order since it was placed, the oldest first: what, who, why and when. It is kept as long as the order.",
			Errors:      []int{http.StatusNotFound},
		},
		Auth: needs(access.OrdersRead), Faults: []string{"order_not_found"},
	}, s.getTimeline)
	s.registerOrderStep("cancel", "Cancel an order",
		"Ends an unpaid order and gives its stock back. One that is paid has to be refunded. Money that comes all the same is recorded, and "+
			"the order is put on hold.", s.cancelOrder)
	s.registerOrderStep("hold", "Hold an order",
		"Stops the order until it is released or rejected: nothing is delivered meanwhile. An unpaid order that is held expires after 24 hours.",
		s.holdOrder)
	s.registerOrderStep("release", "Release a held order",
		"Lets the order go on: a paid one is delivered, an unpaid one can be paid again for the usual time. An order that was paid after its "+
			"end holds no stock; it gets some now, or the answer is out_of_stock.", s.releaseOrder)
	s.registerOrderStep("reject", "Reject a held order",
		"Ends a held order: an unpaid one is canceled, a paid one is refunded as a whole.", s.rejectOrder)
}

type orderStepInput struct {
	UUIDPath

	Body *struct {
		Reason string `json:"reason,omitempty" maxLength:"500" example:"The buyer asked for it." doc:"Why; it stays on the order's timeline."`
	}
}

func (in *orderStepInput) by(ctx context.Context) ordering.By {
	by := ordering.By{Actor: principalOf(ctx).Actor(), Traceparent: telemetry.Traceparent(ctx)}
	if in.Body != nil {
		by.Reason = in.Body.Reason
	}
	return by
}

// orderStep is one of the steps that an operator takes.
type orderStep func(context.Context, *orderStepInput) (*ordering.Order, error)

func (s *Server) registerOrderStep(name, summary, text string, step orderStep) {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: name + "-order", Method: http.MethodPost, Path: "/v1/orders/{id}/" + name, Tags: []string{tagOrders},
			Summary: summary, Description: text + " Answers with the order as it is then.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.OrdersManage), Faults: []string{"order_not_found", "order_state_wrong", "reason_invalid", "out_of_stock"},
	}, func(ctx context.Context, in *orderStepInput) (*orderOutput, error) {
		order, err := step(ctx, in)
		if err != nil {
			return nil, err
		}
		return &orderOutput{Order(order.View())}, nil
	})
}

func (s *Server) cancelOrder(ctx context.Context, in *orderStepInput) (*ordering.Order, error) {
	return s.deps.Orders.Cancel(ctx, in.ID, in.by(ctx))
}

func (s *Server) holdOrder(ctx context.Context, in *orderStepInput) (*ordering.Order, error) {
	return s.deps.Orders.Hold(ctx, in.ID, in.by(ctx))
}

func (s *Server) releaseOrder(ctx context.Context, in *orderStepInput) (*ordering.Order, error) {
	return s.deps.Orders.Release(ctx, in.ID, in.by(ctx))
}

func (s *Server) rejectOrder(ctx context.Context, in *orderStepInput) (*ordering.Order, error) {
	return s.deps.Payments.Reject(ctx, s.deps.Orders, in.ID, in.by(ctx))
}

type timelineOutput struct{ Body listBody[timelineEntry] }

func (s *Server) getTimeline(ctx context.Context, in *UUIDPath) (*timelineOutput, error) {
	entries, err := s.deps.Orders.Timeline(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	views := make([]timelineEntry, len(entries))
	for i, e := range entries {
		views[i] = timelineEntry{
			Sequence: e.Sequence, Event: e.Event, Status: string(e.Status), PaymentStatus: string(e.PaymentStatus),
			FulfillmentStatus: string(e.FulfillmentStatus), Actor: e.Actor, Reason: e.Reason,
			TraceID: telemetry.TraceIDOf(e.Traceparent), At: utc(e.At),
		}
	}
	return &timelineOutput{list(views, "")}, nil
}
