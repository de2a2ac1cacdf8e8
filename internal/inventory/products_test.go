package inventory_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
)

func TestProductCreateAndGet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made, err := b.Create(t.Context(), inventory.CreateParams{
		SKU: "steam-50", Name: "Steam 50", Kind: inventory.KindCard,
		Price: inventory.Money{Amount: 5000, Currency: "CNY"}, LowStockAt: new(int64(3)),
	})
	require.NoError(t, err)
	require.Equal(t, inventory.StatusActive, made.Status)
	require.Nil(t, made.Stock)
	require.Zero(t, made.Available)
	require.Equal(t, int64(3), *made.LowStockAt)

	got, err := b.Get(t.Context(), "steam-50")
	require.NoError(t, err)
	require.Equal(t, made, got)
	got, err = b.GetWithStock(t.Context(), "steam-50")
	require.NoError(t, err)
	require.Equal(t, &inventory.Stock{}, got.Stock)

	_, err = b.Create(t.Context(), inventory.CreateParams{
		SKU: "steam-50", Name: "Another", Kind: inventory.KindCounted, Price: inventory.Money{Amount: 1, Currency: "USD"},
	})
	require.True(t, fault.HasCode(err, "sku_taken"), "%v", err)
	for _, sku := range []string{"STEAM-50", "", "steam\x0050", "steam\xff"} {
		_, err = b.Get(t.Context(), sku)
		require.True(t, fault.HasCode(err, "product_not_found"), "%v", err)
		_, err = b.GetWithStock(t.Context(), sku)
		require.True(t, fault.HasCode(err, "product_not_found"), "%v", err)
	}
}

func TestProductCreateRace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	errs := make([]error, 6)
	var made sync.WaitGroup
	for i := range errs {
		made.Go(func() {
			_, errs[i] = b.Create(t.Context(), inventory.CreateParams{
				SKU: "one", Name: "One", Kind: inventory.KindCard, Price: inventory.Money{Amount: 1, Currency: "USD"},
			})
		})
	}
	made.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.True(t, fault.HasCode(err, "sku_taken"), "%v", err)
	}
	require.Equal(t, 1, won)
	require.Equal(t, int64(1), b.count(t, `select count(*) from stock`))
}

func TestProductUpdate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	before, err := b.Get(t.Context(), sku)
	require.NoError(t, err)

	low := new(int64(10))
	after, err := b.Update(t.Context(), sku, inventory.Patch{LowStockAt: &low})
	require.NoError(t, err)
	require.Equal(t, low, after.LowStockAt)
	require.Equal(t, before.Price, after.Price)
	require.Equal(t, before.Name, after.Name)
	require.True(t, after.UpdatedAt.After(before.UpdatedAt))

	none := (*int64)(nil)
	after, err = b.Update(t.Context(), sku, inventory.Patch{
		Name: new("New name"), Price: &inventory.Money{Amount: 7, Currency: "USD"},
		Status: new(inventory.StatusDisabled), LowStockAt: &none,
	})
	require.NoError(t, err)
	require.Equal(t, "New name", after.Name)
	require.Equal(t, inventory.Money{Amount: 7, Currency: "USD"}, after.Price)
	require.Equal(t, inventory.StatusDisabled, after.Status)
	require.Nil(t, after.LowStockAt)

	_, err = b.Update(t.Context(), "none", inventory.Patch{})
	require.True(t, fault.HasCode(err, "product_not_found"), "%v", err)
}

func TestProductList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := []string{}
	for range 4 {
		want = append([]string{b.product(t, inventory.KindCounted)}, want...)
	}
	got, pages, cursor := []string{}, 0, ""
	for pages == 0 || cursor != "" {
		products, next, err := b.List(t.Context(), cursor, 2)
		require.NoError(t, err)
		for _, p := range products {
			require.Nil(t, p.Stock)
			got = append(got, p.SKU)
		}
		cursor = next
		pages++
	}
	require.Equal(t, want, got)
	require.Equal(t, 2, pages, "the last page is full, and is the last")
	_, _, err := b.List(t.Context(), "x", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"), "%v", err)
}

func (b *testBundle) adjust(t *testing.T, sku string, delta int64) (available int64, err error) {
	t.Helper()
	product, err := b.AdjustStock(t.Context(), sku, delta, "count", "key:test")
	return product.Available, err
}

func TestAdjust(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCounted)
	available, err := b.adjust(t, sku, 10)
	require.NoError(t, err)
	require.Equal(t, int64(10), available)
	available, err = b.adjust(t, sku, -10)
	require.NoError(t, err)
	require.Zero(t, available)

	_, err = b.adjust(t, sku, -1)
	require.True(t, fault.HasCode(err, "stock_below_zero"), "%v", err)
	f, _ := fault.As(err)
	require.Equal(t, map[string]any{"sku": sku, "available": int64(0)}, f.Params)
	_, err = b.adjust(t, sku, 0)
	require.True(t, fault.HasCode(err, "stock_delta_zero"), "%v", err)
	_, err = b.adjust(t, "none", 1)
	require.True(t, fault.HasCode(err, "product_not_found"), "%v", err)
	_, err = b.adjust(t, b.product(t, inventory.KindCard), 1)
	require.True(t, fault.HasCode(err, "product_not_counted"), "%v", err)
	require.Equal(t, int64(2), b.count(t, `select count(*) from stock_movements`), "what is refused leaves no trace")
}

func TestAdjustRaceNeverGoesBelowZero(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCounted)
	_, err := b.adjust(t, sku, 5)
	require.NoError(t, err)
	errs := make([]error, 8)
	var done sync.WaitGroup
	for i := range errs {
		done.Go(func() { _, errs[i] = b.adjust(t, sku, -1) })
	}
	done.Wait()
	refused := 0
	for _, err := range errs {
		if err != nil {
			require.True(t, fault.HasCode(err, "stock_below_zero"), "%v", err)
			refused++
		}
	}
	require.Equal(t, 3, refused)
	product, err := b.GetWithStock(t.Context(), sku)
	require.NoError(t, err)
	require.Zero(t, product.Available)
	require.Equal(t, &inventory.Stock{}, product.Stock)
}

// TestStockIsDerived writes orders and deliveries as the rooms that own them would.
func TestStockIsDerived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	counted, card := b.product(t, inventory.KindCounted), b.product(t, inventory.KindCard)
	_, err := b.adjust(t, counted, 20)
	require.NoError(t, err)
	b.take(t, card, "A\nB\nC\nD\nE\nF\n")
	for i, order := range []struct{ status, hold, quantity, fulfilled, sku string }{
		{"'pending_payment'", "null", "3", "0", counted},
		{"'processing'", "null", "4", "1", counted},
		{"'on_hold'", "'late_payment_no_stock'", "5", "0", counted},
		{"'expired'", "null", "6", "0", counted},
		{"'pending_payment'", "null", "1", "0", card},
	} {
		_, err := b.pool.Exec(t.Context(), fmt.Sprintf(`
			with placed as (
				insert into orders (id, number, status, hold_reason, currency, total_amount, locale, api_key_id, placed_at, expires_at, closed_at)
				values (gen_random_uuid(), 'N%d', %s, %s, 'CNY', 1, 'en', gen_random_uuid(), now(), now() + interval '1 hour', now())
				returning id)
			insert into order_items (order_id, line, product_id, sku, name, kind, quantity, fulfilled_quantity, unit_price_amount)
			select placed.id, 1, p.id, p.sku, p.name, p.kind, %s, %s, 1 from placed, products p where p.sku = $1`,
			i, order.status, order.hold, order.quantity, order.fulfilled), order.sku)
		require.NoError(t, err)
	}
	_, err = b.pool.Exec(t.Context(), `update stock s set available = 13 from products p where p.id = s.product_id and p.sku = $1`, counted)
	require.NoError(t, err)
	product, err := b.GetWithStock(t.Context(), counted)
	require.NoError(t, err)
	require.Equal(t, int64(13), product.Available)
	require.Equal(t, &inventory.Stock{Reserved: 6, Delivered: 1, Imported: 20}, product.Stock)

	_, err = b.pool.Exec(t.Context(), `update cards set state = (array['delivered', 'delivered', 'revoked'])[n]
		from (select id, row_number() over (order by id) as n from cards) as numbered where numbered.id = cards.id and n <= 3`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `update stock s set available = 2 from products p where p.id = s.product_id and p.sku = $1`, card)
	require.NoError(t, err)
	product, err = b.GetWithStock(t.Context(), card)
	require.NoError(t, err)
	require.Equal(t, int64(2), product.Available)
	require.Equal(t, &inventory.Stock{Reserved: 1, Delivered: 2, Revoked: 1, Imported: 6}, product.Stock)
}
