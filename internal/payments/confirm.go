package payments

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Confirm takes a person's word that an attempt was paid: its gateway's notice is lost and the gateway cannot be asked, or another
// amount came and is taken for the whole. It does what the gateway's notice would have done, and goes into the inbox and
// onto the order's timeline with who said so and why. What is confirmed or paid already stays as it is. Faults: payment_not_found,
// payment_without_order, payment_channel_unknown, order_paid_already, reason_invalid.
func (s *Service) Confirm(ctx context.Context, id uuid.UUID, by ordering.By) (Record, error) {
	if err := ordering.CheckReason(by.Reason); err != nil {
		return Record{}, err
	}
	record, err := s.Get(ctx, id)
	if err != nil {
		return Record{}, err
	}
	if record.Order == nil {
		return Record{}, fault.New(fault.Conflict, "payment_without_order", "payment_id", id)
	}
	channel, err := s.channel(record.Channel)
	if err != nil {
		return Record{}, err
	}
	notice, err := s.confirmation(&record, by)
	if err != nil {
		return Record{}, err
	}
	if _, err := channel.apply.Do(ctx, notice); err != nil {
		return Record{}, err
	}
	return s.Get(ctx, id)
}

// confirmation is the notice that the gateway would have sent.
func (s *Service) confirmation(record *Record, by ordering.By) (Notice, error) {
	body, err := json.Marshal(map[string]string{"confirmed_by": by.Actor, "reason": by.Reason})
	if err != nil {
		return Notice{}, fmt.Errorf("payments: confirmation: %w", err)
	}
	return Notice{
		EventID: confirmedPrefix + record.ID.String(), Type: TypeSucceeded, Account: record.Account, PaymentID: record.ID,
		Amount: record.Amount, OccurredAt: s.now().UTC(), Body: body, confirmedBy: &by,
	}, nil
}

// confirmedPrefix begins the event id of a confirmation; the attempt's id follows. No gateway may use it.
const confirmedPrefix = "confirmed:"

func (n *Notice) isConfirmation() bool { return n.confirmedBy != nil }

// Confirmation is what a person's word for an attempt was about. It is kept with the attempt.
type Confirmation string

// The confirmations. The zero value is of what its gateway told.
const (
	LostNotice  Confirmation = "lost_notice"  // nothing had come from the gateway
	LateNotice  Confirmation = "late_notice"  // nothing had, and the notice came after all
	OtherAmount Confirmation = "other_amount" // what had come was taken for the whole
)

// refuse keeps a person from paying by mistake what is paid by another attempt. What a gateway says is never refused.
func (b *application) refuse(notice *Notice) error {
	if !notice.isConfirmation() {
		return nil
	}
	payment := b.payments[notice.PaymentID]
	if payment == nil || judge(notice, payment, b.orders[payment.OrderID]) != SecondPayment {
		return nil
	}
	return fault.New(fault.Conflict, "order_paid_already", "order_id", payment.OrderID)
}

// loadDoubts reads, where something is confirmed, which attempts of the orders have brought money that was not applied.
func (b *application) loadDoubts(ctx context.Context, notices []Notice, orderIDs []uuid.UUID) (err error) {
	if slices.ContainsFunc(notices, func(n Notice) bool { return n.isConfirmation() }) {
		b.inDoubt, err = b.q.PaymentsInDoubtOf(ctx, orderIDs)
	}
	return err
}

// confirm notes what a person's word is about. If that is the amount that the order is on hold for, the hold ends: before the order
// is paid, because whoever releases a paid one has decided about its risk, too.
func (b *application) confirm(payment *dbq.PaymentLockByIDsRow, order *ordering.Order, by ordering.By) error {
	if payment.Status != "exception" {
		payment.Confirmation = string(LostNotice)
		return nil
	}
	payment.Confirmation = string(OtherAmount)
	if order.Status == ordering.OnHold && order.HoldReason == ordering.HoldWrongAmount && !b.isOtherInDoubt(payment) {
		return order.GoOn(b.tx, by)
	}
	return nil
}

// isOtherInDoubt says whether another attempt of the order has brought money that was not applied, before this batch or in it.
func (b *application) isOtherInDoubt(payment *dbq.PaymentLockByIDsRow) bool {
	for _, stored := range b.inDoubt {
		if stored.OrderID == payment.OrderID && stored.ID != payment.ID {
			return true
		}
	}
	for _, other := range b.payments {
		if other.OrderID == payment.OrderID && other.ID != payment.ID && other.Status == "exception" {
			return true
		}
	}
	return false
}
