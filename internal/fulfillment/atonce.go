package fulfillment

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// AtOnce delivers orders in the transaction that records their payment, and gives them: those that it has paid, and whose cards
// are there and in nobody's hands. It decides nothing about the others, which is their jobs' to do: a card that is missing here
// may be there a moment later. The caller has locked the orders and saves them.
func AtOnce(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) ([]*ordering.Order, error) {
	var due, delivered []*ordering.Order
	units := 0
	for _, order := range orders {
		if order.Status == ordering.Processing && order.PaidNow() && units+unitsOf(order) <= maxAtOnce {
			due, units = append(due, order), units+unitsOf(order)
		}
	}
	if len(due) == 0 {
		return nil, nil
	}
	cards, err := claimUnowed(ctx, tx, wantedCards(due...))
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

func unitsOf(order *ordering.Order) (units int) {
	for _, item := range order.Items {
		units += item.Due()
	}
	return units
}

const (
	// maxAtOnce bounds the units of one transaction, which other payments wait for. An order may be of ten times as many.
	maxAtOnce = 1000
	// mayWait is how long a payment waits at most for a lock that its delivery meets: somebody may be making an index on cards.
	mayWait = 500 * time.Millisecond
	// longWaiting is since when an order has been paid that was on hold: a job gets to the others sooner.
	longWaiting = 2 * time.Second
)

// claimUnowed claims cards, but for products whose next ones are owed to orders that have waited for them: those were released
// when the cards came, and whoever pays in the moment before their jobs run has to stand behind them.
func claimUnowed(ctx context.Context, tx *outbox.Tx, wanted map[uuid.UUID]int64) (*shelf, error) {
	if len(wanted) == 0 {
		return newShelf(), nil
	}
	p := cardsWanted(tx, wanted)
	var rows []dbq.CardClaimRow
	var owed []uuid.UUID
	err := pgdb.Together(ctx, tx,
		pgdb.LimitLockWaits(ctx, min(mayWait, groupcommit.Patience(ctx))),
		func(db pgdb.DB) (err error) {
			owed, err = dbq.New(db).OrderCardsOwed(ctx, dbq.OrderCardsOwedParams{
				PaidBefore: tx.Now.Add(-longWaiting), ProductIds: p.ProductIds,
			})
			return err
		},
		func(db pgdb.DB) (err error) { rows, err = dbq.New(db).CardClaim(ctx, p); return err })
	if err != nil {
		return nil, err
	}
	s := newShelf()
	s.put(rows)
	for _, product := range owed {
		delete(s.cards, product)
	}
	return s, nil
}

// Trace puts deliveries at once into their orders' traces, as jobs would have.
func (w *Worker) Trace(ctx context.Context, orders []*ordering.Order) {
	for _, order := range orders {
		_, span := w.tracer.Start(telemetry.WithTraceparent(ctx, order.Traceparent), "deliver order", trace.WithAttributes(
			attribute.String("vendbox.order_id", order.ID.String()), attribute.String("vendbox.outcome", string(Delivered))))
		span.End()
	}
}
