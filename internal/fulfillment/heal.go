package fulfillment

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// forgottenAfter is how long an order is paid, and enlisted, before it is asked whether it has a job at all.
	forgottenAfter = time.Minute
	// unrelayedAfter is the same for an order that the ledger does not know: its relay may be slow.
	unrelayedAfter = 10 * time.Minute
	healAtOnce     = 500
)

// Healer gives new jobs to paid orders that have lost theirs.
type Healer struct {
	route  Route
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx] // inserts only
	now    func() time.Time
}

// NewHealer makes it.
func NewHealer(route Route, pool *pgxpool.Pool, client *river.Client[pgx.Tx], now func() time.Time) *Healer {
	return &Healer{route: route, pool: pool, client: client, now: now}
}

// Heal finds orders that are paid and in progress, and that no job and no open failed job cares for, and gives each a new
// job; it says how many there were. The ledger stays as it is: that is the hop's, and this repairs what came after it. It
// may run twice at once: a delivery too many finds nothing to do.
func (h *Healer) Heal(ctx context.Context) (healed int, err error) {
	for {
		n, err := h.healSome(ctx)
		healed += n
		if err != nil || n < healAtOnce {
			return healed, err
		}
	}
}

func (h *Healer) healSome(ctx context.Context) (n int, err error) {
	err = pgdb.InTx(ctx, h.pool, func(tx pgx.Tx) error {
		// All jobs that can still run are read once, and not once for each order.
		if err := pgdb.WholeTables(ctx, tx); err != nil {
			return err
		}
		rows, err := dbq.New(tx).FulfillmentForgotten(ctx, dbq.FulfillmentForgottenParams{
			RelayedBefore: h.now().Add(-forgottenAfter), PaidBefore: h.now().Add(-unrelayedAfter), MaxRows: healAtOnce,
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		ids, traceparents := make([]uuid.UUID, len(rows)), make(map[uuid.UUID]string, len(rows))
		for i, row := range rows {
			ids[i], traceparents[row.ID] = row.ID, row.Traceparent
		}
		jobs, err := h.route.jobs(ctx, tx, ids, traceparents)
		if err != nil {
			return err
		}
		n = len(jobs)
		_, err = h.client.InsertManyTx(ctx, tx, jobs)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("fulfillment: heal: %w", err)
	}
	return n, nil
}
