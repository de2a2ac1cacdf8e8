// Package failedjobs is where jobs that ended badly wait for a person: look, retry, or close with a note.
//
// The entries are written by a trigger on River's table (migration 000018), because only the database sees every way a
// job can end: an error at the last attempt, a panic, a cancellation, a process that died, a kind nobody knows. They
// stay after River has cleaned its own row. What people do about them is recorded beside them and never changed.
package failedjobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// Status of an entry.
type Status string

// The statuses. Every entry begins as open; the others are final.
const (
	Open      Status = "open"
	Retried   Status = "retried"   // set to work again, by us or by others; another failure makes another entry
	Resolved  Status = "resolved"  // a person saw to it by other means
	Discarded Status = "discarded" // a person decided that it need not be done
)

// Entry is one bad end of one job.
type Entry struct {
	ID          uuid.UUID
	JobID       int64 // River's
	Kind        string
	Queue       string
	Args        json.RawMessage // ids only
	Metadata    json.RawMessage
	State       string // "discarded": its attempts were used up, or its kind is unknown; "cancelled": its worker, or a person, gave up
	Attempt     int
	MaxAttempts int
	Error       string // the last one, up to 2,000 characters
	FailedAt    time.Time
	Status      Status
	ClosedAt    *time.Time
}

// Intervention is what somebody did about an entry.
type Intervention struct {
	ID        int64
	Action    string // "retry", "resolve" or "discard"
	Actor     string // "key:<prefix>", "operator:<name>", "database:<role>" or "sweep"
	Note      string
	JobID     *int64 // the job that a retry set to work: the same one, or a copy if River had cleaned it
	CreatedAt time.Time
}

// RetryHook prepares a room for jobs of its kind to run again, in the transaction of the retry: a ledger that says
// "exhausted" has to be opened, or the worker would find nothing to do. It is given the arguments of each job, and
// returns for each why it must not run, nil where it may. An error undoes the retry of all.
type RetryHook func(ctx context.Context, tx pgx.Tx, args [][]byte) (refused []*fault.Error, err error)

// Room is the service.
type Room struct {
	pool  *pgxpool.Pool
	now   func() time.Time
	hooks map[string]RetryHook
}

// New makes the service.
func New(pool *pgxpool.Pool, now func() time.Time) *Room {
	return &Room{pool: pool, now: now, hooks: map[string]RetryHook{}}
}

// OnRetry registers the hook of a kind of job. Call it before the room is used. A second one for a kind panics.
func (r *Room) OnRetry(kind string, hook RetryHook) {
	if _, taken := r.hooks[kind]; taken {
		panic("failedjobs: a second retry hook for " + kind)
	}
	r.hooks[kind] = hook
}

// Filter narrows a list; its zero value means all.
type Filter struct {
	Status Status
	Kind   string
	Queue  string
}

// List gives a page of entries, newest first, and the cursor of the next, empty on the last. Errors: cursor_invalid.
func (r *Room) List(ctx context.Context, filter Filter, cursor string, limit int) ([]Entry, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := r.list(ctx, filter, page)
	if err != nil {
		return nil, "", fmt.Errorf("list failed jobs: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.FailedJob) uuid.UUID { return row.ID })
	entries := make([]Entry, len(rows))
	for i, row := range rows {
		entries[i] = fromRow(row)
	}
	return entries, next, nil
}

func (r *Room) list(ctx context.Context, filter Filter, page paging.Page) ([]dbq.FailedJob, error) {
	if filter.Status == "" {
		return dbq.New(r.pool).FailedJobList(ctx, dbq.FailedJobListParams{
			Before: page.Before, Kind: filter.Kind, Queue: filter.Queue, MaxRows: page.MaxRows,
		})
	}
	return dbq.New(r.pool).FailedJobListOfStatus(ctx, dbq.FailedJobListOfStatusParams{
		Status: string(filter.Status), Before: page.Before, Kind: filter.Kind, Queue: filter.Queue, MaxRows: page.MaxRows,
	})
}

// Get gives an entry and what was done about it, oldest first. Errors: failed_job_not_found.
func (r *Room) Get(ctx context.Context, id uuid.UUID) (Entry, []Intervention, error) {
	q := dbq.New(r.pool)
	row, err := q.FailedJobGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, nil, notFound(id)
	}
	if err != nil {
		return Entry{}, nil, fmt.Errorf("failed job %s: %w", id, err)
	}
	rows, err := q.FailedJobInterventions(ctx, id)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("interventions of failed job %s: %w", id, err)
	}
	interventions := make([]Intervention, len(rows))
	for i, row := range rows {
		interventions[i] = Intervention(row)
	}
	return fromRow(row), interventions, nil
}

// CountOpen says how many entries of each kind wait for a person.
func (r *Room) CountOpen(ctx context.Context) (map[string]int, error) {
	rows, err := dbq.New(r.pool).FailedJobsOpen(ctx)
	if err != nil {
		return nil, fmt.Errorf("count failed jobs: %w", err)
	}
	counts := make(map[string]int, len(rows))
	for _, row := range rows {
		counts[row.Kind] += int(row.Jobs)
	}
	return counts, nil
}

func notFound(id uuid.UUID) *fault.Error {
	return fault.New(fault.NotFound, "failed_job_not_found", "id", id.String())
}

func fromRow(row dbq.FailedJob) Entry {
	return Entry{
		ID: row.ID, JobID: row.JobID, Kind: row.Kind, Queue: row.Queue, Args: row.Args, Metadata: row.Metadata, State: row.State,
		Attempt: int(row.Attempt), MaxAttempts: int(row.MaxAttempts), Error: row.Error, FailedAt: row.FailedAt,
		Status: Status(row.Status), ClosedAt: row.ClosedAt,
	}
}
