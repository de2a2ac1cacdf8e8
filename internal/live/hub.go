package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Config of a Hub. Pool is required.
type Config struct {
	Pool *pgxpool.Pool
	// Log gets what goes wrong. Default: none.
	Log *slog.Logger
	// Recheck is how often every watched order is looked after without a hint. Default 3 s.
	Recheck time.Duration
	// MaxWatchers bounds the watchers of this process. Default 5,000.
	MaxWatchers int
	// MaxPerOrder bounds the watchers of one order, so that nobody uses up the places with one. Default 50.
	MaxPerOrder int
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Recheck == 0 {
		c.Recheck = 3 * time.Second
	}
	if c.MaxWatchers == 0 {
		c.MaxWatchers = 5000
	}
	if c.MaxPerOrder == 0 {
		c.MaxPerOrder = 50
	}
	return c
}

// Hub knows the watchers of this process.
type Hub struct {
	cfg   Config
	reads *groupcommit.Group[uuid.UUID, *ordering.Order]
	start func()
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu      sync.Mutex
	orders  map[uuid.UUID]*watched
	count   int                    // watchers
	changed map[uuid.UUID]struct{} // to be read
	wake    chan struct{}          // holds one: something has changed
}

// watched is an order that somebody watches.
type watched struct {
	latest   *ordering.Order // nil until it is read for the first time
	watchers map[*Watcher]struct{}
}

// Watcher sees one order. It is for one goroutine.
type Watcher struct {
	hub  *Hub
	id   uuid.UUID
	wake chan struct{} // holds one: there is a later state
}

const readTimeout = 10 * time.Second

// New makes a hub. It costs nothing, no connection in particular, until somebody watches. Close it.
func New(cfg Config) *Hub {
	h := &Hub{
		cfg: cfg.withDefaults(), orders: map[uuid.UUID]*watched{}, changed: map[uuid.UUID]struct{}{}, wake: make(chan struct{}, 1),
	}
	h.reads = groupcommit.New(groupcommit.Config[uuid.UUID, *ordering.Order]{Flush: h.read, Timeout: readTimeout})
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	h.start = sync.OnceFunc(func() {
		h.ended.Go(func() { h.listen(ctx) })
		h.ended.Go(func() { h.refresh(ctx) })
		h.ended.Go(func() { h.recheck(ctx) })
	})
	return h
}

// Close ends the hub. Watchers get no more states.
func (h *Hub) Close() {
	h.stop()
	h.ended.Wait()
	h.reads.Close()
}

// Watch begins to watch an order and gives it as it stands. Close the watcher. Faults: order_not_found, watchers_full,
// order_watchers_full.
func (h *Hub) Watch(ctx context.Context, id uuid.UUID) (*Watcher, *ordering.Order, error) {
	h.start()
	w := &Watcher{hub: h, id: id, wake: make(chan struct{}, 1)}
	if err := h.add(w); err != nil {
		return nil, nil, err
	}
	// First a place, then the state: a change in between wakes the watcher.
	order, err := h.reads.Do(ctx, id)
	if err != nil {
		w.Close()
		return nil, nil, err
	}
	h.publish(order)
	return w, order, nil
}

// Watchers says how many there are.
func (h *Hub) Watchers() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// Next waits until the order stands otherwise than in the state that was seen last, and gives it as it then stands. It
// returns ctx's error when that ends first.
func (w *Watcher) Next(ctx context.Context, seen *ordering.Order) (*ordering.Order, error) {
	for {
		if order := w.hub.latest(w.id); order != nil && isLater(order, seen) {
			return order, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Close gives the place back.
func (w *Watcher) Close() {
	h := w.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orders[w.id]
	if o == nil {
		return
	}
	if _, there := o.watchers[w]; !there {
		return
	}
	delete(o.watchers, w)
	h.count--
	if len(o.watchers) == 0 {
		delete(h.orders, w.id)
	}
}

func (h *Hub) add(w *Watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count >= h.cfg.MaxWatchers {
		return fault.New(fault.Unavailable, "watchers_full", "limit", h.cfg.MaxWatchers)
	}
	o := h.orders[w.id]
	if o == nil {
		o = &watched{watchers: map[*Watcher]struct{}{}}
		h.orders[w.id] = o
	}
	if len(o.watchers) >= h.cfg.MaxPerOrder {
		return fault.New(fault.TooMany, "order_watchers_full", "limit", h.cfg.MaxPerOrder)
	}
	o.watchers[w] = struct{}{}
	h.count++
	return nil
}

func (h *Hub) latest(id uuid.UUID) *ordering.Order {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o := h.orders[id]; o != nil {
		return o.latest
	}
	return nil
}

// publish makes a state the latest, unless a later one is known, and wakes who watches.
func (h *Hub) publish(order *ordering.Order) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.orders[order.ID]
	if o == nil || o.latest != nil && !isLater(order, o.latest) {
		return
	}
	o.latest = order
	for w := range o.watchers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// hint notes those of the orders that somebody watches.
func (h *Hub) hint(ids []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		if h.orders[id] != nil {
			h.changed[id] = struct{}{}
		}
	}
	if len(h.changed) > 0 {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// refresh reads what has changed.
func (h *Hub) refresh(ctx context.Context) {
	for {
		select {
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		for _, result := range h.reads.DoMany(ctx, h.takeChanged()) {
			switch {
			case result.Err == nil:
				h.publish(result.Value)
			case ctx.Err() == nil && !fault.HasCode(result.Err, "order_not_found"):
				h.cfg.Log.WarnContext(ctx, "live: an order was not read; the next look will", "error", result.Err)
			}
		}
	}
}

func (h *Hub) takeChanged() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]uuid.UUID, 0, len(h.changed))
	for id := range h.changed {
		ids = append(ids, id)
	}
	clear(h.changed)
	return ids
}

// read is one statement for all the orders that are asked for at the time, and one for their lines.
func (h *Hub) read(ctx context.Context, ids []uuid.UUID) ([]groupcommit.Result[*ordering.Order], error) {
	orders, err := ordering.GetMany(ctx, h.cfg.Pool, ids)
	if err != nil {
		return nil, fmt.Errorf("live: %w", err)
	}
	results := make([]groupcommit.Result[*ordering.Order], len(ids))
	for i, id := range ids {
		if order, ok := orders[id]; ok {
			results[i].Value = order
		} else {
			results[i].Err = fault.New(fault.NotFound, "order_not_found", "order_id", id)
		}
	}
	return results, nil
}

// Ended says whether an order has come to its end, so that there is nothing more to wait for. One that was closed unpaid
// may still be paid, late: gateways repeat their notices for a day.
func Ended(o *ordering.Order, now time.Time) bool {
	switch {
	case o.PaymentStatus == ordering.Refunded, o.Status == ordering.Completed:
		return true
	case o.Status == ordering.Canceled, o.Status == ordering.Expired:
		return now.Sub(o.ClosedAt) > lateMoney
	}
	return false
}

const lateMoney = 24 * time.Hour

// isLater says whether a state has something that another has not. What is wrong with an order's money is noted without a
// step of the order.
func isLater(state, than *ordering.Order) bool {
	return state.Sequence > than.Sequence || state.Sequence == than.Sequence && state.ExceptionCode != than.ExceptionCode
}
