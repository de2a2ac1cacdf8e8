package payments

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// What a refund's end may follow. A job leaves to people what is theirs, and they leave it what it is at: whoever gives
// money back while the gateway does so as well has given it twice.
var (
	jobMaySettle    = []string{string(RefundPending), string(RefundUnknown)}
	personMaySettle = []string{string(RefundManual), string(RefundUnknown), string(RefundRefused)}
)

// SettleRefund records that a person has given the money back: where no gateway could, where one refused, or where nobody
// knew. Faults: refund_not_found, refund_in_progress, refund_finished.
func (s *Service) SettleRefund(ctx context.Context, id uuid.UUID, reference, actor string) (Refunding, error) {
	err := s.box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		return settle(ctx, tx, id, personMaySettle, RefundAnswer{
			Status: RefundSucceeded, Reference: reference, Reason: "settled by " + actor,
		})
	})
	if err != nil {
		return Refunding{}, err
	}
	return s.RefundByID(ctx, id)
}

// settle writes what became of a refund, with the event of an end. Faults: refund_not_found; refund_in_progress and
// refund_finished where it stands at none of from.
func settle(ctx context.Context, tx *outbox.Tx, id uuid.UUID, from []string, answer RefundAnswer) error {
	q := dbq.New(tx)
	row, err := q.RefundToDo(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "refund_not_found", "refund_id", id)
	}
	if err != nil {
		return err
	}
	p := dbq.RefundSettleParams{ID: id, Status: string(answer.Status), Reference: answer.Reference, Error: answer.Reason, Before: from}
	if answer.Status == RefundSucceeded || answer.Status == RefundRefused {
		p.FinishedAt = tx.Now
	}
	n, err := q.RefundSettle(ctx, p)
	if err != nil {
		return err
	}
	if n == 0 && RefundStatus(row.Status) == RefundPending {
		return fault.New(fault.Conflict, "refund_in_progress", "refund_id", id)
	}
	if n == 0 {
		return fault.New(fault.Conflict, "refund_finished", "refund_id", id)
	}
	return announceRefund(tx, row, answer)
}

func announceRefund(tx *outbox.Tx, row dbq.RefundToDoRow, answer RefundAnswer) error {
	eventType := map[RefundStatus]string{RefundSucceeded: EventRefunded, RefundRefused: EventRefundFailed}[answer.Status]
	if eventType == "" {
		return nil
	}
	payload, err := json.Marshal(map[string]any{
		"refund_id": row.ID, "order_id": row.OrderID, "payment_id": row.PaymentID, "status": answer.Status,
		"amount": ordering.Money{Amount: row.Amount, Currency: row.Currency}, "reason": answer.Reason,
	})
	if err != nil {
		return fmt.Errorf("payments: event payload: %w", err)
	}
	tx.Append(outbox.Event{
		AggregateType: "payment", AggregateID: row.PaymentID.String(), Type: eventType, Payload: payload,
		Headers: outbox.Headers{Traceparent: row.Traceparent, Locale: row.Locale},
	})
	return nil
}
