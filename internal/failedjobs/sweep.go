package failedjobs

import (
	"context"
	"fmt"

	"github.com/vendbox/vendbox/internal/dbq"
)

// Swept says what a sweep found: the trigger should have left nothing, so either is worth a warning.
type Swept struct {
	Missed  int // jobs that had ended badly without an entry; they have one now
	Revived int // open entries of jobs that were at work again, or done; they are closed as retried
}

// Sweep compares the entries with River's rows and mends what differs. It is safe to run at any time, by several at
// once.
func (r *Room) Sweep(ctx context.Context) (Swept, error) {
	q := dbq.New(r.pool)
	missed, err := q.FailedJobSweepMissed(ctx)
	if err != nil {
		return Swept{}, fmt.Errorf("sweep failed jobs: %w", err)
	}
	revived, err := q.FailedJobSweepRevived(ctx, r.now().UTC())
	if err != nil {
		return Swept{}, fmt.Errorf("sweep failed jobs: %w", err)
	}
	return Swept{Missed: int(missed), Revived: len(revived)}, nil
}
