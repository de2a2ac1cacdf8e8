package failedjobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// MaxNote bounds a note, in characters.
const MaxNote = 2000

// riverUnique is River's index over the unique keys of jobs that are not finished.
const riverUnique = "river_job_unique_idx"

// Retry sets the job to work again with all its attempts, and closes the entry as retried. When River has cleaned the
// job's row, a job just like it is inserted. It returns the job's id. Of several who do it at once exactly one succeeds.
//
// Errors: failed_job_not_found; failed_job_closed; failed_job_superseded when another job with the same unique key is
// at work already; failed_job_note_invalid; and what the kind's hook returns.
func (r *Room) Retry(ctx context.Context, id uuid.UUID, actor, note string) (int64, error) {
	note, err := checkNote(note, false)
	if err != nil {
		return 0, err
	}
	var jobID int64
	err = pgdb.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		row, exists, err := lock(ctx, q, id)
		if err != nil {
			return err
		}
		// Closed first: the trigger, when the job leaves its state, must find nothing left to close.
		if err := r.close(ctx, q, id, Retried); err != nil {
			return err
		}
		if hook := r.hooks[row.Kind]; hook != nil {
			if err := hook(ctx, tx, row.Kind, row.Args); err != nil {
				return fmt.Errorf("prepare for a retry of %s: %w", row.Kind, err)
			}
		}
		if jobID, err = setToWork(ctx, q, row, exists); err != nil {
			return err
		}
		return r.record(ctx, q, id, "retry", actor, note, &jobID)
	})
	if pgdb.IsUniqueViolation(err, riverUnique) {
		return 0, fault.Wrap(err, fault.Conflict, "failed_job_superseded", "id", id.String())
	}
	return jobID, err
}

// Resolve closes an entry whose work was done by other means; the note says how. Errors: failed_job_not_found,
// failed_job_closed, failed_job_note_missing, failed_job_note_invalid.
func (r *Room) Resolve(ctx context.Context, id uuid.UUID, actor, note string) error {
	return r.closeWithNote(ctx, id, Resolved, "resolve", actor, note)
}

// Discard closes an entry whose work need not be done; the note says why. Errors are as for Resolve.
func (r *Room) Discard(ctx context.Context, id uuid.UUID, actor, note string) error {
	return r.closeWithNote(ctx, id, Discarded, "discard", actor, note)
}

func (r *Room) closeWithNote(ctx context.Context, id uuid.UUID, status Status, action, actor, note string) error {
	note, err := checkNote(note, true)
	if err != nil {
		return err
	}
	return pgdb.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if _, _, err := lock(ctx, q, id); err != nil {
			return err
		}
		if err := r.close(ctx, q, id, status); err != nil {
			return err
		}
		return r.record(ctx, q, id, action, actor, note, nil)
	})
}

// lock takes River's row, if it is still there, and then ours, in the order in which River's updates and the trigger
// take them, and wants the entry to be open.
func lock(ctx context.Context, q *dbq.Queries, id uuid.UUID) (row dbq.FailedJob, riverHasIt bool, err error) {
	if row, err = q.FailedJobGet(ctx, id); err != nil {
		return row, false, notFound(err, id)
	}
	_, err = q.FailedJobLockRiverRow(ctx, row.JobID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return row, false, fmt.Errorf("lock job %d: %w", row.JobID, err)
	}
	riverHasIt = err == nil
	status, err := q.FailedJobLockStatus(ctx, id)
	if err != nil {
		return row, false, notFound(err, id)
	}
	if Status(status) != Open {
		return row, false, fault.New(fault.Conflict, "failed_job_closed", "id", id.String(), "closed_as", status)
	}
	return row, riverHasIt, nil
}

func (r *Room) close(ctx context.Context, q *dbq.Queries, id uuid.UUID, status Status) error {
	err := q.FailedJobClose(ctx, dbq.FailedJobCloseParams{ID: id, Status: string(status), ClosedAt: r.now().UTC()})
	if err != nil {
		return fmt.Errorf("close failed job %s: %w", id, err)
	}
	return nil
}

func setToWork(ctx context.Context, q *dbq.Queries, row dbq.FailedJob, riverHasIt bool) (int64, error) {
	if riverHasIt {
		err := q.FailedJobRevive(ctx, dbq.FailedJobReviveParams{ID: row.JobID, MaxAttempts: int16(row.MaxAttempts)})
		if err != nil {
			return 0, fmt.Errorf("revive job %d: %w", row.JobID, err)
		}
		return row.JobID, nil
	}
	jobID, err := q.FailedJobReinsert(ctx, dbq.FailedJobReinsertParams{
		Kind: row.Kind, Queue: row.Queue, Args: row.Args, Metadata: row.Metadata, MaxAttempts: int16(row.MaxAttempts),
	})
	if err != nil {
		return 0, fmt.Errorf("insert job %d again: %w", row.JobID, err)
	}
	return jobID, nil
}

func (r *Room) record(ctx context.Context, q *dbq.Queries, id uuid.UUID, action, actor, note string, jobID *int64) error {
	err := q.FailedJobInterventionInsert(ctx, dbq.FailedJobInterventionInsertParams{
		FailedJobID: id, Action: action, Actor: actor, Note: note, JobID: jobID, CreatedAt: r.now().UTC(),
	})
	if err != nil {
		return fmt.Errorf("record what was done about failed job %s: %w", id, err)
	}
	return nil
}

func checkNote(note string, required bool) (string, error) {
	note = strings.TrimSpace(note)
	switch {
	case note == "" && required:
		return "", fault.New(fault.Invalid, "failed_job_note_missing")
	case utf8.RuneCountInString(note) > MaxNote || !utf8.ValidString(note) || strings.ContainsRune(note, 0):
		return "", fault.New(fault.Invalid, "failed_job_note_invalid", "max", MaxNote)
	}
	return note, nil
}
