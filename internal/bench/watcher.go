package bench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// watchEvery is the pause between two looks.
const watchEvery = time.Millisecond

// watcher sees from the outside when cards become visible: it asks, on a connection of its own, which of the
// outstanding orders have theirs, one statement for all of them, again a millisecond after each answer. What it says is
// late by up to a look and a pause, never early.
type watcher struct {
	pool    *pgxpool.Pool
	latency *hdrhistogram.Histogram // of the watching goroutine

	mu      sync.Mutex
	waiting map[uuid.UUID]time.Time // when each was due
	left    int                     // to come or waiting
	wake    chan struct{}

	looks  int
	looked time.Duration
}

func newWatcher(pool *pgxpool.Pool, orders int) *watcher {
	return &watcher{
		pool: pool, latency: newHistogram(), waiting: map[uuid.UUID]time.Time{}, left: orders, wake: make(chan struct{}, 1),
	}
}

// expect tells the watcher of an order that is being paid now.
func (w *watcher) expect(orderID uuid.UUID, due time.Time) {
	w.mu.Lock()
	w.waiting[orderID] = due
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// watch returns when every order has its cards, or an error when patience ends first.
func (w *watcher) watch(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("cards did not come within %s", patience))
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("bench: watch: %w", err)
	}
	defer conn.Release()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for w.left > 0 {
		began := time.Now()
		found, err := w.look(ctx, conn)
		if err != nil {
			return fmt.Errorf("bench: watch, %d orders left: %w", w.left, errorOr(context.Cause(ctx), err))
		}
		now := time.Now()
		w.note(found, now)
		w.looks++
		w.looked += now.Sub(began)
		if err := w.rest(ctx, pause); err != nil {
			return fmt.Errorf("bench: watch, %d orders left: %w", w.left, err)
		}
	}
	return nil
}

func (w *watcher) look(ctx context.Context, conn *pgxpool.Conn) ([]uuid.UUID, error) {
	w.mu.Lock()
	ids := make([]uuid.UUID, 0, len(w.waiting))
	for id := range w.waiting {
		ids = append(ids, id)
	}
	w.mu.Unlock()
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := conn.Query(ctx, `select order_id from card_deliveries where order_id = any($1) and line = 1 and unit = 1`, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (w *watcher) note(found []uuid.UUID, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range found {
		us := now.Sub(w.waiting[id]).Microseconds()
		_ = w.latency.RecordValue(min(max(us, lowest), highest)) // it is in range
		delete(w.waiting, id)
		w.left--
	}
}

// rest pauses, and while nothing is outstanding waits for the next payment.
func (w *watcher) rest(ctx context.Context, pause *time.Timer) error {
	w.mu.Lock()
	idle := len(w.waiting) == 0
	w.mu.Unlock()
	if w.left == 0 {
		return nil
	}
	if idle {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.wake:
			return nil
		}
	}
	pause.Reset(watchEvery)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-pause.C:
		return nil
	}
}

// resolution is how far apart the looks were on average, in milliseconds.
func (w *watcher) resolution() float64 {
	if w.looks == 0 {
		return 0
	}
	return float64((w.looked/time.Duration(w.looks) + watchEvery).Microseconds()) / 1000
}

func errorOr(preferred, err error) error {
	if preferred != nil {
		return preferred
	}
	return err
}
