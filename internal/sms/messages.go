package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/paging"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Message is a message as the ledger shows it. Its text is not kept: it can be written again from the event.
type Message struct {
	ID                uuid.UUID
	EventID           uuid.UUID
	EventType         string
	TemplateID        uuid.UUID // may be gone
	OrderID           uuid.UUID
	RecipientMasked   string
	Locale            string // of the text
	Status            string
	Attempts          int32 // how often a provider was asked
	Provider          string
	ProviderMessageID string
	Segments          *int32 // nil until the first attempt
	ErrorCode         string
	Error             string
	CreatedAt         time.Time
	SentAt            *time.Time
	FinishedAt        *time.Time
}

// MessageFilter narrows a list; its zero value means all.
type MessageFilter struct {
	Status  Status
	OrderID uuid.UUID
}

// Messages gives a page of messages, newest first, and the cursor of the next, empty on the last. Errors: cursor_invalid.
func (s *Service) Messages(ctx context.Context, filter MessageFilter, cursor string, limit int) ([]Message, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	messages, err := s.messages(ctx, filter, page)
	if err != nil {
		return nil, "", fmt.Errorf("sms: list messages: %w", err)
	}
	messages, next := paging.Cut(page, messages, func(m Message) uuid.UUID { return m.ID })
	return messages, next, nil
}

// messages asks one of three queries, each of which has its index.
func (s *Service) messages(ctx context.Context, filter MessageFilter, page paging.Page) (out []Message, err error) {
	q := dbq.New(s.deps.Pool)
	switch {
	case filter.OrderID != uuid.Nil:
		found, err := q.SMSMessageListOfOrder(ctx, dbq.SMSMessageListOfOrderParams{
			OrderID: filter.OrderID, Status: string(filter.Status), Before: page.Before, MaxRows: page.MaxRows,
		})
		for _, row := range found {
			out = append(out, Message(row))
		}
		return out, err
	case filter.Status != "":
		found, err := q.SMSMessageListOfStatus(ctx, dbq.SMSMessageListOfStatusParams{
			Status: string(filter.Status), Before: page.Before, MaxRows: page.MaxRows,
		})
		for _, row := range found {
			out = append(out, Message(row))
		}
		return out, err
	default:
		found, err := q.SMSMessageList(ctx, dbq.SMSMessageListParams{Before: page.Before, MaxRows: page.MaxRows})
		for _, row := range found {
			out = append(out, Message(row))
		}
		return out, err
	}
}

// Message gives one message. Errors: sms_message_not_found.
func (s *Service) Message(ctx context.Context, id uuid.UUID) (Message, error) {
	row, err := dbq.New(s.deps.Pool).SMSMessageGet(ctx, id)
	if err != nil {
		return Message{}, messageNotFound(err, id)
	}
	return Message(row), nil
}

// Resend sends a message again that failed or whose outcome is unknown, with a new job and all its attempts. The
// provider is given the same reference, and the failed job that it had is closed in the actor's name. Of several who do it at once
// one succeeds.
//
// Errors: sms_message_not_found; sms_message_not_resendable while it is being sent and after it was;
// sms_template_gone when its template was deleted.
func (s *Service) Resend(ctx context.Context, id uuid.UUID, actor string) (Message, error) {
	var m Message
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		rows, err := q.SMSMessagesLock(ctx, []uuid.UUID{id})
		if err != nil {
			return fmt.Errorf("sms: lock message %s: %w", id, err)
		}
		if len(rows) == 0 {
			return messageNotFound(pgx.ErrNoRows, id)
		}
		row := rows[0]
		if status := Status(row.Status); status != StatusFailed && status != StatusUnknown {
			return fault.New(fault.Conflict, "sms_message_not_resendable", "id", id.String(), "message_status", row.Status)
		}
		if !row.HasTemplate {
			return fault.New(fault.Gone, "sms_template_gone", "id", id.String())
		}
		if err := s.reopen(ctx, q, 1, row.ID); err != nil {
			return err
		}
		if err := s.insertJob(ctx, tx, row, row.Round+1); err != nil {
			return err
		}
		err = q.FailedJobsSupersede(ctx, dbq.FailedJobsSupersedeParams{
			Kind: Args{}.Kind(), Argument: "message_id", IDs: []string{row.ID.String()}, Actor: actor, Now: s.now(),
		})
		if err != nil {
			return fmt.Errorf("sms: close failed jobs of message %s: %w", row.ID, err)
		}
		after, err := q.SMSMessageGet(ctx, id)
		m = Message(after)
		return err
	})
	return m, err
}

// BeforeRetry prepares messages whose failed jobs are set to work again as they are: failedjobs calls it for the kind
// send_sms in the transaction of the retry. A person has decided, so an unknown outcome does not hold it back. Refused
// are: sms_message_superseded when the message was sent or has another job since, sms_message_not_found.
func (s *Service) BeforeRetry(ctx context.Context, tx pgx.Tx, rawArgs [][]byte) ([]*fault.Error, error) {
	args := make([]Args, len(rawArgs))
	ids := make([]uuid.UUID, len(rawArgs))
	for i, raw := range rawArgs {
		_ = json.Unmarshal(raw, &args[i]) // what names no message is not found
		ids[i] = args[i].MessageID
	}
	q := dbq.New(tx)
	rows, err := q.SMSMessagesLock(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("sms: lock messages: %w", err)
	}
	found := make(map[uuid.UUID]dbq.SMSMessagesLockRow, len(rows))
	for _, row := range rows {
		found[row.ID] = row
	}
	refused := make([]*fault.Error, len(args))
	var ready []uuid.UUID
	for i, a := range args {
		row, ok := found[a.MessageID]
		switch {
		case !ok:
			refused[i] = fault.New(fault.NotFound, "sms_message_not_found", "id", a.MessageID.String())
		case row.Round != a.Round || wasSent(Status(row.Status)):
			refused[i] = fault.New(fault.Conflict, "sms_message_superseded", "id", a.MessageID.String())
		default:
			ready = append(ready, a.MessageID)
		}
	}
	return refused, s.reopen(ctx, q, 0, ready...)
}

func wasSent(status Status) bool {
	return status == StatusSent || status == StatusDelivered || status == StatusUndelivered
}

// reopen opens messages for a number of further rounds: 1 for a new job, 0 for the one that there is.
func (s *Service) reopen(ctx context.Context, q *dbq.Queries, rounds int32, ids ...uuid.UUID) error {
	if err := q.SMSMessagesReopen(ctx, dbq.SMSMessagesReopenParams{IDs: ids, Rounds: rounds, Now: s.now()}); err != nil {
		return fmt.Errorf("sms: reopen messages: %w", err)
	}
	return nil
}

// insertJob inserts the job of a round, in the trace of the event if that is still kept.
func (s *Service) insertJob(ctx context.Context, tx pgx.Tx, row dbq.SMSMessagesLockRow, round int32) error {
	var headers outbox.Headers
	event, err := dbq.New(tx).OutboxEvent(ctx, dbq.OutboxEventParams{ID: row.EventID, OccurredAt: row.EventOccurredAt})
	if err == nil {
		err = json.Unmarshal(event.Headers, &headers)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("sms: event of message %s: %w", row.ID, err)
	}
	job, err := s.job(Args{MessageID: row.ID, Round: round}, headers.Traceparent)
	if err != nil {
		return err
	}
	if _, err := s.deps.Jobs.InsertManyFastTx(ctx, tx, []river.InsertManyParams{job}); err != nil {
		return fmt.Errorf("sms: insert job: %w", err)
	}
	return nil
}

func messageNotFound(err error, id uuid.UUID) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "sms_message_not_found", "id", id.String())
	}
	return fmt.Errorf("sms: message %s: %w", id, err)
}
