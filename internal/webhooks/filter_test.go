package webhooks

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
)

func TestCheckFilters(t *testing.T) {
	t.Parallel()

	got, err := checkFilters([]string{"order.paid", "*", "order.*", "order.paid"})
	require.NoError(t, err)
	require.Equal(t, []string{"*", "order.*", "order.paid"}, got)

	for _, wrong := range []string{
		"", "order", "Order.paid", "order.", ".paid", "*.paid", "order.*.x", "order*", "order..paid", "order.pa id",
		"order.paied", "stock.any", "webhook.test.x",
		"order.**", "1order.paid", "order.paid\n", "a." + strings.Repeat("b", 128), "订单.paid", "\x00",
	} {
		_, err := checkFilters([]string{"*", wrong})
		require.True(t, fault.HasCode(err, "webhook_event_types_invalid"), "%q: %v", wrong, err)
	}
	for _, many := range [][]string{nil, {}, make([]string, 101)} {
		_, err := checkFilters(many)
		require.True(t, fault.HasCode(err, "webhook_event_types_invalid"))
	}
}

func TestWants(t *testing.T) {
	t.Parallel()

	for _, tc := range []struct {
		filter, eventType string
		want              bool
	}{
		{"*", "order.paid", true},
		{"order.*", "order.paid", true},
		{"order.*", "order.item.sold", true},
		{"order.item.*", "order.item.sold", true},
		{"order.item.*", "order.paid", false},
		{"order.paid", "order.paid", true},
		{"order.paid", "order.paid.late", false},
		{"order.paid", "order.pai", false},
		{"order.*", "orders.paid", false},
		{"invoice.*", "order.paid", false},
	} {
		require.Equal(t, tc.want, wants([]string{"x.y", tc.filter}, filtersFor(tc.eventType)), "%s for %s", tc.filter, tc.eventType)
	}
}

func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"*", "order.*", "order.paid", "a.b.c", "a..b", "é.x"} {
		f.Add(seed, "order.paid")
	}
	f.Fuzz(func(t *testing.T, filter, eventType string) {
		checked, err := checkFilters([]string{filter})
		if err != nil {
			return
		}
		matches := wants(checked, filtersFor(eventType))
		prefix, isPrefix := strings.CutSuffix(filter, "*")
		switch {
		case filter == eventType:
			require.True(t, matches)
		case isPrefix:
			require.Equal(t, strings.HasPrefix(eventType, prefix), matches, "%q for %q", filter, eventType)
		default:
			require.False(t, matches)
		}
	})
}
