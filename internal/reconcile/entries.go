package reconcile

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// Entry is a difference as it is kept.
type Entry struct {
	Difference

	ID        uuid.UUID
	Scope     string
	Status    string // open, gone or resolved
	FirstSeen time.Time
	LastSeen  time.Time
	ClosedAt  *time.Time
	ClosedBy  string
	Note      string
}

// List returns a page of entries of a status, the newest first, and the next page's cursor.
func (s *Service) List(ctx context.Context, status, cursor string, limit int) ([]Entry, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := dbq.New(s.pool).ReconciliationList(ctx, dbq.ReconciliationListParams{
		Status: status, Before: page.Before, MaxRows: page.MaxRows,
	})
	if err != nil {
		return nil, "", err
	}
	rows, next := paging.Cut(page, rows, func(row dbq.ReconciliationEntry) uuid.UUID { return row.ID })
	entries := make([]Entry, len(rows))
	for i, row := range rows {
		entries[i] = entryOf(row)
	}
	return entries, next, nil
}

func entryOf(row dbq.ReconciliationEntry) Entry {
	return Entry{
		Difference: Difference{
			Kind: row.Kind, Subject: row.Subject, What: row.What, Expected: row.Expected, Actual: row.Actual, Suggestion: row.Suggestion,
		},
		ID: row.ID, Scope: row.Scope, Status: row.Status, FirstSeen: row.FirstSeenAt, LastSeen: row.LastSeenAt,
		ClosedAt: row.ClosedAt, ClosedBy: row.ClosedBy, Note: row.Note,
	}
}

const maxNote = 2000 // characters

// Resolve closes an entry: a person has dealt with it. If the difference is there still, the next run opens another. Faults:
// reconciliation_entry_not_open, reason_invalid.
func (s *Service) Resolve(ctx context.Context, id uuid.UUID, actor, note string) (Entry, error) {
	if utf8.RuneCountInString(note) > maxNote {
		return Entry{}, fault.New(fault.Invalid, "reason_invalid", "max", maxNote)
	}
	row, err := dbq.New(s.pool).ReconciliationResolve(ctx, dbq.ReconciliationResolveParams{ID: id, Now: s.now(), Actor: actor, Note: note})
	if errors.Is(err, pgx.ErrNoRows) {
		return Entry{}, fault.New(fault.NotFound, "reconciliation_entry_not_open", "entry_id", id)
	}
	if err != nil {
		return Entry{}, err
	}
	return entryOf(row), nil
}
