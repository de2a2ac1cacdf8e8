package bench

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// BenchmarkRows places orders of 1,000 SKUs without HTTP and without anybody waiting, in batches of a fixed size, one after the
// other on one connection: what the rows of an order cost at the least.
//
//	go test -run '^$' -bench Rows -benchtime 100x ./internal/bench
//
// It reports the processor time of an order, in this process and in its Postgres backend (Linux only).
func BenchmarkRows(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads processor times from /proc")
	}
	pool := pgtest.New(b)
	const shop = 1000
	goods, err := stockShelf(b.Context(), pool, "rows", shop, 1_000_000_000)
	require.NoError(b, err)
	box := outbox.NewBox(pool, time.Now, nil)
	apiKey := uuid.New()
	placed := 0
	place := func(size int) (backend int) {
		batch := make([]ordering.PlaceParams, size)
		for i := range batch {
			placed++
			batch[i] = soldInShop(apiKey, goods.skus[placed*7919%shop], placed)
		}
		require.NoError(b, box.InTx(b.Context(), func(tx *outbox.Tx) error {
			backend = int(tx.Conn().PgConn().PID())
			results, err := ordering.Place(b.Context(), tx, batch)
			for _, result := range results {
				require.NoError(b, result.Err)
			}
			return err
		}))
		return backend
	}
	for range 20 { // so that no plan is for an empty table
		place(256)
	}
	require.NoError(b, analyse(b.Context(), pool, "orders", "order_items", "outbox", "river_job"))
	for _, size := range []int{1, 16, 64, 128, 256, 512} {
		b.Run(fmt.Sprintf("batch-%d", size), func(b *testing.B) {
			clock := cpuClock{postmaster: place(size)}
			before, err := clock.read()
			require.NoError(b, err)
			rounds := int64(0)
			for b.Loop() {
				require.Equal(b, clock.postmaster, place(size), "another backend than the one that is measured")
				rounds++
			}
			after, err := clock.read()
			require.NoError(b, err)
			spent := after.since(before).per(rounds * int64(size))
			b.ReportMetric(spent.Process, "process-µs/order")
			b.ReportMetric(spent.Postgres, "postgres-µs/order")
		})
	}
}

// soldInShop is an order as bench orders places them: with a telephone number, and every other one with a key.
func soldInShop(apiKey uuid.UUID, sku string, n int) ordering.PlaceParams {
	p := order(apiKey, ordering.Line{SKU: sku, Quantity: 1})
	p.ContactSealed, p.ContactMasked, p.Metadata = make([]byte, 90), []byte(`{"phone":"+86 138****8000"}`), []byte(`{}`)
	p.PhoneFingerprint = p.ID[:]
	p.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if n%2 == 0 {
		p.IdempotencyKey, p.RequestHash = p.ID.String(), make([]byte, 32)
	}
	return p
}
