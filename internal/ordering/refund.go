package ordering

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

// RefundLine asks for units of a line to be refunded.
type RefundLine struct {
	Line     int
	Quantity int
}

// Taken is what a refund takes back.
type Taken struct {
	Amount Money
	Lines  []TakenLine
}

// TakenLine is one line of a refund: of its units, Returned had not been delivered and went back to the stock; the
// cards of the others are revoked.
type TakenLine struct {
	Line     int
	Quantity int
	Returned int
}

// Refund takes units of a locked, paid order back, all that are left where lines is nil: those that were not delivered
// return to the stock, which is locked as well, and the cards of those that were are revoked and never sold again. The
// money is the caller's to give back. Faults: order_state_wrong, refund_exceeds_order, refund_lines_invalid.
func Refund(ctx context.Context, tx *outbox.Tx, o *Order, shelf *Shelf, lines []RefundLine, by By) (Taken, error) {
	refund := Taken{Amount: Money{Currency: o.Currency}}
	if o.PaymentStatus == Unpaid || !isRefundable(o) {
		return refund, o.refuse()
	}
	quantities, err := refundQuantities(o, lines)
	if err != nil {
		return refund, err
	}
	for i := range o.Items {
		item, quantity := &o.Items[i], quantities[i]
		if quantity == 0 {
			continue
		}
		returned := min(quantity, item.Due())
		if o.HoldsStock() {
			shelf.move(item.ProductID, int64(returned))
		}
		item.RefundedQuantity += quantity
		item.ReturnedQuantity += returned
		refund.Amount.Amount += int64(quantity) * item.UnitPrice
		refund.Lines = append(refund.Lines, TakenLine{item.Line, quantity, returned})
	}
	o.RefundedAmount += refund.Amount.Amount
	if o.PaymentStatus = PartiallyRefunded; o.RefundedAmount == o.PaidAmount {
		o.PaymentStatus = Refunded
	}
	if err := o.step(tx, EventRefunded, by, func() {
		if o.Status == Canceled {
			o.ClosedAt = tx.Now
		}
	}); err != nil {
		return refund, err
	}
	return refund, saveRefund(ctx, tx, o, refund)
}

func isRefundable(o *Order) bool {
	return o.Status == Processing || o.Status == OnHold || o.Status == Completed
}

// refundQuantities is how many units of each item are meant.
func refundQuantities(o *Order, lines []RefundLine) ([]int, error) {
	quantities := make([]int, len(o.Items))
	total := 0
	for i, item := range o.Items {
		if lines == nil {
			quantities[i] = item.Quantity - item.RefundedQuantity
		}
		for _, line := range lines {
			if line.Line == item.Line {
				quantities[i] += line.Quantity
				total -= line.Quantity // found below
			}
		}
		if left := item.Quantity - item.RefundedQuantity; quantities[i] > left {
			return nil, fault.New(fault.Conflict, "refund_exceeds_order", "line", item.Line, "left", left)
		}
	}
	for _, line := range lines {
		if total += line.Quantity; line.Quantity < 1 {
			return nil, fault.New(fault.Invalid, "refund_lines_invalid")
		}
	}
	if lines != nil && (len(lines) == 0 || total != 0) {
		return nil, fault.New(fault.Invalid, "refund_lines_invalid")
	}
	for _, quantity := range quantities {
		if quantity > 0 {
			return quantities, nil
		}
	}
	return nil, fault.New(fault.Conflict, "refund_exceeds_order", "line", 1, "left", 0)
}

func saveRefund(ctx context.Context, tx *outbox.Tx, o *Order, refund Taken) error {
	var items dbq.OrderItemsRefundParams
	var revoke dbq.CardRevokeUnitsParams
	cards := int64(0)
	for _, line := range refund.Lines {
		items.OrderIds, items.Lines = append(items.OrderIds, o.ID), append(items.Lines, int32(line.Line))
		items.Refunded, items.Returned = append(items.Refunded, int32(line.Quantity)), append(items.Returned, int32(line.Returned))
		if used := line.Quantity - line.Returned; used > 0 && o.kindOf(line.Line) == KindCard {
			revoke.OrderIds, revoke.Lines = append(revoke.OrderIds, o.ID), append(revoke.Lines, int32(line.Line))
			revoke.Quantities = append(revoke.Quantities, int32(used))
			cards += int64(used)
		}
	}
	q := dbq.New(tx)
	if err := q.OrderItemsRefund(ctx, items); err != nil {
		return err
	}
	if cards == 0 {
		return nil
	}
	revoked, err := q.CardRevokeUnits(ctx, revoke)
	if err == nil && revoked != cards {
		return fmt.Errorf("ordering: refund of %s: %d cards of %d could be revoked", o.ID, revoked, cards)
	}
	return err
}

func (o *Order) kindOf(line int) string {
	for _, item := range o.Items {
		if item.Line == line {
			return item.Kind
		}
	}
	return ""
}

// RefundOne runs Refund on one order in a transaction of the caller's: before is asked once the order is locked, and add
// does what else belongs to it.
func RefundOne(
	ctx context.Context, tx *outbox.Tx, id uuid.UUID, lines []RefundLine, by By, before func(*Order) error, add func(*Order, Taken) error,
) (*Order, error) {
	shelf, err := LockStock(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	locked, err := Lock(ctx, tx, []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	o := oneOf(locked)
	if o == nil {
		return nil, fault.New(fault.NotFound, "order_not_found", "order_id", id)
	}
	if err := before(o); err != nil {
		return nil, err
	}
	refund, err := Refund(ctx, tx, o, shelf, lines, by)
	if err != nil {
		return nil, err
	}
	if err := add(o, refund); err != nil {
		return nil, err
	}
	if err := shelf.Save(ctx, tx); err != nil {
		return nil, err
	}
	return o, Save(ctx, tx, []*Order{o})
}
