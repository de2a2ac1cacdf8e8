package failedjobs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// riverUnique is River's index over the unique keys of jobs that are not finished.
const riverUnique = "river_job_unique_idx"

// outcome says what became of a set of entries. Those that were not refused are closed.
type outcome struct {
	jobs    map[uuid.UUID]int64 // the job that a retry set to work, of each entry
	refused map[uuid.UUID]*fault.Error
}

func newOutcome() outcome {
	return outcome{jobs: map[uuid.UUID]int64{}, refused: map[uuid.UUID]*fault.Error{}}
}

// act does something about a set of entries, in one transaction. Where a job's unique key has become another's, which
// the database does not say of which job, the set is halved until that entry stands alone and the others are done.
func (r *Room) act(ctx context.Context, ids []uuid.UUID, d deed) (outcome, error) {
	got := newOutcome()
	err := pgdb.InTx(ctx, r.pool, func(tx pgx.Tx) error { return r.actIn(ctx, tx, ids, d, got) })
	if !pgdb.IsUniqueViolation(err, riverUnique) {
		return got, err
	}
	got = newOutcome()
	if len(ids) == 1 {
		got.refused[ids[0]] = fault.Wrap(err, fault.Conflict, "failed_job_superseded", "id", ids[0].String())
		return got, nil
	}
	for _, half := range [][]uuid.UUID{ids[:len(ids)/2], ids[len(ids)/2:]} {
		part, err := r.act(ctx, half, d)
		if err != nil {
			return got, err
		}
		maps.Copy(got.jobs, part.jobs)
		maps.Copy(got.refused, part.refused)
	}
	return got, nil
}

func (r *Room) actIn(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, d deed, got outcome) error {
	q := dbq.New(tx)
	rows, inRiver, err := lock(ctx, q, ids, got.refused)
	if err != nil {
		return err
	}
	if d.action == ActionRetry {
		if rows, err = r.prepare(ctx, tx, rows, got.refused); err != nil {
			return err
		}
	}
	done := dbq.FailedJobInterventionsInsertParams{Action: string(d.action), Actor: d.actor, Note: d.note, CreatedAt: r.now().UTC()}
	for _, row := range rows {
		done.IDs = append(done.IDs, row.ID)
	}
	// Closed first: the trigger, when a job leaves its state, must find nothing left to close.
	err = q.FailedJobsClose(ctx, dbq.FailedJobsCloseParams{IDs: done.IDs, Status: string(d.leaves()), ClosedAt: done.CreatedAt})
	if err != nil {
		return fmt.Errorf("close failed jobs: %w", err)
	}
	if d.action == ActionRetry {
		if err := setToWork(ctx, q, rows, inRiver, got.jobs); err != nil {
			return err
		}
	}
	for _, id := range done.IDs {
		done.Jobs = append(done.Jobs, got.jobs[id]) // 0 where there is none
	}
	if err := q.FailedJobInterventionsInsert(ctx, done); err != nil {
		return fmt.Errorf("record what was done about failed jobs: %w", err)
	}
	return nil
}

// lock takes River's rows, those that are still there, and then ours, in the order in which River's updates and the
// trigger take them. It returns the entries that are open and the jobs that River has, and refuses the other entries.
func lock(
	ctx context.Context, q *dbq.Queries, ids []uuid.UUID, refused map[uuid.UUID]*fault.Error,
) (open []dbq.FailedJob, inRiver map[int64]bool, err error) {
	jobs, err := q.FailedJobsLockRiverRows(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("lock the jobs of failed jobs: %w", err)
	}
	inRiver = make(map[int64]bool, len(jobs))
	for _, id := range jobs {
		inRiver[id] = true
	}
	rows, err := q.FailedJobsLock(ctx, ids)
	if err != nil {
		return nil, nil, fmt.Errorf("lock failed jobs: %w", err)
	}
	for _, id := range ids {
		refused[id] = notFound(id)
	}
	for _, row := range rows {
		if Status(row.Status) != Open {
			refused[row.ID] = fault.New(fault.Conflict, "failed_job_closed", "id", row.ID.String(), "closed_as", row.Status)
			continue
		}
		delete(refused, row.ID)
		open = append(open, row)
	}
	return open, inRiver, nil
}

// prepare asks the hook of each kind, and returns the entries that may run again; the others it refuses.
func (r *Room) prepare(
	ctx context.Context, tx pgx.Tx, rows []dbq.FailedJob, refused map[uuid.UUID]*fault.Error,
) (ready []dbq.FailedJob, err error) {
	byKind := map[string][]dbq.FailedJob{}
	for _, row := range rows {
		if r.hooks[row.Kind] == nil {
			ready = append(ready, row)
			continue
		}
		byKind[row.Kind] = append(byKind[row.Kind], row)
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) { // in one order, so that two of us wait for each other
		rows := byKind[kind]
		args := make([][]byte, len(rows))
		for i, row := range rows {
			args[i] = row.Args
		}
		why, err := r.hooks[kind](ctx, tx, args)
		if err != nil {
			return nil, fmt.Errorf("prepare for a retry of %s: %w", kind, err)
		}
		for i, row := range rows {
			if why[i] != nil {
				refused[row.ID] = why[i]
				continue
			}
			ready = append(ready, row)
		}
	}
	return ready, nil
}

// setToWork revives the jobs that River has, inserts the others again, and notes the job of each entry.
func setToWork(ctx context.Context, q *dbq.Queries, rows []dbq.FailedJob, inRiver map[int64]bool, jobs map[uuid.UUID]int64) error {
	var kept, cleaned []uuid.UUID
	for _, row := range rows {
		if !inRiver[row.JobID] {
			cleaned = append(cleaned, row.ID)
			continue
		}
		kept = append(kept, row.ID)
		jobs[row.ID] = row.JobID
	}
	if err := q.FailedJobsRevive(ctx, kept); err != nil {
		return fmt.Errorf("revive failed jobs: %w", err)
	}
	again, err := q.FailedJobsReinsert(ctx, cleaned)
	if err != nil {
		return fmt.Errorf("insert failed jobs again: %w", err)
	}
	for _, row := range again {
		jobs[row.ID] = row.JobID
	}
	return nil
}
