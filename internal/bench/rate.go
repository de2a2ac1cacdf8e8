package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// atRate pays a given number of orders a second and measures how long each card takes. It is an open loop: payments are
// due at fixed times, whatever becomes of those before, and every latency counts from when its payment was due. So a
// system that stops for a second shows it in a second's worth of payments, not in one (coordinated omission).
func (r *pipelineRun) atRate(ctx context.Context, rate int) (RateResult, error) {
	// None without an order to begin with: the server takes a connection that says nothing for 5 s for a bad one.
	shoppers, err := r.shoppers(ctx, min(r.cfg.Buyers, r.cfg.ordersOf(rate)))
	defer closeAll(shoppers)
	if err != nil {
		return RateResult{}, err
	}
	orders, err := r.prepareOrders(ctx, shoppers, r.cfg.ordersOf(rate))
	if err != nil {
		return RateResult{}, err
	}
	if err := settle(ctx, r.cfg.Pool, r.cfg.Drain); err != nil {
		return RateResult{}, err
	}
	w := newWatcher(r.cfg.Pool, len(orders))
	answered := newRecorder()
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	due := make(chan duePayment, len(orders))
	g.Go(func() error {
		defer close(due)
		return keepRate(gctx, rate, orders, due, w)
	})
	for i, s := range shoppers {
		g.Go(func() error {
			for p := range due {
				if err := s.pay(p.notice); err != nil {
					return err
				}
				answered.record(i, time.Since(p.at))
			}
			return nil
		})
	}
	g.Go(func() error { return w.watch(gctx, r.cfg.Duration+r.cfg.Drain) })
	if err := g.Wait(); err != nil {
		return RateResult{}, err
	}
	took := time.Since(began)
	result := RateResult{
		Rate: rate, Orders: len(orders), PaidPerSecond: float64(len(orders)) / max(took, r.cfg.Duration).Seconds(),
		Answered: latencyOf(answered.merged()), CardVisible: latencyOf(w.latency), PollEvery: w.resolution(),
	}
	r.paid += len(orders)
	if result.Check, err = r.arrived(ctx); err != nil {
		return RateResult{}, err
	}
	result.ServerP50, result.ServerP99, err = r.serverTimes(ctx, orders)
	return result, err
}

type duePayment struct {
	at     time.Time
	notice []byte
}

type preparedOrder struct {
	payable

	notice []byte
}

// prepareOrders places the orders and begins and signs their payments, outside of the measured time.
func (r *pipelineRun) prepareOrders(ctx context.Context, shoppers []*shopper, n int) ([]preparedOrder, error) {
	orders := make([]preparedOrder, n)
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range shoppers {
		g.Go(func() error {
			for j := i; j < n && ctx.Err() == nil; j += len(shoppers) {
				p, err := s.order(r.sku)
				if err != nil {
					return err
				}
				notice, err := s.notice(p, time.Now())
				if err != nil {
					return err
				}
				orders[j] = preparedOrder{p, notice}
			}
			return ctx.Err()
		})
	}
	return orders, g.Wait()
}

// keepRate hands out the payments when they are due. Nothing here waits for the system: the channel holds them all.
func keepRate(ctx context.Context, rate int, orders []preparedOrder, due chan<- duePayment, w *watcher) error {
	start := time.Now().Add(10 * time.Millisecond)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for i, order := range orders {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-timer.C:
			}
		}
		w.expect(order.orderID, at)
		due <- duePayment{at, order.notice}
	}
	return nil
}

// serverTimes are the p50 and p99, in milliseconds, of completed_at − paid_at: from the begin of the transaction that
// paid to the begin of the one that delivered. They leave out the callback's own way and the last commit.
func (r *pipelineRun) serverTimes(ctx context.Context, orders []preparedOrder) (p50, p99 float64, err error) {
	ids := make([]uuid.UUID, len(orders))
	for i, order := range orders {
		ids[i] = order.orderID
	}
	err = r.cfg.Pool.QueryRow(ctx, `
		select percentile_disc(0.5) within group (order by took), percentile_disc(0.99) within group (order by took)
		from (select (extract(epoch from completed_at - paid_at) * 1000)::float8 as took from orders where id = any($1)) as t`,
		ids).Scan(&p50, &p99)
	if err != nil {
		return 0, 0, fmt.Errorf("bench: server times: %w", err)
	}
	return p50, p99, nil
}

func (r *pipelineRun) shoppers(ctx context.Context, n int) ([]*shopper, error) {
	const longest = time.Hour
	shoppers := make([]*shopper, n)
	for i := range shoppers {
		var err error
		if shoppers[i], err = newShopper(ctx, r.door, r.cfg.PaymentSecret, time.Now().Add(longest)); err != nil {
			return shoppers[:i], err
		}
	}
	return shoppers, nil
}

func closeAll(shoppers []*shopper) {
	for _, s := range shoppers {
		s.close()
	}
}
