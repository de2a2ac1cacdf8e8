package life

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

func (b *bundle) restock(t *testing.T) int {
	t.Helper()
	n, err := b.orders.ReleaseRestocked(t.Context())
	require.NoError(t, err)
	return n
}

// short pays an order whose cards have expired on the shelf.
func (b *bundle) short(t *testing.T, sku string, quantity int) uuid.UUID {
	t.Helper()
	id := b.place(t, ordering.Line{SKU: sku, Quantity: quantity})
	b.loseCards(t, sku, 1000)
	require.Equal(t, payments.Applied, b.receive(t, b.begin(t, id).ID, int64(quantity)*price))
	b.work(t)
	require.Equal(t, ordering.HoldCardShortage, b.order(t, id).HoldReason)
	return id
}

// late pays an order that has expired and whose units somebody else has.
func (b *bundle) late(t *testing.T, sku string, quantity int) uuid.UUID {
	t.Helper()
	id := b.place(t, ordering.Line{SKU: sku, Quantity: quantity})
	attempt := b.begin(t, id).ID
	b.clock.forward(30 * time.Minute)
	expired, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, expired)
	all := b.int(t, `select available from stock join products on id = product_id where sku = $1`, sku)
	b.receive(t, b.begin(t, b.place(t, ordering.Line{SKU: sku, Quantity: all})).ID, int64(all)*price)
	b.work(t)
	require.Equal(t, payments.LatePayment, b.receive(t, attempt, int64(quantity)*price))
	require.Equal(t, ordering.HoldLateNoStock, b.order(t, id).HoldReason)
	return id
}

func TestImportedCardsReachWhoeverWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 2)
	late := b.late(t, "card", 1)
	b.importCards(t, "card", 1)
	short := b.short(t, "card", 1)
	require.Zero(t, b.restock(t))
	for _, next := range []uuid.UUID{late, short} { // in the order in which they were placed
		b.importCards(t, "card", 1)
		require.Equal(t, 1, b.restock(t))
		b.work(t)
		require.Equal(t, ordering.Completed, b.order(t, next).Status)
		require.Zero(t, b.restock(t))
	}
	b.requireAudit(t)
}

// What is off sale goes to nobody by itself, and a person can stop what would go on by itself.
func TestWhatAPersonHasStoppedDoesNotGoOnByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 2)
	offSale := func(status inventory.Status) {
		_, err := b.stock.Update(t.Context(), "card", inventory.Patch{Status: &status})
		require.NoError(t, err)
	}
	expired := b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	attempt := b.begin(t, expired).ID
	b.clock.forward(30 * time.Minute)
	_, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	offSale(inventory.StatusDisabled)
	require.Equal(t, payments.LatePayment, b.receive(t, attempt, price), "there are two, and they are not sold any more")
	require.Equal(t, ordering.HoldLateNoStock, b.order(t, expired).HoldReason)
	require.Zero(t, b.restock(t))
	offSale(inventory.StatusActive)
	require.Equal(t, 1, b.restock(t))
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, expired).Status)

	short := b.short(t, "card", 1)
	held, err := b.orders.Hold(t.Context(), short, ordering.By{Actor: "operator:ann", Reason: "the supplier is a fraud"})
	require.NoError(t, err)
	require.Equal(t, ordering.HoldManual, held.HoldReason)
	b.importCards(t, "card", 1)
	require.Zero(t, b.restock(t))
	_, err = b.orders.Release(t.Context(), short, ordering.By{Actor: "operator:ann"})
	require.NoError(t, err)
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, short).Status)
	b.requireAudit(t)
}

// The older one wants two, of which one is reserved for a third: it keeps no card from the other.
func TestWhoCannotBeServedYetKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 2)
	late := b.late(t, "card", 2)
	b.importCards(t, "card", 1)
	short := b.short(t, "card", 1)
	b.importCards(t, "card", 2)
	b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	require.Equal(t, 1, b.restock(t))
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, short).Status)
	require.Equal(t, ordering.HoldLateNoStock, b.order(t, late).HoldReason)
	b.requireAudit(t)
}

func TestAnotherProductsQueueIsNoObstacle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "gone", inventory.KindCard, 210)
	b.product(t, "back", inventory.KindCard, 1)
	for range 205 {
		b.place(t, ordering.Line{SKU: "gone", Quantity: 1})
	}
	b.exec(t, `update orders set status = 'on_hold', hold_reason = 'card_shortage', payment_status = 'paid',
		paid_amount = total_amount, paid_at = now()`)
	b.loseCards(t, "gone", 210)
	id := b.short(t, "back", 1)
	b.importCards(t, "back", 1)
	require.Equal(t, 1, b.restock(t))
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, id).Status)
}

// A person releases what waits for cards and then holds it for a reason of theirs: an import does not release that.
func TestAManualHoldIsNotEndedByAnImport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 1)
	id := b.short(t, "card", 1)
	_, err := b.orders.Release(t.Context(), id, operator)
	require.NoError(t, err)
	_, err = b.orders.Hold(t.Context(), id, operator)
	require.NoError(t, err)
	b.importCards(t, "card", 1)
	require.Zero(t, b.restock(t))
	require.Equal(t, ordering.HoldManual, b.order(t, id).HoldReason)
}
