package bench

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func order(apiKey uuid.UUID, lines ...ordering.Line) ordering.PlaceParams {
	return ordering.PlaceParams{
		ID: uuid.Must(uuid.NewV7()), Lines: lines, ContactMasked: []byte(`{}`), Locale: "en", Metadata: []byte(`{"a":1}`),
		TTL: time.Hour, APIKeyID: apiKey,
	}
}

func count(t *testing.T, pool *pgxpool.Pool, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func requireFault(t *testing.T, code string, err error) {
	t.Helper()
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, f.Code)
}

// Fifty buyers want thirty units at the same time, some with the same key.
func TestNaivePlacerNeverOversells(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	goods, err := stockShelf(t.Context(), pool, "t", 1, 30)
	require.NoError(t, err)
	place := NaivePlacer(pool, time.Now, func(outbox.Batch) {})
	apiKey := uuid.New()
	results := make([]error, 50)
	var buyers sync.WaitGroup
	for i := range results {
		buyers.Go(func() {
			p := order(apiKey, ordering.Line{SKU: goods.skus[0], Quantity: 1})
			if i < 10 {
				p.IdempotencyKey, p.RequestHash = "same", make([]byte, 32)
			}
			_, results[i] = place(t.Context(), p)
		})
	}
	buyers.Wait()
	sold, soldOut := 0, 0
	for i, err := range results {
		switch {
		case err == nil && i >= 10:
			sold++
		case err != nil:
			requireFault(t, "out_of_stock", err)
			soldOut++
		}
	}
	check, err := goods.read(t.Context(), pool)
	require.NoError(t, err)
	require.EqualValues(t, 30, check.Orders)
	require.NoError(t, check.against(30, 0))
	withKey := count(t, pool, `select count(*) from orders where idempotency_key = 'same'`)
	require.LessOrEqual(t, withKey, 1)
	require.Equal(t, 30, sold+withKey)
	require.Zero(t, count(t, pool, `select available from stock where product_id = $1`, goods.ids[0]))
	require.Equal(t, 30, count(t, pool, `select count(*) from river_job where kind = 'relay'`), "one safety job each")
}

// The baseline and vendbox have to leave the same rows behind, or the comparison is none.
func TestNaivePlacerWritesWhatVendboxWrites(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	goods, err := stockShelf(t.Context(), pool, "t", 2, 10)
	require.NoError(t, err)
	at := time.Now()
	box := outbox.NewBox(pool, func() time.Time { return at }, nil)
	p := order(uuid.New(), ordering.Line{SKU: goods.skus[0], Quantity: 2}, ordering.Line{SKU: goods.skus[1], Quantity: 3})
	p.ContactSealed, p.PhoneFingerprint, p.Traceparent = []byte("sealed"), make([]byte, 16), "trace"
	p.IdempotencyKey, p.RequestHash = "naive", make([]byte, 32)
	naive, err := NaivePlacer(pool, func() time.Time { return at }, func(outbox.Batch) {})(t.Context(), p)
	require.NoError(t, err)

	q := p
	q.ID, q.IdempotencyKey = uuid.Must(uuid.NewV7()), "vendbox"
	var vendbox ordering.Placed
	require.NoError(t, box.InTx(t.Context(), func(tx *outbox.Tx) error {
		results, err := ordering.Place(t.Context(), tx, []ordering.PlaceParams{q})
		if err == nil {
			vendbox, err = results[0].Value, results[0].Err
		}
		return err
	}))
	require.Len(t, naive.Order.Number, len(vendbox.Order.Number))
	naive.Order.ID, naive.Order.Number = vendbox.Order.ID, vendbox.Order.Number
	require.Equal(t, vendbox, naive)

	for table, rows := range map[string]string{
		"orders": `select to_jsonb(r) - '{id,number,idempotency_key}'::text[] as r from orders r`,
		"items":  `select to_jsonb(r) - 'order_id' as r from order_items r`,
		"events": `select to_jsonb(r) - '{id,aggregateid,seq,txid}'::text[] #- '{payload,id}' #- '{payload,number}' as r from outbox r`,
		"jobs":   `select to_jsonb(r) - '{id,created_at,scheduled_at}'::text[] #- '{args,txid}' as r from river_job r`,
	} {
		require.Zero(t, count(t, pool, `select count(*) from (select r from (`+rows+`) x group by r having count(*) % 2 = 1) odd`), table)
	}
	require.Equal(t, 6, count(t, pool, `select available from stock where product_id = $1`, goods.ids[0]))
	require.Equal(t, 4, count(t, pool, `select available from stock where product_id = $1`, goods.ids[1]))
}

func TestNaivePlacerRepeats(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	goods, err := stockShelf(t.Context(), pool, "t", 1, 10)
	require.NoError(t, err)
	place := NaivePlacer(pool, time.Now, func(outbox.Batch) {})
	p := order(uuid.New(), ordering.Line{SKU: goods.skus[0], Quantity: 1})
	p.IdempotencyKey, p.RequestHash = "k", make([]byte, 32)
	first, err := place(t.Context(), p)
	require.NoError(t, err)
	require.False(t, first.Replayed)

	again := p
	again.ID = uuid.Must(uuid.NewV7())
	second, err := place(t.Context(), again)
	require.NoError(t, err)
	require.True(t, second.Replayed)
	require.Equal(t, first.Order.View(), second.Order.View())

	again.RequestHash = append(make([]byte, 31), 1)
	_, err = place(t.Context(), again)
	requireFault(t, "idempotency_key_reused", err)
	require.Equal(t, 1, count(t, pool, `select count(*) from orders`))
}

func TestNaivePlacerRefuses(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	goods, err := stockShelf(t.Context(), pool, "t", 2, 5)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `update products set status = 'disabled' where sku = $1`, goods.skus[1])
	require.NoError(t, err)
	place := NaivePlacer(pool, time.Now, func(outbox.Batch) {})
	a := goods.skus[0]
	for code, lines := range map[string][]ordering.Line{
		"product_not_found": {{SKU: "nothing", Quantity: 1}},
		"product_disabled":  {{SKU: a, Quantity: 1}, {SKU: goods.skus[1], Quantity: 1}},
		"out_of_stock":      {{SKU: a, Quantity: 3}, {SKU: a, Quantity: 3}},
		"price_changed":     {{SKU: a, Quantity: 1, Price: &ordering.Money{Amount: 1, Currency: "CNY"}}},
	} {
		_, err := place(t.Context(), order(uuid.New(), lines...))
		requireFault(t, code, err)
	}
	require.Zero(t, count(t, pool, `select count(*) from orders`))
	require.Equal(t, 5, count(t, pool, `select available from stock where product_id = $1`, goods.ids[0]))
}

func TestNoDatabasePlacerAnswersLikeTheOthers(t *testing.T) {
	t.Parallel()
	p := order(uuid.New(), ordering.Line{SKU: "x", Quantity: 2})
	placed, err := NoDatabasePlacer()(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, p.ID, placed.Order.ID)
	require.EqualValues(t, 2*productPrice, placed.Order.Total)
	require.Regexp(t, `^\d{6}-[0-9A-HJKMNP-TV-Z]{10}$`, placed.Order.Number)
	require.Equal(t, time.Hour, placed.Order.ExpiresAt.Sub(placed.Order.PlacedAt))
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	right := Check{Orders: 10, Units: 10, Taken: 10, Events: 10}
	require.NoError(t, right.against(10, 0))
	require.NoError(t, right.against(8, 2), "an order without an answer may exist")
	require.NoError(t, Check{}.against(0, 0))
	require.ErrorContains(t, right.against(11, 0), "only 10 exist")
	require.ErrorContains(t, right.against(9, 0), "only 9 were acknowledged")
	for name, wrong := range map[string]Check{
		"units":  {Orders: 10, Units: 11, Taken: 11, Events: 10},
		"stock":  {Orders: 10, Units: 10, Taken: 9, Events: 10},
		"events": {Orders: 10, Units: 10, Taken: 10, Events: 9},
		"silent": {Orders: 10, Units: 10, Taken: 10, Events: 10, Silent: 1},
		"one":    {Orders: 10, Units: 10, Taken: 10, Events: 10, Wrong: 1},
	} {
		require.Error(t, wrong.against(10, 0), name)
	}
}

// What the check reads is really there: each of these changes to the database has to be noticed.
func TestCheckReadsTheDatabase(t *testing.T) {
	t.Parallel()
	for name, sabotage := range map[string]string{
		"stock taken twice": `update stock set available = available - 1`,
		"stock given back":  `update stock set available = available + 1`,
		"an event lost":     `delete from outbox where id = (select id from outbox limit 1)`,
		"an event doubled": `insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
			select gen_random_uuid(), aggregatetype, aggregateid, type, payload, epoch, occurred_at from outbox limit 1`,
		"an order lost": `delete from order_items where order_id = (select order_id from order_items limit 1)`,
		"a quantity":    `update order_items set quantity = 2 where order_id = (select order_id from order_items limit 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			goods, err := stockShelf(t.Context(), pool, "t", 2, 100)
			require.NoError(t, err)
			place := NaivePlacer(pool, time.Now, func(outbox.Batch) {})
			for i := range 4 {
				_, err := place(t.Context(), order(uuid.New(), ordering.Line{SKU: goods.skus[i%2], Quantity: 1}))
				require.NoError(t, err)
			}
			check, err := goods.read(t.Context(), pool)
			require.NoError(t, err)
			require.NoError(t, check.against(4, 0))
			_, err = pool.Exec(t.Context(), sabotage)
			require.NoError(t, err)
			check, err = goods.read(t.Context(), pool)
			require.NoError(t, err)
			require.Error(t, check.against(4, 0))
		})
	}
}

func TestSettleWaitsForTheRelay(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	require.NoError(t, settle(t.Context(), pool, time.Minute))
	goods, err := stockShelf(t.Context(), pool, "t", 1, 10)
	require.NoError(t, err)
	place := NaivePlacer(pool, time.Now, func(outbox.Batch) {})
	_, err = place(t.Context(), order(uuid.New(), ordering.Line{SKU: goods.skus[0], Quantity: 1}))
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, settle(t.Context(), pool, 100*time.Millisecond), "it does not wait for ever")
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	var done sync.WaitGroup
	done.Go(func() {
		_, err := pool.Exec(t.Context(), `delete from river_job where kind = 'relay'`)
		if err != nil {
			t.Error(errors.New("delete"))
		}
	})
	require.NoError(t, settle(t.Context(), pool, time.Minute))
	done.Wait()
}
