package ordering

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// HoldTTL is how long an unpaid order may be held before it expires and its stock is given back.
const HoldTTL = 24 * time.Hour

// The transitions below change a locked order in memory and append its event; Save writes the set.

// MarkPaid applies a payment of the full amount. An order that is on hold stays there: its money is in, and a person
// decides about the rest. One that had expired goes on if its units were reserved again (see Reserve).
func (o *Order) MarkPaid(tx *outbox.Tx, by By) error {
	return o.step(tx, EventPaid, by, func() { o.setPaid(tx) })
}

// HoldLate records the money for an order that has ended and cannot go on by itself. It takes two steps, since whoever
// counts money listens to order.paid.
func (o *Order) HoldLate(tx *outbox.Tx, reason string, by By) error {
	err := o.step(tx, EventOnHold, by, func() { o.HoldReason, o.ClosedAt = reason, time.Time{} })
	if err != nil {
		return err
	}
	return o.MarkPaid(tx, by)
}

// PaidNow says whether it was paid since it was locked.
func (o *Order) PaidNow() bool {
	return slices.ContainsFunc(o.story, func(e entry) bool { return e.event == EventPaid })
}

func (o *Order) setPaid(tx *outbox.Tx) {
	o.PaymentStatus, o.PaidAmount, o.PaidAt, o.ClosedAt = Paid, o.Total, tx.Now, time.Time{}
}

// Hold stops the order until a person decides. Unpaid, it is held for HoldTTL, or as long as it could have been paid.
func (o *Order) Hold(tx *outbox.Tx, reason string, by By) error {
	return o.step(tx, EventOnHold, by, func() {
		o.HoldReason = reason
		if until := tx.Now.Add(HoldTTL); o.PaymentStatus == Unpaid && until.After(o.ExpiresAt) {
			o.ExpiresAt = until
		}
	})
}

// Complete ends the order: every unit that was not refunded is delivered.
func (o *Order) Complete(tx *outbox.Tx) error {
	return o.step(tx, EventCompleted, byDelivery, func() {
		o.FulfillmentStatus, o.CompletedAt = Fulfilled, tx.Now
		for i := range o.Items {
			o.Items[i].FulfilledQuantity = o.Items[i].Quantity - o.Items[i].ReturnedQuantity
		}
	})
}

// Save writes the state of orders that this transaction has locked and changed, and their timelines, at its end.
func Save(ctx context.Context, tx *outbox.Tx, orders []*Order) error {
	if len(orders) == 0 {
		return nil
	}
	var p dbq.OrderSaveParams
	for _, o := range orders {
		p.IDs = append(p.IDs, o.ID)
		p.ReadAt = append(p.ReadAt, int32(o.readAt))
		p.Statuses = append(p.Statuses, string(o.Status))
		p.PaymentStatuses = append(p.PaymentStatuses, string(o.PaymentStatus))
		p.FulfillmentStatuses = append(p.FulfillmentStatuses, string(o.FulfillmentStatus))
		p.HoldReasons = append(p.HoldReasons, o.HoldReason)
		p.ExceptionCodes = append(p.ExceptionCodes, o.ExceptionCode)
		p.PaidAmounts = append(p.PaidAmounts, o.PaidAmount)
		p.RefundedAmounts = append(p.RefundedAmounts, o.RefundedAmount)
		p.Sequences = append(p.Sequences, int32(o.Sequence))
		p.ExpiresAt = append(p.ExpiresAt, o.ExpiresAt)
		p.PaidAt = append(p.PaidAt, o.PaidAt)
		p.CompletedAt = append(p.CompletedAt, o.CompletedAt)
		p.ClosedAt = append(p.ClosedAt, o.ClosedAt)
	}
	if err := dbq.New(tx.AtEnd()).OrderSave(ctx, p); err != nil {
		return err
	}
	return saveStories(ctx, tx, orders)
}

func saveStories(ctx context.Context, tx *outbox.Tx, orders []*Order) error {
	p := dbq.OrderTimelineInsertParams{At: tx.Now}
	for _, o := range orders {
		for _, e := range o.story {
			p.OrderIds = append(p.OrderIds, o.ID)
			p.Sequences = append(p.Sequences, int32(e.sequence))
			p.Events = append(p.Events, e.event)
			p.Statuses = append(p.Statuses, string(e.status))
			p.PaymentStatuses = append(p.PaymentStatuses, string(e.payment))
			p.FulfillmentStatuses = append(p.FulfillmentStatuses, string(e.units))
			p.Actors = append(p.Actors, e.by.Actor)
			p.Reasons = append(p.Reasons, e.by.Reason)
			p.Traceparents = append(p.Traceparents, cmp.Or(e.by.Traceparent, o.Traceparent))
		}
		o.story, o.readAt = nil, o.Sequence
	}
	if len(p.OrderIds) == 0 {
		return nil
	}
	return dbq.New(tx.AtEnd()).OrderTimelineInsert(ctx, p)
}

// Lock locks the orders in id order and returns those that exist, with their items. Whoever changes stock as well locks
// that first (see LockStock).
func Lock(ctx context.Context, tx *outbox.Tx, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	if len(ids) == 0 {
		return map[uuid.UUID]*Order{}, nil
	}
	var rows []dbq.OrderLockByIDsRow
	var items []dbq.OrderItemsByOrderIDsRow
	err := pgdb.Together(ctx, tx,
		func(db pgdb.DB) (err error) { rows, err = dbq.New(db).OrderLockByIDs(ctx, ids); return err },
		func(db pgdb.DB) (err error) { items, err = dbq.New(db).OrderItemsByOrderIDs(ctx, ids); return err })
	if err != nil {
		return nil, err
	}
	orders := make(map[uuid.UUID]*Order, len(rows))
	for _, row := range rows {
		orders[row.ID] = fromRow(dbq.OrderByIDsRow(row))
	}
	addItems(orders, items)
	return orders, nil
}

// lockFree is Lock without those that somebody else has locked.
func lockFree(ctx context.Context, tx *outbox.Tx, ids []uuid.UUID) ([]*Order, error) {
	q := dbq.New(tx)
	rows, err := q.OrderLockFree(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*Order, len(rows))
	orders := make([]*Order, len(rows))
	for i, row := range rows {
		orders[i] = fromRow(dbq.OrderByIDsRow(row))
		byID[row.ID] = orders[i]
	}
	return orders, loadItems(ctx, q, byID)
}

// oneOf takes the only order of a set that was asked for by one id.
func oneOf(orders map[uuid.UUID]*Order) *Order {
	for _, o := range orders {
		return o
	}
	return nil
}
