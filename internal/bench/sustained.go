package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// orderCompleted is the event that tells a subscriber that the cards are delivered.
const orderCompleted = "order.completed"

// sustained sends n orders through the whole path: placed, paid, card delivered, SMS sent, webhook received. Each buyer
// goes on with the next order when its last payment is answered, unless too many are under way. The clock runs from the
// first order until the last SMS and the last webhook have arrived.
func (r *pipelineRun) sustained(ctx context.Context, n int) (SustainedResult, error) {
	if err := settle(ctx, r.cfg.Pool, r.cfg.Drain); err != nil {
		return SustainedResult{}, err
	}
	shoppers, err := r.shoppers(ctx, min(r.cfg.Buyers, n))
	defer closeAll(shoppers)
	if err != nil {
		return SustainedResult{}, err
	}
	cpu := cpuClock{r.cfg.Postmaster}
	before, err := cpu.read()
	if err != nil {
		return SustainedResult{}, err
	}
	began := time.Now()
	var taken, paid atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range shoppers {
		g.Go(func() error {
			for taken.Add(1) <= int64(n) {
				if err := r.makeRoom(gctx, &paid); err != nil {
					return err
				}
				if err := r.buy(s); err != nil {
					return err
				}
				paid.Add(1)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return SustainedResult{}, err
	}
	allPaid := time.Since(began)
	r.paid += n
	if err := r.drain(ctx); err != nil {
		return SustainedResult{}, err
	}
	took := time.Since(began)
	after, err := cpu.read()
	if err != nil {
		return SustainedResult{}, err
	}
	result := SustainedResult{
		Orders: n, Buyers: len(shoppers), Seconds: took.Seconds(), PaidAfter: allPaid.Seconds(),
		OrdersPerSecond: float64(n) / took.Seconds(), SMSPerOrder: r.perOrder,
		Processor: after.since(before).per(int64(n)),
	}
	result.Check, err = r.arrived(ctx)
	return result, err
}

func (r *pipelineRun) buy(s *shopper) error {
	p, err := s.order(r.sku)
	if err != nil {
		return err
	}
	notice, err := s.notice(p, time.Now())
	if err != nil {
		return err
	}
	return s.pay(notice)
}

// makeRoom waits while too many orders are paid and have not arrived at the subscriber.
func (r *pipelineRun) makeRoom(ctx context.Context, paid *atomic.Int64) error {
	for {
		_, arrived := r.cfg.Webhooks.Count(orderCompleted)
		if r.paid+int(paid.Load())-(arrived-r.sinkBase) < r.cfg.Outstanding {
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// drain returns when everything that was paid has arrived everywhere. The subscriber's count costs nothing, so SQL is
// asked only after it.
func (r *pipelineRun) drain(ctx context.Context) error {
	const look = 10 * time.Millisecond
	patience := look // of the questions to SQL, which count everything and take time from what is measured
	deadline := time.Now().Add(r.cfg.Drain)
	for {
		_, webhooks := r.cfg.Webhooks.Count(orderCompleted)
		webhooks -= r.sinkBase
		late := time.Now().After(deadline)
		if webhooks >= r.paid || late {
			completed, sms, err := r.progressInSQL(ctx)
			if err != nil {
				return err
			}
			if completed >= r.paid && sms >= r.paid*r.perOrder && webhooks >= r.paid {
				return nil
			}
			if late {
				return fmt.Errorf("bench: %s after the last payment, of %d orders %d are completed, %d SMS of %d are sent and %d webhooks received",
					r.cfg.Drain, r.paid, completed, sms, r.paid*r.perOrder, webhooks)
			}
			patience = 10 * look
		}
		if err := pause(ctx, patience); err != nil {
			return err
		}
	}
}

// progressInSQL counts by indexes that begin with the status.
func (r *pipelineRun) progressInSQL(ctx context.Context) (completed, sms int, err error) {
	err = r.cfg.Pool.QueryRow(ctx, `
		select (select count(*) from orders where status = 'completed' and id >= $1),
		       (select count(*) from sms_messages where status in ('sent', 'delivered') and id >= $1)`,
		pgdb.FirstID(r.began)).Scan(&completed, &sms)
	if err != nil {
		return 0, 0, fmt.Errorf("bench: progress: %w", err)
	}
	if r.cfg.SMSReceived != nil {
		sms = min(sms, r.cfg.SMSReceived()-r.smsBase)
	}
	return completed, sms, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
