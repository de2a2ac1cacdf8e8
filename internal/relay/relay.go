// Package relay turns events into jobs, each event into each of its kinds of job exactly once: the ledger row, the job
// and the end of the safety job commit together, and the ledger's unique key settles every race.
//
// There are two ways to the same function. The fast path takes the events from memory right after their commit, gathers
// what has come meanwhile and relays it in one transaction. The safety job, a River job that was committed together with
// the events and falls due ten seconds later, does the same for events whose process did not live to. Nothing polls the
// outbox, and nothing waits for anybody's long transaction.
package relay

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// maxEvents bounds a relay transaction, and so what a safety job has in memory.
	maxEvents = 500
	// maxPages is after how many full pages a safety job lets others have its place.
	maxPages = 100
	// maxHanded is how many events of one transaction the fast path takes: the others behind it wait for them.
	maxHanded = 10 * maxEvents
	// maxWaiting bounds the events in memory that wait for the fast path. What comes above it is left to its safety job.
	maxWaiting = 50_000
	// minInterval is between the beginnings of two hops of the fast path: a hop after a quiet time goes at once, and
	// under load each takes more events along.
	minInterval = 4 * time.Millisecond
	hopTimeout  = 15 * time.Second
	lateTimeout = 3 * time.Minute // of a safety job: maxPages hops, and many times what they take
	maxHopTries = 3
)

// Route decides which jobs a set of events becomes. It inserts the rows of its ledger for the events that concern it,
// on conflict do nothing, and returns the jobs of just the rows it inserted.
type Route func(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error)

// Relay relays events.
type Relay struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx] // inserts only
	routes []Route
	log    *slog.Logger

	mu      sync.Mutex
	waiting []outbox.Batch
	events  int // in waiting
	closed  bool
	wake    chan struct{} // holds one: something is waiting, or Close
	done    chan struct{}

	late *groupcommit.Group[[]outbox.Event, struct{}] // gathers what is no full page of the safety jobs' events

	pageSize, pages int // maxEvents and maxPages, but in tests
}

// New starts a relay. client needs no workers.
func New(pool *pgxpool.Pool, client *river.Client[pgx.Tx], log *slog.Logger, routes ...Route) *Relay {
	r := &Relay{
		pool: pool, client: client, routes: routes, log: log,
		wake: make(chan struct{}, 1), done: make(chan struct{}), pageSize: maxEvents, pages: maxPages,
	}
	r.late = groupcommit.New(groupcommit.Config[[]outbox.Event, struct{}]{
		Flush: r.flushLate, MaxBatch: maxEvents, Timeout: lateTimeout, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})
	go r.fastPath()
	return r
}

// Hand gives a committed transaction's events to the fast path. It never blocks and never fails: what is not relayed
// here is relayed by its safety job.
func (r *Relay) Hand(batch outbox.Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(batch.Events) > maxHanded || r.events+len(batch.Events) > maxWaiting {
		return
	}
	r.waiting = append(r.waiting, batch)
	r.events += len(batch.Events)
	r.signal()
}

// Close relays what is waiting, then stops; what is not through after ctx is left to its safety jobs.
func (r *Relay) Close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	r.signal()
	r.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		r.mu.Lock()
		r.waiting, r.events = nil, 0
		r.mu.Unlock()
		<-r.done
	}
	r.late.Close()
}

func (r *Relay) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Relay) fastPath() {
	defer close(r.done)
	for range r.wake {
		for {
			events, safetyJobs := r.take()
			if len(events) == 0 {
				break
			}
			begun := time.Now()
			if err := r.tryHop(context.Background(), events, safetyJobs); err != nil {
				r.log.Warn("relay: fast path failed; the safety jobs will relay", "events", len(events), "error", err)
			}
			time.Sleep(minInterval - time.Since(begun))
		}
		r.mu.Lock()
		finished := r.closed && len(r.waiting) == 0
		r.mu.Unlock()
		if finished {
			return
		}
	}
}

// take removes whole transactions from the queue, the oldest first, up to maxEvents but at least one.
func (r *Relay) take() (events []outbox.Event, safetyJobs []int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, batch := range r.waiting {
		if n > 0 && len(events)+len(batch.Events) > maxEvents {
			break
		}
		events = append(events, batch.Events...)
		safetyJobs = append(safetyJobs, batch.SafetyJobID)
		n++
	}
	r.waiting = slices.Delete(r.waiting, 0, n)
	r.events -= len(events)
	return events, safetyJobs
}

// tryHop hops, again if that may help.
func (r *Relay) tryHop(ctx context.Context, events []outbox.Event, safetyJobs []int64) error {
	var err error
	for range maxHopTries {
		hopCtx, cancel := context.WithTimeout(ctx, hopTimeout)
		err = r.hop(hopCtx, events, safetyJobs)
		cancel()
		if err == nil || !pgdb.IsRetryable(err) && !pgdb.IsLockTimeout(err) {
			break
		}
	}
	return err
}

// gather relays a safety job's events together with those of others.
func (r *Relay) gather(ctx context.Context, events []outbox.Event) error {
	if len(events) == 0 {
		return nil
	}
	_, err := r.late.Do(ctx, events)
	return err
}

// flushLate relays what safety jobs have read, in transactions of up to maxEvents. After an error, those that committed
// stay: the ledgers know them when the jobs run again.
func (r *Relay) flushLate(ctx context.Context, batch [][]outbox.Event) ([]groupcommit.Result[struct{}], error) {
	for chunk := range slices.Chunk(slices.Concat(batch...), maxEvents) {
		hopCtx, cancel := context.WithTimeout(ctx, hopTimeout)
		err := r.hop(hopCtx, chunk, nil)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	return make([]groupcommit.Result[struct{}], len(batch)), nil
}

// hop is the relay: one transaction for the ledgers, the jobs and the end of the safety jobs, then one statement of NOTIFYs.
func (r *Relay) hop(ctx context.Context, events []outbox.Event, safetyJobs []int64) error {
	var jobs []river.InsertManyParams
	var end pgdb.End
	err := pgdb.InTxEnd(ctx, r.pool, &end, func(tx pgx.Tx) error {
		for _, route := range r.routes {
			routed, err := route(ctx, tx, events)
			if err != nil {
				return err
			}
			jobs = append(jobs, routed...)
		}
		if len(jobs) > 0 {
			if _, err := r.client.InsertManyFastTx(ctx, tx, jobs); err != nil {
				return fmt.Errorf("relay: insert jobs: %w", err)
			}
		}
		if len(safetyJobs) > 0 {
			if err := dbq.New(end.Before()).RelayDropSafetyJobs(ctx, safetyJobs); err != nil {
				return err
			}
		}
		return notify(ctx, &end, dbq.RelayNotifyParams{Queues: queuesOf(jobs), Orders: changedOrders(events)})
	})
	if end.AfterErr() != nil {
		r.log.WarnContext(ctx, "relay: notify failed; the workers' poll will find the jobs, the watchers' the changes", "error", end.AfterErr())
	}
	return err
}

// notify wakes the workers once the jobs can be seen, and tells who watches orders which have changed: one statement behind
// the COMMIT, which takes NOTIFY's global lock for as long as it takes itself, and not until the commit is on disk. River's own
// NOTIFY, from inside the transaction, may be held back by its limiter and then be as late as the next poll.
func notify(ctx context.Context, end *pgdb.End, p dbq.RelayNotifyParams) error {
	if len(p.Queues) == 0 && len(p.Orders) == 0 {
		return nil
	}
	return dbq.New(end.After()).RelayNotify(ctx, p)
}

func queuesOf(jobs []river.InsertManyParams) []string {
	var queues []string
	for _, job := range jobs {
		if job.InsertOpts != nil && !slices.Contains(queues, job.InsertOpts.Queue) {
			queues = append(queues, job.InsertOpts.Queue)
		}
	}
	return queues
}
