package ordering_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// itemIndex is one that could find the orders of a product, on a database of its own, and what placing there costs.
type itemIndex struct {
	name, on string

	pool    *pgxpool.Pool
	service *ordering.Service
	took    []time.Duration // a batch
	wal     int64           // bytes, of all batches
}

const benchBatch = 256

// BenchmarkItemIndexes places batches of 256 orders with each index that could find the orders of a product, and with
// none, in turns:
//
//	go test -run '^$' -bench ItemIndexes -benchtime 100x ./internal/ordering
//
// It reports for an order: the time, from the fastest quarter of the batches; the WAL; and what the index takes on disk.
func BenchmarkItemIndexes(b *testing.B) {
	for _, skus := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d-skus", skus), func(b *testing.B) {
			indexes := []*itemIndex{
				{name: "none"},
				{name: "product", on: "(product_id)"},
				{name: "product+order", on: "(product_id, order_id)"},
				{name: "product+order+line", on: "(product_id, order_id) include (line)"},
				{name: "sku+order", on: "(sku, order_id)"},
			}
			for _, index := range indexes {
				index.open(b, skus)
			}
			for batch := 0; b.Loop(); batch++ {
				requests := make([]ordering.Request, benchBatch)
				for i := range requests {
					requests[i] = one(fmt.Sprint("sku-", (batch*benchBatch+i)*7919%skus))
				}
				for i := range indexes {
					indexes[(batch+i)%len(indexes)].place(b, requests)
				}
			}
			for _, index := range indexes {
				slices.Sort(index.took)
				b.ReportMetric(float64(index.took[len(index.took)/4].Microseconds())/benchBatch, index.name+"-µs")
				b.ReportMetric(float64(index.wal)/float64(len(index.took)*benchBatch), index.name+"-WAL-B")
				if index.on != "" {
					size := index.int(b, `select pg_relation_size('order_items_product')`)
					b.ReportMetric(float64(size)/float64(len(index.took)*benchBatch), index.name+"-disk-B")
				}
			}
		})
	}
}

func (x *itemIndex) open(b *testing.B, skus int) {
	b.Helper()
	x.pool = pgtest.New(b)
	vault, err := cardvault.Open(b.Context(), x.pool, cardvault.NewMasterKey())
	require.NoError(b, err)
	x.service = ordering.NewService(ordering.Config{}, x.pool, outbox.NewBox(x.pool, time.Now, nil), vault)
	b.Cleanup(x.service.Close)
	statements := []string{
		`drop index order_items_product`,
		fmt.Sprintf(`insert into products (id, sku, name, kind, price_amount, price_currency)
			select uuid_v7(), 'sku-' || k, 'Product', 'counted', 100, 'CNY' from generate_series(0, %d) k`, skus-1),
		`insert into stock (product_id, available) select id, 1000000000 from products`,
		`analyze`,
	}
	if x.on != "" {
		statements = append(statements, `create index order_items_product on order_items `+x.on)
	}
	for _, statement := range statements {
		_, err := x.pool.Exec(b.Context(), statement)
		require.NoError(b, err, statement)
	}
}

func (x *itemIndex) place(b *testing.B, requests []ordering.Request) {
	b.Helper()
	before := x.int(b, `select pg_current_wal_insert_lsn() - '0/0'::pg_lsn`)
	began := time.Now()
	caller := ordering.Caller{APIKeyID: uuid.Nil}
	for _, result := range x.service.PlaceMany(b.Context(), requests, make([]string, len(requests)), caller) {
		require.NoError(b, result.Err)
	}
	x.took = append(x.took, time.Since(began))
	x.wal += x.int(b, `select pg_current_wal_insert_lsn() - '0/0'::pg_lsn`) - before
}

func (x *itemIndex) int(b *testing.B, query string) (n int64) {
	b.Helper()
	require.NoError(b, x.pool.QueryRow(b.Context(), query).Scan(&n))
	return n
}
