package ordering

import (
	"context"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

// MaxReason bounds why a step was taken, in characters.
const MaxReason = 500

// CheckReason bounds what a person says about a step. Fault: reason_invalid.
func CheckReason(reason string) error {
	if utf8.RuneCountInString(reason) > MaxReason {
		return fault.New(fault.Invalid, "reason_invalid", "max", MaxReason)
	}
	return nil
}

// Cancel ends an unpaid order and gives its stock back. Faults: order_not_found, order_state_wrong (one that is paid has
// to be refunded), reason_invalid.
func (s *Service) Cancel(ctx context.Context, id uuid.UUID, by By) (*Order, error) {
	return s.change(ctx, id, by, func(tx *outbox.Tx, o *Order, shelf *Shelf) error { return o.cancel(tx, shelf, by) })
}

// CancelHeld is Cancel for an order that is on hold, and for no other.
func (s *Service) CancelHeld(ctx context.Context, id uuid.UUID, by By) (*Order, error) {
	return s.change(ctx, id, by, func(tx *outbox.Tx, o *Order, shelf *Shelf) error {
		if err := o.MustBeHeld(); err != nil {
			return err
		}
		return o.cancel(tx, shelf, by)
	})
}

func (o *Order) cancel(tx *outbox.Tx, shelf *Shelf, by By) error {
	if o.CanStep(EventCanceled) {
		shelf.giveBack(o)
	}
	return o.step(tx, EventCanceled, by, func() { o.ClosedAt = tx.Now })
}

// Hold stops an order until somebody releases or rejects it: nothing is delivered meanwhile. Faults as of Cancel.
func (s *Service) Hold(ctx context.Context, id uuid.UUID, by By) (*Order, error) {
	return s.change(ctx, id, by, func(tx *outbox.Tx, o *Order, _ *Shelf) error {
		if o.Status == Expired || o.Status == Canceled { // only late money holds what has ended
			return o.refuse()
		}
		return o.Hold(tx, HoldManual, by)
	})
}

// Release lets a held order go on: an unpaid one can be paid again for as long as it first could be, a paid one is delivered. One that
// holds no stock needs some. Faults as of Cancel, and out_of_stock.
func (s *Service) Release(ctx context.Context, id uuid.UUID, by By) (*Order, error) {
	return s.change(ctx, id, by, func(tx *outbox.Tx, o *Order, shelf *Shelf) error { return release(tx, o, shelf, by) })
}

func release(tx *outbox.Tx, o *Order, shelf *Shelf, by By) error {
	if o.Status == OnHold && !o.HoldsStock() {
		if err := shelf.Reserve(o); err != nil {
			return err
		}
	}
	return o.GoOn(tx, by)
}

// GoOn releases a locked order that holds its stock.
func (o *Order) GoOn(tx *outbox.Tx, by By) error {
	return o.step(tx, EventReleased, by, func() {
		if o.PaymentStatus == Unpaid {
			o.ExpiresAt = tx.Now.Add(o.ttl)
		}
	})
}

// change runs one step of one order in a transaction: its stock is locked, then the order.
func (s *Service) change(ctx context.Context, id uuid.UUID, by By, step func(*outbox.Tx, *Order, *Shelf) error) (*Order, error) {
	if err := CheckReason(by.Reason); err != nil {
		return nil, err
	}
	var order *Order
	err := s.box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		shelf, err := LockStock(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		locked, err := Lock(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if order = oneOf(locked); order == nil {
			return fault.New(fault.NotFound, "order_not_found", "order_id", id)
		}
		if err := step(tx, order, shelf); err != nil {
			return err
		}
		if err := shelf.Save(ctx, tx); err != nil {
			return err
		}
		return Save(ctx, tx, []*Order{order})
	})
	return order, err
}
