package ordering_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Somebody has left a transaction open in psql. What it holds is one product's, and costs that product's buyers only.
func TestALockedProductHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := ordering.NewService(ordering.Config{Committers: 1}, b.pool, b.box, b.vault)
	t.Cleanup(service.Close)
	locked := b.product(t, "locked", 10)
	b.product(t, "free", 10)
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `select from stock where product_id = $1 for update`, locked)
	require.NoError(t, err)

	requests := []ordering.Request{one("free"), one("locked"), one("free"), one("free"), one("locked"), one("free")}
	began := time.Now()
	for i, result := range service.PlaceMany(t.Context(), requests, make([]string, len(requests)), b.caller) {
		if requests[i].Lines[0].SKU == "locked" {
			require.True(t, pgdb.IsLockTimeout(result.Err), "%v", result.Err)
		} else {
			require.NoError(t, result.Err)
		}
	}
	require.Less(t, time.Since(began), 12*time.Second, "nobody waits for a flush to run out of time")
	require.NoError(t, holder.Rollback(t.Context()))
	_, err = service.Place(t.Context(), one("locked"), b.caller)
	require.NoError(t, err)
	require.Equal(t, 5, b.int(t, `select count(*) from orders`))
}

// Two processes and two committers each: most of those who want the locked product wait behind another one who does.
func TestALockedProductInASteadyStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	services := []*ordering.Service{b.service, b.anotherProcess(t)}
	locked := b.product(t, "locked", 1000)
	b.product(t, "free", 1000)
	holder := b.connect(t)
	_, err := holder.Exec(t.Context(), `begin`)
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `select from stock where product_id = $1 for update`, locked)
	require.NoError(t, err)

	var placed atomic.Int64
	var buyers sync.WaitGroup
	for buyer := range 40 {
		buyers.Go(func() {
			for i := range 2 {
				sku := "free"
				if buyer%10 == 0 {
					sku = "locked"
				}
				_, err := services[(buyer+i)%2].Place(t.Context(), one(sku), b.caller)
				switch {
				case sku == "locked" && !pgdb.IsLockTimeout(err):
					t.Errorf("locked: %v", err)
				case sku == "locked":
				case err == nil:
					placed.Add(1)
				default:
					t.Errorf("an innocent: %v", err)
				}
			}
		})
	}
	buyers.Wait()
	require.EqualValues(t, 36*2, placed.Load())
	_, err = holder.Exec(t.Context(), `rollback`)
	require.NoError(t, err)
	_, err = b.service.Place(t.Context(), one("locked"), b.caller)
	require.NoError(t, err)
}

// A migration holds the whole table for some seconds. Whoever comes then waits, and nobody is refused.
func TestAnAlteredTableIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 10)
	_, err := b.service.Place(t.Context(), one("a"), b.caller) // a statement that has still to be prepared waits for longer
	require.NoError(t, err)
	holder, watcher := b.connect(t), b.connect(t) // beside the pool, whose connection has its statements prepared
	_, err = holder.Exec(t.Context(), `begin; lock table stock in access exclusive mode`)
	require.NoError(t, err)
	placed := make(chan error, 1)
	go func() {
		_, err := b.service.Place(t.Context(), one("a"), b.caller)
		placed <- err
	}()
	waitingSince := func() (at time.Time) {
		_ = watcher.QueryRow(t.Context(), `select max(query_start) from pg_stat_activity
			where datname = current_database() and wait_event_type = 'Lock'`).Scan(&at)
		return at
	}
	require.Eventually(t, func() bool { return !waitingSince().IsZero() }, time.Minute, 5*time.Millisecond)
	first := waitingSince()
	require.Eventually(t, func() bool { return waitingSince().After(first) }, time.Minute, 5*time.Millisecond, "it tries again")
	_, err = holder.Exec(t.Context(), `rollback`)
	require.NoError(t, err)
	require.NoError(t, <-placed)
}

func (b *bundle) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), b.pool.Config().ConnConfig)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) //nolint:usetesting // the test's own has ended by then
	return conn
}

func TestAnOrderIsNotOfMoreThanOneTransactionCanDeliver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 100_000)
	request := ordering.Request{}
	for range ordering.MaxUnits / ordering.MaxQuantity {
		request.Lines = append(request.Lines, ordering.Line{SKU: "a", Quantity: ordering.MaxQuantity})
	}
	_, err := b.service.Place(t.Context(), request, b.caller)
	require.NoError(t, err)
	request.Lines = append(request.Lines, ordering.Line{SKU: "a", Quantity: 1})
	_, err = b.service.Place(t.Context(), request, b.caller)
	require.True(t, fault.HasCode(err, "order_units_out_of_range"), "%v", err)
}
