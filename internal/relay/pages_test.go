package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/relay"
)

// emit has one transaction emit n events. Their aggregates' ids count from 1.
func (b *bundle) emit(n int) {
	b.t.Helper()
	_, err := b.pool.Exec(b.t.Context(), `select emit('shop.sold', 'thing', n::text, '{}') from generate_series(1, $1::int) n`, n)
	require.NoError(b.t, err)
}

// A transaction's events are read and relayed a page at a time, however many they are, and others get their turn meanwhile.
func TestATransactionOfManyPages(t *testing.T) {
	t.Parallel()
	for _, n := range []int{99, 100, 101, 755, 800} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var largest atomic.Int64
			r := b.relay(route, func(_ context.Context, _ pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
				largest.Store(max(largest.Load(), int64(len(events)))) // one job, one page at a time
				return nil, nil
			})
			relay.SetPages(r, 100, 3)
			b.emit(n)
			b.work(r)
			b.eventually(1, `select count(*) from river_job where kind = 'relay' and state = 'completed'`)
			require.Equal(t, n, b.int(distinctSeen))
			require.Equal(t, n, b.int(jobsSeen))
			require.Equal(t, int64(min(n, 100)), largest.Load())
			require.Equal(t, n/300, b.int(`select coalesce((metadata ->> 'snoozes')::int, 0) from river_job where kind = 'relay'`))
			require.Equal(t, 1, b.int(`select attempt from river_job where kind = 'relay'`), "a turn for others costs no attempt")
		})
	}
}

// What fails in the middle of a large transaction leaves whole pages behind, and the next attempt goes on from there.
// When the process has died and nothing is known of its progress, all is read again and the ledgers decide.
func TestAFailureInTheMiddleOfALargeTransaction(t *testing.T) {
	t.Parallel()
	for _, died := range []bool{false, true} {
		t.Run(fmt.Sprintf("died=%t", died), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var broken atomic.Bool
			broken.Store(true)
			var mu sync.Mutex
			relayed := map[string]int{}
			r := b.relay(route, func(_ context.Context, _ pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
				for _, event := range events {
					if event.AggregateID == "555" && broken.Load() {
						return nil, errors.New("broken")
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for _, event := range events {
					relayed[event.AggregateID]++
				}
				return nil, nil
			})
			relay.SetPages(r, 100, 50)
			b.emit(1234)
			stop := b.work(r)
			b.eventually(1, `select count(*) from river_job where kind = 'relay' and errors[1] ->> 'error' = 'broken'`)
			stop()
			require.Equal(t, 500, b.int(jobsSeen), "whole pages, and nothing of the one that failed")

			if died {
				_, err := b.pool.Exec(t.Context(), `update river_job set metadata = '{}' where kind = 'relay'`)
				require.NoError(t, err)
			}
			broken.Store(false)
			b.work(r)
			b.eventually(1, `select count(*) from river_job where kind = 'relay' and state = 'completed'`)
			require.Equal(t, 1234, b.int(jobsSeen))
			require.Equal(t, 1234, b.int(distinctSeen))
			first := 1
			if died {
				first = 2
			}
			require.Equal(t, first, relayed["500"])
			require.Equal(t, 1, relayed["501"])
			require.Equal(t, 1, relayed["1234"])
		})
	}
}
