package payments

import (
	"context"
	"encoding/json"
	"fmt"

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
		Amount: record.Amount, OccurredAt: s.now().UTC(), Body: body, confirmedBy: by,
	}, nil
}

// confirmedPrefix begins the event id of a confirmation; the attempt's id follows. Reconciliation knows it, too.
const confirmedPrefix = "confirmed:"

func (n *Notice) isConfirmation() bool { return n.confirmedBy.Actor != "" }

// accepts says whether a person takes the wrong amount that an order is on hold for. Then there is nothing left to wait for.
func (n *Notice) accepts(payment *dbq.PaymentLockByIDsRow, order *ordering.Order) bool {
	return n.isConfirmation() && payment.Status == "exception" && order.HoldReason == ordering.HoldWrongAmount
}

// refuse keeps a person from paying by mistake what is paid by another attempt. What a gateway says is never refused.
func (b *application) refuse(notice *Notice) error {
	if !notice.isConfirmation() {
		return nil
	}
	payment := b.payments[notice.PaymentID]
	if payment == nil {
		return fault.New(fault.NotFound, "payment_not_found", "payment_id", notice.PaymentID)
	}
	if order := b.orders[payment.OrderID]; payment.Status != "succeeded" && order.PaymentStatus != ordering.Unpaid {
		return fault.New(fault.Conflict, "order_paid_already", "order_id", order.ID)
	}
	return nil
}
