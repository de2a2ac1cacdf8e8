package sms

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Queue is where messages are sent.
const Queue = "sms"

// Args of a job that sends a message. The round makes a job do nothing when its message was given to another one since.
type Args struct {
	MessageID uuid.UUID `json:"message_id"`
	Round     int32     `json:"round"`
}

// Kind is "send_sms".
func (Args) Kind() string { return "send_sms" }

// Enlist is the relay's route from events to messages: for each event of an order with a telephone number, whose type
// has an enabled template in the event's language or in English, a row in the ledger, and a job for each row that was
// not there before. Templates are read as they are in this transaction. It takes one statement for the whole set, and
// none when no event is an order's.
func (s *Service) Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	ledger := dbq.SMSMessageEnlistParams{Now: s.now()}
	traceparents := make(map[uuid.UUID]string, len(events))
	for i := range events {
		event := &events[i]
		orderID, err := uuid.Parse(event.AggregateID)
		if event.AggregateType != "order" || err != nil {
			continue // others' events may name orders that are not ours
		}
		traceparents[event.ID] = event.Headers.Traceparent
		ledger.IDs = append(ledger.IDs, uuid.Must(uuid.NewV7()))
		ledger.EventIds = append(ledger.EventIds, event.ID)
		ledger.OccurredAt = append(ledger.OccurredAt, event.OccurredAt)
		ledger.Types = append(ledger.Types, event.Type)
		ledger.Locales = append(ledger.Locales, event.Headers.Locale)
		ledger.OrderIds = append(ledger.OrderIds, orderID)
	}
	if len(ledger.IDs) == 0 {
		return nil, nil
	}
	enlisted, err := dbq.New(tx).SMSMessageEnlist(ctx, ledger)
	if err != nil {
		return nil, fmt.Errorf("sms: enlist: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(enlisted))
	for i, row := range enlisted {
		if jobs[i], err = s.job(Args{MessageID: row.ID, Round: 1}, traceparents[row.EventID]); err != nil {
			return nil, err
		}
	}
	return jobs, nil
}

func (s *Service) job(args Args, traceparent string) (river.InsertManyParams, error) {
	opts := &river.InsertOpts{Queue: Queue, MaxAttempts: s.cfg.MaxAttempts}
	if traceparent != "" {
		var err error
		if opts.Metadata, err = json.Marshal(map[string]string{"traceparent": traceparent}); err != nil {
			return river.InsertManyParams{}, fmt.Errorf("sms: job metadata: %w", err)
		}
	}
	return river.InsertManyParams{Args: args, InsertOpts: opts}, nil
}
