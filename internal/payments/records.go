package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/paging"
)

// Record is a payment as it is looked at afterwards: an attempt, with the notices of it that need a person. Money that
// came without an attempt is a record too, without an order, whose id is its notice's.
type Record struct {
	ID           uuid.UUID
	Order        *ordering.Order // nil: there is no attempt
	Channel      string
	Account      string
	Status       string // "pending", "succeeded" or "exception"
	Amount       ordering.Money
	CreatedAt    time.Time
	SucceededAt  time.Time // zero: not yet
	Confirmation Confirmation
	Exceptions   []Exception // the oldest first
}

// Exception is a notice that needs a person, without its body.
type Exception struct {
	EventID    string
	Type       string
	Outcome    Outcome
	Amount     ordering.Money // what came, which may be another amount than the attempt's
	OccurredAt time.Time      // by the gateway
	ReceivedAt time.Time
}

// Exceptions are the outcomes of notices that need a person.
func Exceptions() []Outcome { return []Outcome{WrongAmount, SecondPayment, LatePayment, Unmatched} }

// Filter says which records to list. What is empty is not asked for.
type Filter struct {
	Exceptions []Outcome // with a notice of one of these outcomes
	Channel    string
	Status     string
	OrderID    uuid.UUID // attempts to pay this order
}

// List returns a page of records, the newest first, and the cursor of the next, empty on the last. With Exceptions, the
// newest is whose latest such notice came last. Errors: cursor_invalid.
func List(ctx context.Context, db dbq.DBTX, filter Filter, cursor string, limit int) ([]Record, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	found, next, err := findRecords(ctx, db, filter, page)
	if err != nil {
		return nil, "", err
	}
	records, err := loadRecords(ctx, db, found)
	return records, next, err
}

// Get returns a record, or the fault payment_not_found.
func Get(ctx context.Context, db dbq.DBTX, id uuid.UUID) (Record, error) {
	records, err := loadRecords(ctx, db, []uuid.UUID{id})
	if err != nil {
		return Record{}, err
	}
	if len(records) == 0 {
		return Record{}, fault.New(fault.NotFound, "payment_not_found", "payment_id", id)
	}
	return records[0], nil
}

// List is List on the service's database.
func (s *Service) List(ctx context.Context, filter Filter, cursor string, limit int) ([]Record, string, error) {
	return List(ctx, s.pool, filter, cursor, limit)
}

// Get is Get on the service's database.
func (s *Service) Get(ctx context.Context, id uuid.UUID) (Record, error) { return Get(ctx, s.pool, id) }

// findRecords finds the ids of a page's records.
func findRecords(ctx context.Context, db dbq.DBTX, filter Filter, page paging.Page) (ids []uuid.UUID, next string, err error) {
	q := dbq.New(db)
	switch {
	case filter.OrderID != uuid.Nil:
		ids, err = q.PaymentIDsOfOrder(ctx, dbq.PaymentIDsOfOrderParams{
			OrderID: filter.OrderID, Channel: filter.Channel, Status: filter.Status, Outcomes: filter.outcomes(),
			Before: page.Before, MaxRows: page.MaxRows,
		})
	case len(filter.Exceptions) > 0:
		return findExceptions(ctx, q, filter, page)
	default:
		statuses := []string{"pending", "succeeded", "exception"}
		if filter.Status != "" {
			statuses = []string{filter.Status}
		}
		ids, err = q.PaymentIDs(ctx, dbq.PaymentIDsParams{
			Statuses: statuses, Channel: filter.Channel, Unmatched: filter.Status == "" || filter.Status == "exception",
			Before: page.Before, MaxRows: page.MaxRows,
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("payments: list: %w", err)
	}
	ids, next = paging.Cut(page, ids, func(id uuid.UUID) uuid.UUID { return id })
	return ids, next, nil
}

func findExceptions(ctx context.Context, q *dbq.Queries, filter Filter, page paging.Page) (ids []uuid.UUID, next string, err error) {
	rows, err := q.PaymentExceptionIDs(ctx, dbq.PaymentExceptionIDsParams{
		Channel: filter.Channel, Status: filter.Status, Outcomes: filter.outcomes(), Before: page.Before, MaxRows: page.MaxRows,
	})
	if err != nil {
		return nil, "", fmt.Errorf("payments: list exceptions: %w", err)
	}
	rows, next = paging.Cut(page, rows, func(row dbq.PaymentExceptionIDsRow) uuid.UUID { return row.ID })
	for _, row := range rows {
		id := row.ID
		if row.PaymentID != nil {
			id = *row.PaymentID
		}
		ids = append(ids, id)
	}
	return ids, next, nil
}

func (f Filter) outcomes() []string {
	names := make([]string, len(f.Exceptions))
	for i, outcome := range f.Exceptions {
		names[i] = string(outcome)
	}
	return names
}

// loadRecords loads those that exist, in the order of their ids in the list.
func loadRecords(ctx context.Context, db dbq.DBTX, ids []uuid.UUID) ([]Record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	q := dbq.New(db)
	attempts, err := q.PaymentByIDs(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("payments: read attempts: %w", err)
	}
	notices, err := q.PaymentExceptions(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("payments: read notices: %w", err)
	}
	orderIDs := make([]uuid.UUID, len(attempts))
	for i, attempt := range attempts {
		orderIDs[i] = attempt.OrderID
	}
	orders, err := ordering.GetMany(ctx, db, orderIDs)
	if err != nil {
		return nil, err
	}
	known := make(map[uuid.UUID]*Record, len(ids))
	for _, attempt := range attempts {
		known[attempt.ID] = recordOf(attempt, orders[attempt.OrderID])
	}
	for _, notice := range notices {
		if notice.PaymentID == nil {
			known[notice.ID] = unmatchedRecord(notice)
			continue
		}
		record := known[*notice.PaymentID]
		record.Exceptions = append(record.Exceptions, exceptionOf(notice))
	}
	records := make([]Record, 0, len(ids))
	for _, id := range ids {
		if record, ok := known[id]; ok {
			records = append(records, *record)
		}
	}
	return records, nil
}

func recordOf(row dbq.PaymentByIDsRow, order *ordering.Order) *Record {
	record := &Record{
		ID: row.ID, Order: order, Channel: row.Channel, Account: row.Account, Status: row.Status,
		Amount: ordering.Money{Amount: row.Amount, Currency: row.Currency}, CreatedAt: row.CreatedAt,
		Confirmation: Confirmation(row.Confirmation),
	}
	if row.SucceededAt != nil {
		record.SucceededAt = *row.SucceededAt
	}
	return record
}

func unmatchedRecord(row dbq.PaymentExceptionsRow) *Record {
	exception := exceptionOf(row)
	return &Record{
		ID: row.ID, Channel: row.Channel, Account: row.Account, Status: "exception", Amount: exception.Amount,
		CreatedAt: row.ReceivedAt, Exceptions: []Exception{exception},
	}
}

func exceptionOf(row dbq.PaymentExceptionsRow) Exception {
	return Exception{
		EventID: row.EventID, Type: row.Type, Outcome: Outcome(row.Outcome),
		Amount:     ordering.Money{Amount: row.Amount, Currency: row.Currency},
		OccurredAt: row.OccurredAt, ReceivedAt: row.ReceivedAt,
	}
}
