package life

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
)

const (
	// pace of the buyers while orders expire, and without.
	pace        = 5 * time.Millisecond
	quietOrders = 600
)

// drainSize is how many orders expire at once.
func drainSize(tb testing.TB, otherwise int) int {
	tb.Helper()
	if n, err := strconv.Atoi(os.Getenv("VENDBOX_LIFE_DRAIN")); err == nil {
		return n
	}
	return otherwise
}

func TestOrdersArePlacedWhileManyExpire(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := drainSize(t, 2000)
	d := b.drain(t, n)
	t.Logf("%d orders expired in %s; placing: p50 %s, p99 %s quiet; p50 %s, p99 %s meanwhile (%d orders)", n, d.took.Round(time.Millisecond),
		quantile(d.quiet, 50), quantile(d.quiet, 99), quantile(d.meanwhile, 50), quantile(d.meanwhile, 99), len(d.meanwhile))
	require.Equal(t, n, b.int(t, `select count(*) from orders where status = 'expired'`))
	placed := len(d.quiet) + len(d.meanwhile)
	require.Equal(t, placed, b.int(t, `select count(*) from orders where status = 'pending_payment'`))
	require.Equal(t, 1_000_000-placed, b.int(t, `select available from stock`), "each unit came back once")
	b.requireAudit(t)
}

// BenchmarkPlacingWhileOrdersExpire compares the 99th percentile of placing with and without 100,000 orders that expire,
// all of the product that is bought.
func BenchmarkPlacingWhileOrdersExpire(b *testing.B) {
	for b.Loop() {
		d := setup(b).drain(b, drainSize(b, 100_000))
		quiet, meanwhile := quantile(d.quiet, 99), quantile(d.meanwhile, 99)
		b.ReportMetric(float64(quiet.Microseconds())/1000, "quiet-p99-ms")
		b.ReportMetric(float64(meanwhile.Microseconds())/1000, "meanwhile-p99-ms")
		b.ReportMetric(float64(meanwhile)/float64(quiet), "times")
		b.ReportMetric(d.took.Seconds(), "drain-s")
		b.ReportMetric(0, "ns/op")
	}
}

type drained struct {
	took             time.Duration
	quiet, meanwhile []time.Duration
}

func (b *bundle) drain(tb testing.TB, n int) (d drained) {
	tb.Helper()
	ctx := tb.Context()
	b.product(tb, "hot", inventory.KindCounted, 1_000_000)
	request := ordering.Request{Lines: []ordering.Line{{SKU: "hot", Quantity: 1}}}
	for made := 0; made < n; {
		requests := slices.Repeat([]ordering.Request{request}, min(500, n-made))
		for _, result := range b.orders.PlaceMany(ctx, requests, make([]string, len(requests)), ordering.Caller{APIKeyID: uuid.New()}) {
			require.NoError(tb, result.Err)
		}
		made += len(requests)
	}
	b.exec(tb, `analyze`)
	b.clock.forward(30 * time.Minute)

	buy := func(done <-chan struct{}, limit int) []time.Duration {
		var mu sync.Mutex
		var took []time.Duration
		var buyers sync.WaitGroup
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for range limit {
			select {
			case <-done:
				buyers.Wait()
				return took
			case <-tick.C:
			}
			buyers.Go(func() {
				began := time.Now()
				_, err := b.orders.Place(context.WithoutCancel(ctx), request, ordering.Caller{APIKeyID: uuid.New()})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					tb.Errorf("place: %v", err)
				}
				took = append(took, time.Since(began))
			})
		}
		buyers.Wait()
		return took
	}
	d.quiet = buy(nil, quietOrders)
	done := make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		expired, err := b.payments.ExpireDue(context.WithoutCancel(ctx))
		d.took = time.Since(began)
		if err != nil || expired != n {
			tb.Errorf("%d of %d orders expired: %v", expired, n, err)
		}
	}()
	d.meanwhile = buy(done, 1_000_000)
	<-done
	return d
}

func quantile(took []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)].Round(10 * time.Microsecond)
}
