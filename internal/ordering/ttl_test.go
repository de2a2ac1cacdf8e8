package ordering_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

// The request's own time, else the least of its products', else the shop's.
func TestHowLongAnOrderCanBePaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "plain", 100)
	b.product(t, "short", 100, `order_ttl_seconds = 120`)
	b.product(t, "long", 100, `order_ttl_seconds = 86400`)
	for _, tc := range []struct {
		skus []string
		own  time.Duration
		want time.Duration
	}{
		{[]string{"plain"}, 0, 30 * time.Minute},
		{[]string{"short", "plain"}, 0, 2 * time.Minute},
		{[]string{"long", "short"}, 0, 2 * time.Minute},
		{[]string{"long"}, 0, 24 * time.Hour},
		{[]string{"short"}, time.Hour, time.Hour},
	} {
		request := ordering.Request{ExpiresIn: tc.own}
		for _, sku := range tc.skus {
			request.Lines = append(request.Lines, ordering.Line{SKU: sku, Quantity: 1})
		}
		placed, err := b.service.Place(t.Context(), request, b.caller)
		require.NoError(t, err)
		require.Equal(t, tc.want, placed.Order.ExpiresAt.Sub(placed.Order.PlacedAt), "%v %s", tc.skus, tc.own)
	}
	request := ordering.Request{Lines: []ordering.Line{{SKU: "plain", Quantity: 1}}, ExpiresIn: time.Hour}
	_, err := b.service.Place(t.Context(), request, b.withKey("ttl"))
	require.NoError(t, err)
	request.ExpiresIn = 2 * time.Hour
	_, err = b.service.Place(t.Context(), request, b.withKey("ttl"))
	require.True(t, fault.HasCode(err, "idempotency_key_reused"), "%v", err)
}
