package fulfillment

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Outcome of a delivery job.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered"
	Shortage  Outcome = "shortage"  // held: the stock's cards are missing
	Contended Outcome = "contended" // the cards are there, but in another transaction's hands: try again
	Untouched Outcome = "untouched" // not in a state to be delivered: on hold, or done before
)

// Deliver delivers a set of paid orders, each as a whole or not at all. It locks the orders, claims their cards (those
// that expire first go first), records which card went to which unit, completes the orders and appends order.completed.
// An order for which cards are missing is put on hold, never completed.
func Deliver(ctx context.Context, tx *outbox.Tx, orderIDs []uuid.UUID) ([]groupcommit.Result[Outcome], error) {
	locked, err := ordering.Lock(ctx, tx, orderIDs)
	if err != nil {
		return nil, err
	}
	due := dueOrders(orderIDs, locked)
	cards, err := claim(ctx, tx, due)
	if err != nil {
		return nil, err
	}
	d := delivery{handout: handout{at: tx.Now}, outcomes: map[uuid.UUID]Outcome{}}
	for _, order := range due {
		if err := d.deliver(tx, order, cards); err != nil {
			return nil, err
		}
	}
	if err := d.save(ctx, tx); err != nil {
		return nil, err
	}
	if err := ordering.Save(ctx, tx, d.changed); err != nil {
		return nil, err
	}
	results := make([]groupcommit.Result[Outcome], len(orderIDs))
	for i, id := range orderIDs {
		results[i].Value = Untouched
		if outcome, ok := d.outcomes[id]; ok {
			results[i].Value = outcome
		}
	}
	return results, nil
}

// dueOrders keeps the orders to deliver now, each once, in the order in which they were asked for.
func dueOrders(ids []uuid.UUID, locked map[uuid.UUID]*ordering.Order) []*ordering.Order {
	var due []*ordering.Order
	for _, id := range ids {
		order := locked[id]
		if order != nil && order.Status == ordering.Processing && order.PaymentStatus != ordering.Unpaid && !slices.Contains(due, order) {
			due = append(due, order)
		}
	}
	return due
}

// delivery is the state of one Deliver.
type delivery struct {
	handout

	outcomes map[uuid.UUID]Outcome
	changed  []*ordering.Order
}

func (d *delivery) deliver(tx *outbox.Tx, order *ordering.Order, cards *shelf) error {
	switch {
	case cards.covers(order):
		d.outcomes[order.ID] = Delivered
		d.changed = append(d.changed, order)
		return d.hand(tx, order, cards)
	case cards.contendedFor(order):
		d.outcomes[order.ID] = Contended
		return nil
	default:
		d.outcomes[order.ID] = Shortage
		d.changed = append(d.changed, order)
		return order.Hold(tx, ordering.HoldCardShortage, ordering.By{Actor: "system:delivery", Reason: "cards are missing"})
	}
}

// handout gathers what one transaction writes about the orders that it delivers.
type handout struct {
	at     time.Time
	ledger dbq.CardDeliveryInsertParams
	orders []uuid.UUID
}

// hand gives an order its cards and completes it.
func (h *handout) hand(tx *outbox.Tx, order *ordering.Order, cards *shelf) error {
	for _, item := range order.Items {
		if item.Kind != ordering.KindCard {
			continue
		}
		for i, cardID := range cards.take(item.ProductID, item.Due()) {
			h.ledger.OrderIds = append(h.ledger.OrderIds, order.ID)
			h.ledger.Lines = append(h.ledger.Lines, int32(item.Line))
			h.ledger.Units = append(h.ledger.Units, int32(i+1))
			h.ledger.CardIds = append(h.ledger.CardIds, cardID)
		}
	}
	h.orders = append(h.orders, order.ID)
	return order.Complete(tx)
}

// save writes what was handed out; the orders themselves are saved by whoever has locked them.
func (h *handout) save(ctx context.Context, tx *outbox.Tx) error {
	q := dbq.New(tx.AtEnd())
	if len(h.ledger.CardIds) > 0 {
		h.ledger.DeliveredAt = h.at
		if err := q.CardDeliver(ctx, h.ledger.CardIds); err != nil {
			return err
		}
		if err := q.CardDeliveryInsert(ctx, h.ledger); err != nil {
			return err
		}
	}
	if len(h.orders) > 0 {
		return q.OrderItemFulfill(ctx, h.orders)
	}
	return nil
}
