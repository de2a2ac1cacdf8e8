package failedjobs

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

const (
	// MaxNote bounds a note, in characters.
	MaxNote = 2000
	// MaxBulk bounds how many entries one call of Bulk acts on.
	MaxBulk = 500
)

// Action is what a person does about an entry.
type Action string

// The actions.
const (
	ActionRetry   Action = "retry"
	ActionResolve Action = "resolve"
	ActionDiscard Action = "discard"
)

// Retry sets the job to work again with all its attempts, and closes the entry as retried. When River has cleaned the
// job's row, a job just like it is inserted. It returns the job's id. Of several who do it at once exactly one succeeds.
//
// Errors: failed_job_not_found; failed_job_closed; failed_job_superseded when another job with the same unique key is
// at work already; failed_job_note_invalid; and what the kind's hook returns.
func (r *Room) Retry(ctx context.Context, id uuid.UUID, actor, note string) (int64, error) {
	return r.actOnOne(ctx, id, ActionRetry, actor, note)
}

// Resolve closes an entry whose work was done by other means; the note says how. Errors: failed_job_not_found,
// failed_job_closed, failed_job_note_missing, failed_job_note_invalid.
func (r *Room) Resolve(ctx context.Context, id uuid.UUID, actor, note string) error {
	_, err := r.actOnOne(ctx, id, ActionResolve, actor, note)
	return err
}

// Discard closes an entry whose work need not be done; the note says why. Errors are as for Resolve.
func (r *Room) Discard(ctx context.Context, id uuid.UUID, actor, note string) error {
	_, err := r.actOnOne(ctx, id, ActionDiscard, actor, note)
	return err
}

// actOnOne acts on a set of one, and returns the job that a retry set to work.
func (r *Room) actOnOne(ctx context.Context, id uuid.UUID, action Action, actor, note string) (int64, error) {
	d, err := newDeed(action, actor, note)
	if err != nil {
		return 0, err
	}
	got, err := r.act(ctx, []uuid.UUID{id}, d)
	if err != nil {
		return 0, err
	}
	if refused := got.refused[id]; refused != nil {
		return 0, refused
	}
	return got.jobs[id], nil
}

// BulkResult says what became of the entries that Bulk found.
type BulkResult struct {
	Done    int
	Refused map[uuid.UUID]*fault.Error // somebody else was faster, say
	More    bool                       // there are more than were acted on
}

// Bulk acts on up to limit (MaxBulk at the most) open entries that the filter lets through, newest first: one that is
// refused holds back no other. The filter's status is not looked at. Errors: the note's faults, and what is no fault.
func (r *Room) Bulk(ctx context.Context, action Action, filter Filter, limit int, actor, note string) (BulkResult, error) {
	d, err := newDeed(action, actor, note)
	if err != nil {
		return BulkResult{}, err
	}
	filter.Status = Open
	limit = min(max(limit, 1), MaxBulk)
	rows, err := r.list(ctx, filter, paging.Page{Before: uuid.Max, MaxRows: int32(limit) + 1})
	if err != nil {
		return BulkResult{}, err
	}
	more := len(rows) > limit
	ids := make([]uuid.UUID, min(len(rows), limit))
	for i := range ids {
		ids[i] = rows[i].ID
	}
	got, err := r.act(ctx, ids, d)
	if err != nil {
		return BulkResult{}, err
	}
	return BulkResult{Done: len(ids) - len(got.refused), Refused: got.refused, More: more}, nil
}

// deed is what somebody does, and why.
type deed struct {
	action      Action
	actor, note string
}

func newDeed(action Action, actor, note string) (deed, error) {
	note = strings.TrimSpace(note)
	switch {
	case note == "" && action != ActionRetry:
		return deed{}, fault.New(fault.Invalid, "failed_job_note_missing")
	case utf8.RuneCountInString(note) > MaxNote || !utf8.ValidString(note) || strings.ContainsRune(note, 0):
		return deed{}, fault.New(fault.Invalid, "failed_job_note_invalid", "max", MaxNote)
	}
	return deed{action, actor, note}, nil
}

// leaves is the status that it leaves an entry in.
func (d deed) leaves() Status {
	switch d.action {
	case ActionResolve:
		return Resolved
	case ActionDiscard:
		return Discarded
	default:
		return Retried
	}
}
