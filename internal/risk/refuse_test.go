package risk_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Rules that refuse are asked before anything is taken, and do not say which of them it was.
func TestRefusing(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t,
		m{"name": "blocked", "if": "blocklist", "phones": []string{"13800138009"}, "action": "refuse"},
		m{"name": "bulk", "if": "quantity_above", "more_than": 50, "action": "refuse"},
		m{"name": "large", "if": "amount_above", "amount": yuan(4000), "action": "refuse"},
		m{"name": "rush", "if": "orders_per_ip", "more_than": 2, "window": "1h", "action": "refuse"},
		m{"name": "new", "if": "first_order_above", "amount": yuan(3000), "action": "refuse"},
		m{"name": "held", "if": "quantity_above", "more_than": 9},
	))
	b.work()
	stock := b.int(`select available from stock`)
	for rule, tc := range map[string]struct {
		quantity int
		who      buyer
	}{
		"blocked": {1, buyer{phone: "13800138009"}}, "bulk": {51, buyer{}}, "large": {41, buyer{}}, "new": {31, buyer{phone: "13800138001"}},
	} {
		_, err := b.try(tc.quantity, tc.who, "")
		f, ok := fault.As(err)
		require.True(t, ok, "%s: %v", rule, err)
		require.Equal(t, "order_refused", f.Code)
		require.Equal(t, fault.Conflict, f.Kind)
		require.Empty(t, f.Params)
		require.Contains(t, b.logs.String(), "rule="+rule)
	}
	require.Equal(t, stock, b.int(`select available from stock`))
	require.Zero(t, b.int(`select count(*) from orders`))

	b.place(1, ann)
	placed, err := b.try(1, ann, "a key")
	require.NoError(t, err)
	_, err = b.try(1, ann, "")
	require.True(t, fault.HasCode(err, "order_refused"), "%v", err)
	require.Contains(t, b.logs.String(), "rule=rush")
	// What a key has placed it gets again, whatever the rules say by now.
	again, err := b.try(1, ann, "a key")
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, placed.Order.ID, again.Order.ID)

	// Each member of a batch by itself.
	lines := func(n int) []ordering.Line { return []ordering.Line{{SKU: "a", Quantity: n}} }
	results := b.orders.PlaceMany(t.Context(), []ordering.Request{{Lines: lines(60)}, {Lines: lines(10)}, {Lines: lines(1), ClientIP: ann.ip}},
		make([]string, 3), ordering.Caller{APIKeyID: uuid.New()})
	require.True(t, fault.HasCode(results[0].Err, "order_refused"))
	require.NoError(t, results[1].Err)
	require.True(t, fault.HasCode(results[2].Err, "order_refused"))
	b.pay(results[1].Value.Order.ID)
	b.held(results[1].Value.Order.ID, "held")
}

// What a refusing rule could not see when the order was placed, it holds when it is paid.
func TestRefusingRulesHoldWhatIsPaid(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "rush", "if": "orders_per_phone", "more_than": 2, "window": "1h", "action": "refuse"}))
	b.work()
	// At once: none of them is there yet when the others are looked at.
	requests := make([]ordering.Request, 3)
	for i := range requests {
		requests[i] = ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 1}}, Phone: ann.phone}
	}
	for _, result := range b.orders.PlaceMany(t.Context(), requests, make([]string, 3), ordering.Caller{APIKeyID: uuid.New()}) {
		require.NoError(t, result.Err)
		b.pay(result.Value.Order.ID)
		b.held(result.Value.Order.ID, "rush")
	}
}
