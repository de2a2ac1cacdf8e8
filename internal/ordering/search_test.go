package ordering_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/ordering"
)

// Every combination of conditions finds what a filter over all orders finds, page by page.
func TestSearchIsAFilterOverAllOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	history(t, b.pool, 1000)
	// A product on two lines of one order is one order.
	_, err := b.pool.Exec(t.Context(), `insert into order_items (order_id, line, product_id, sku, name, kind, quantity, unit_price_amount)
		select order_id, 2, product_id, sku, name, kind, 1, 100 from order_items`)
	require.NoError(t, err)
	all, phones := b.everyOrder(t)

	rapid.Check(t, func(rt *rapid.T) {
		some := all[rapid.IntRange(0, len(all)-1).Draw(rt, "order")]
		p := ordering.ListParams{Limit: rapid.IntRange(1, 100).Draw(rt, "limit")}
		match := func(*ordering.Order) bool { return true }
		add := func(condition func(*ordering.Order) bool) {
			before := match
			match = func(o *ordering.Order) bool { return before(o) && condition(o) }
		}
		with := func(name string) bool { return rapid.IntRange(0, 2).Draw(rt, name) == 0 }
		if with("status") {
			p.Status = rapid.SampledFrom([]string{"completed", "canceled", "pending_payment"}).Draw(rt, "which status")
			add(func(o *ordering.Order) bool { return string(o.Status) == p.Status })
		}
		if with("sku") {
			p.SKU = rapid.SampledFrom([]string{"sku-0", some.Items[0].SKU, "none"}).Draw(rt, "which sku")
			add(func(o *ordering.Order) bool { return o.Items[0].SKU == p.SKU })
		}
		if with("phone") {
			p.PhoneFingerprint = phones[some.ID]
			add(func(o *ordering.Order) bool { return slices.Equal(phones[o.ID], p.PhoneFingerprint) })
		}
		if with("number") {
			p.Number = some.Number
			add(func(o *ordering.Order) bool { return o.Number == p.Number })
		}
		if with("from") {
			p.PlacedFrom = some.PlacedAt.Add(time.Duration(rapid.IntRange(-300, 1).Draw(rt, "seconds before")) * time.Second)
			add(func(o *ordering.Order) bool { return !o.PlacedAt.Before(p.PlacedFrom) })
		}
		if with("to") {
			p.PlacedTo = some.PlacedAt.Add(time.Duration(rapid.IntRange(-1, 300).Draw(rt, "seconds after")) * time.Second)
			add(func(o *ordering.Order) bool { return o.PlacedAt.Before(p.PlacedTo) })
		}
		var want []uuid.UUID
		for _, o := range all {
			if match(o) {
				want = append(want, o.ID)
			}
		}
		require.Equal(rt, want, b.search(t, p))
	})
}

// everyOrder is all orders, the newest first, and their telephone numbers' fingerprints.
func (b *bundle) everyOrder(t *testing.T) ([]*ordering.Order, map[uuid.UUID][]byte) {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `select id, phone_fingerprint from orders order by id desc`)
	require.NoError(t, err)
	defer rows.Close()
	var ids []uuid.UUID
	phones := map[uuid.UUID][]byte{}
	for rows.Next() {
		var id uuid.UUID
		var phone []byte
		require.NoError(t, rows.Scan(&id, &phone))
		ids, phones[id] = append(ids, id), phone
	}
	require.NoError(t, rows.Err())
	byID, err := ordering.GetMany(t.Context(), b.pool, ids)
	require.NoError(t, err)
	all := make([]*ordering.Order, len(ids))
	for i, id := range ids {
		all[i] = byID[id]
	}
	return all, phones
}

// search reads all pages, of which only the last may be empty.
func (b *bundle) search(t *testing.T, p ordering.ListParams) (ids []uuid.UUID) {
	t.Helper()
	for {
		page, next, err := ordering.List(t.Context(), b.pool, p)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), p.Limit)
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		if next == "" {
			return ids
		}
		require.NotEmpty(t, page, "nobody has looked at 10,000 orders here")
		p.Cursor = next
	}
}

func TestSearchByPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	history(t, b.pool, 100)
	var orderID, paymentID uuid.UUID
	require.NoError(t, b.pool.QueryRow(t.Context(), `select order_id, payment_id from payment_events where event_id = 'evt_50'`).
		Scan(&orderID, &paymentID))
	for _, reference := range []string{"evt_50", paymentID.String()} {
		require.Equal(t, []uuid.UUID{orderID}, b.search(t, ordering.ListParams{Payment: reference, Limit: 1}), reference)
		require.Empty(t, b.search(t, ordering.ListParams{Payment: reference, Status: "expired", Limit: 1}), reference)
	}
	for _, reference := range []string{"evt_", "evt_50\x00", uuid.NewString(), orderID.String()} {
		require.Empty(t, b.search(t, ordering.ListParams{Payment: reference, Limit: 1}), "%q", reference)
	}
}
