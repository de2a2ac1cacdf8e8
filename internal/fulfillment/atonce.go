package fulfillment

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// AtOnce delivers orders in the transaction that records their payment, and gives them: those that it has paid, and whose cards
// are there and in nobody's hands. It decides nothing about the others, which is their jobs' to do: a card that is missing here
// may be there a moment later. The caller has locked the orders and saves them.
func AtOnce(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) ([]*ordering.Order, error) {
	var due, delivered []*ordering.Order
	for _, order := range orders {
		if order.Status == ordering.Processing && order.PaidNow() {
			due = append(due, order)
		}
	}
	if len(due) == 0 {
		return nil, nil
	}
	cards, err := claimAvailable(ctx, tx, wantedCards(due...))
	if err != nil {
		return nil, err
	}
	h := handout{at: tx.Now}
	for _, order := range due {
		if !cards.covers(order) {
			continue
		}
		if err := h.hand(tx, order, cards); err != nil {
			return nil, err
		}
		delivered = append(delivered, order)
	}
	return delivered, h.save(ctx, tx)
}

// Trace puts deliveries at once into their orders' traces, as jobs would have.
func (w *Worker) Trace(ctx context.Context, orders []*ordering.Order) {
	for _, order := range orders {
		_, span := w.tracer.Start(telemetry.WithTraceparent(ctx, order.Traceparent), "deliver order", trace.WithAttributes(
			attribute.String("vendbox.order_id", order.ID.String()), attribute.String("vendbox.outcome", string(Delivered))))
		span.End()
	}
}
