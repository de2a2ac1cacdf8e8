package life

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// setupAtOnce is setup with cards that come with their payment; failed collects why some did not.
func setupAtOnce(t *testing.T) (b *bundle, failed *[]error) {
	t.Helper()
	b, failed = setup(t), &[]error{}
	b.atOnce = true
	b.deliverAtOnce(failed)
	return b, failed
}

// Somebody makes an index on cards: payments are recorded all the same, and the cards follow.
func TestALockOnCardsKeepsNoPaymentOut(t *testing.T) {
	t.Parallel()
	b, failed := setupAtOnce(t)
	b.product(t, "card", inventory.KindCard, 3)
	id := b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	attempt := b.begin(t, id).ID
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `lock table cards in share mode`)
	require.NoError(t, err)
	begun := time.Now()
	b.receive(t, attempt, price)
	require.Less(t, time.Since(begun), 10*time.Second)
	require.Equal(t, ordering.Processing, b.order(t, id).Status)
	require.Len(t, *failed, 1)
	require.NoError(t, other.Rollback(t.Context()))
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, id).Status)
	b.requireAudit(t)
}

// Cards that came for an order which had waited for them are its own, whoever pays before its job has run.
func TestNobodyOvertakesWhoeverHasWaited(t *testing.T) {
	t.Parallel()
	b, failed := setupAtOnce(t)
	b.product(t, "card", inventory.KindCard, 2)
	first, second := b.place(t, ordering.Line{SKU: "card", Quantity: 1}), b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	b.loseCards(t, "card", 2)
	b.receive(t, b.begin(t, first).ID, price)
	b.work(t)
	require.Equal(t, ordering.OnHold, b.order(t, first).Status)
	attempt := b.begin(t, second).ID
	b.clock.forward(time.Minute)
	b.importCards(t, "card", 1)
	released, err := b.orders.ReleaseRestocked(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, released)
	b.receive(t, attempt, price)
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, first).Status)
	require.Equal(t, ordering.OnHold, b.order(t, second).Status)
	require.Empty(t, *failed)
	b.requireAudit(t)
}

// A second payment's notice delivers nothing: the first one's job does.
func TestASecondPaymentDeliversNothing(t *testing.T) {
	t.Parallel()
	b, _ := setupAtOnce(t)
	b.product(t, "card", inventory.KindCard, 1)
	id := b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	one, two := b.begin(t, id).ID, b.begin(t, id).ID
	b.loseCards(t, "card", 1)
	b.receive(t, one, price)
	b.importCards(t, "card", 1)
	require.Equal(t, payments.SecondPayment, b.receive(t, two, price))
	require.Equal(t, ordering.Processing, b.order(t, id).Status)
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, id).Status)
}
