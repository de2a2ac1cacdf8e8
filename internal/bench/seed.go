package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// What every product of a benchmark costs and is called.
const (
	productName     = "Benchmark card"
	productPrice    = 1999
	productCurrency = "CNY"
)

// shelf is a set of products that one measurement sells.
type shelf struct {
	ids   []uuid.UUID
	skus  []string
	units int64 // of each, to begin with
	since uuid.UUID
	from  time.Time
}

// stockShelf makes n products with so many units each that nothing sells out. There are no cards behind them: their
// orders are placed, never paid.
func stockShelf(ctx context.Context, pool *pgxpool.Pool, prefix string, n int, units int64) (*shelf, error) {
	s := &shelf{units: units}
	movements := make([]uuid.UUID, n)
	for i := range n {
		s.ids = append(s.ids, uuid.Must(uuid.NewV7()))
		s.skus = append(s.skus, fmt.Sprintf("%s-%04d", prefix, i))
		movements[i] = uuid.Must(uuid.NewV7())
	}
	err := pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `insert into products (id, sku, name, kind, price_amount, price_currency)
			select id, sku, $3, 'card', $4, $5 from unnest($1::uuid[], $2::text[]) as p (id, sku)`,
			s.ids, s.skus, productName, productPrice, productCurrency)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into stock (product_id, available) select unnest($1::uuid[]), $2`, s.ids, units)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `insert into stock_movements (id, product_id, delta, reason, actor)
			select id, product_id, $3, 'benchmark', 'bench' from unnest($1::uuid[], $2::uuid[]) as m (id, product_id)`,
			movements, s.ids, units)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bench: stock the products: %w", err)
	}
	if err := analyse(ctx, pool, "products", "stock"); err != nil {
		return nil, err
	}
	s.from = time.Now().Add(-time.Second)
	s.since = pgdb.FirstID(s.from)
	return s, nil
}

// analyse makes Postgres plan anew, for tables as they are now.
func analyse(ctx context.Context, pool *pgxpool.Pool, tables ...string) error {
	for _, table := range tables {
		if _, err := pool.Exec(ctx, `analyze `+table); err != nil {
			return fmt.Errorf("bench: analyse %s: %w", table, err)
		}
	}
	return nil
}
