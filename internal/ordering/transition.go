package ordering

import (
	"context"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

// The transitions below change a locked order in memory and append its event; Save writes the set.

// MarkPaid applies a payment of the full amount. An order that is on hold stays there: its money is in, and a person
// decides about the rest.
func (o *Order) MarkPaid(tx *outbox.Tx) error {
	o.PaymentStatus, o.PaidAmount, o.PaidAt = Paid, o.Total, tx.Now
	if o.Status == PendingPayment {
		o.Status = Processing
	}
	o.Sequence++
	return appendEvent(tx, o, EventPaid)
}

// Hold stops the order until a person decides.
func (o *Order) Hold(tx *outbox.Tx, reason string) error {
	o.Status, o.HoldReason = OnHold, reason
	o.Sequence++
	return appendEvent(tx, o, EventOnHold)
}

// Complete ends the order: every unit is delivered.
func (o *Order) Complete(tx *outbox.Tx) error {
	o.Status, o.FulfillmentStatus, o.CompletedAt = Completed, Fulfilled, tx.Now
	for i := range o.Items {
		o.Items[i].FulfilledQuantity = o.Items[i].Quantity
	}
	o.Sequence++
	return appendEvent(tx, o, EventCompleted)
}

// Save writes the state of orders that this transaction has locked and changed, at its end.
func Save(ctx context.Context, tx *outbox.Tx, orders []*Order) error {
	if len(orders) == 0 {
		return nil
	}
	var p dbq.OrderSaveParams
	for _, o := range orders {
		p.IDs = append(p.IDs, o.ID)
		p.Statuses = append(p.Statuses, string(o.Status))
		p.PaymentStatuses = append(p.PaymentStatuses, string(o.PaymentStatus))
		p.FulfillmentStatuses = append(p.FulfillmentStatuses, string(o.FulfillmentStatus))
		p.HoldReasons = append(p.HoldReasons, o.HoldReason)
		p.ExceptionCodes = append(p.ExceptionCodes, o.ExceptionCode)
		p.PaidAmounts = append(p.PaidAmounts, o.PaidAmount)
		p.Sequences = append(p.Sequences, int32(o.Sequence))
		p.PaidAt = append(p.PaidAt, o.PaidAt)
		p.CompletedAt = append(p.CompletedAt, o.CompletedAt)
	}
	return dbq.New(tx.AtEnd()).OrderSave(ctx, p)
}

// Lock locks the orders in id order and returns those that exist, with their items.
func Lock(ctx context.Context, tx *outbox.Tx, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	q := dbq.New(tx)
	rows, err := q.OrderLockByIDs(ctx, ids)
	if err != nil {
		return nil, err
	}
	orders := make(map[uuid.UUID]*Order, len(rows))
	for _, row := range rows {
		orders[row.ID] = fromRow(dbq.OrderByIDsRow(row))
	}
	return orders, loadItems(ctx, q, orders)
}
