package inventory_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
)

func TestExpiredCardsAreTakenFromTheShelf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku, other := b.product(t, inventory.KindCard), b.product(t, inventory.KindCard)
	b.take(t, sku, "A\nB\nC\nD\nE\n")
	b.take(t, other, "A\n")
	exec := func(sql string, args ...any) {
		_, err := b.pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`update cards set expires_at = $1 where id in (select id from cards order by id limit 3)`, time.Now().Add(-time.Hour))
	exec(`update cards set expires_at = $1 where expires_at is null`, time.Now().Add(time.Hour))
	// Three of the five have expired, and all but two are reserved.
	exec(`update stock set available = 2 where product_id = (select id from products where sku = $1)`, sku)

	taken, err := b.TakeOutExpired(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, taken, "what orders hold is not taken")
	product, err := b.GetWithStock(t.Context(), sku)
	require.NoError(t, err)
	require.Zero(t, product.Available)
	require.Equal(t, &inventory.Stock{Reserved: 3, Disabled: 2, Imported: 5}, product.Stock)
	var events int
	require.NoError(t, b.pool.QueryRow(t.Context(), `select count(*) from outbox where type = 'stock.depleted'`).Scan(&events))
	require.Equal(t, 1, events)

	taken, err = b.TakeOutExpired(t.Context())
	require.NoError(t, err)
	require.Zero(t, taken)
	exec(`update stock set available = 1 where product_id = (select id from products where sku = $1)`, sku) // an order has ended
	taken, err = b.TakeOutExpired(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, taken)
	product, err = b.Get(t.Context(), other)
	require.NoError(t, err)
	require.EqualValues(t, 1, product.Available)
}

func TestACurrencyIsOneOfISO4217(t *testing.T) {
	t.Parallel()
	b := setup(t)
	params := inventory.CreateParams{SKU: "a", Name: "A", Kind: inventory.KindCounted, Price: inventory.Money{Amount: 1, Currency: "RMB"}}
	_, err := b.Create(t.Context(), params)
	require.True(t, fault.HasCode(err, "currency_unknown"), "%v", err)
	params.Price.Currency = "CNY"
	_, err = b.Create(t.Context(), params)
	require.NoError(t, err)
	_, err = b.Update(t.Context(), "a", inventory.Patch{Price: &inventory.Money{Amount: 1, Currency: "Cny"}})
	require.True(t, fault.HasCode(err, "currency_unknown"), "%v", err)
}
