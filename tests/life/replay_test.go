package life

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Promise I4, for an order that has been through everything.
func TestARepeatedRequestIsAnsweredLikeTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 2)
	caller := ordering.Caller{APIKeyID: uuid.New(), IdempotencyKey: "key"}
	request := ordering.Request{Lines: []ordering.Line{{SKU: "card", Quantity: 2}}}
	first, err := b.orders.Place(t.Context(), request, caller)
	require.NoError(t, err)
	id := first.Order.ID
	again := func() {
		t.Helper()
		placed, err := b.orders.Place(t.Context(), request, caller)
		require.NoError(t, err)
		require.True(t, placed.Replayed)
		require.Equal(t, first.Order.View(), placed.Order.ViewAsPlaced())
	}
	again()
	for range 2 {
		_, err = b.orders.Hold(t.Context(), id, operator)
		require.NoError(t, err)
		again()
		b.clock.forward(time.Hour)
		_, err = b.orders.Release(t.Context(), id, operator)
		require.NoError(t, err)
		again()
	}
	b.receive(t, b.begin(t, id).ID, 2*price)
	b.work(t)
	again()
	_, err = b.refund(id, "", ordering.RefundLine{Line: 1, Quantity: 1})
	require.NoError(t, err)
	again()
	_, err = b.refund(id, "")
	require.NoError(t, err)
	again()
}
