package fulfillment_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// payAtOnce pays orders and delivers them in one transaction, as the rooms of payments and fulfillment do together.
func (b *bundle) payAtOnce(ids ...uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		locked, err := ordering.Lock(b.t.Context(), tx, ids)
		if err != nil {
			return err
		}
		var orders []*ordering.Order
		for _, id := range ids {
			if err := locked[id].MarkPaid(tx, ordering.By{Actor: "test"}); err != nil {
				return err
			}
			orders = append(orders, locked[id])
		}
		_, err = fulfillment.AtOnce(b.t.Context(), tx, orders)
		return errors.Join(err, ordering.Save(b.t.Context(), tx, orders))
	}))
}

func (b *bundle) placed(lines ...ordering.Line) uuid.UUID {
	b.t.Helper()
	placed, err := b.orders.Place(b.t.Context(), ordering.Request{Lines: lines}, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(b.t, err)
	return placed.Order.ID
}

// relayed gives the delivery jobs that the relay makes of everything in the outbox.
func (b *bundle) relayed() int {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `select id, aggregatetype, aggregateid, type, payload, occurred_at from outbox order by seq`)
	require.NoError(b.t, err)
	var events []outbox.Event
	for rows.Next() {
		var e outbox.Event
		require.NoError(b.t, rows.Scan(&e.ID, &e.AggregateType, &e.AggregateID, &e.Type, &e.Payload, &e.OccurredAt))
		events = append(events, e)
	}
	require.NoError(b.t, rows.Err())
	n := 0
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		jobs, err := fulfillment.Enlist(b.t.Context(), tx, events)
		n = len(jobs)
		return err
	}))
	return n
}

func TestAnOrderWhoseCardsAreThereIsDeliveredWithItsPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 3)...)
	b.product("n", inventory.KindCounted)
	id := b.placed(line("a", 2), line("n", 5))
	b.payAtOnce(id)
	order, err := b.orders.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, ordering.Completed, order.Status)
	require.Equal(t, order.PaidAt, order.CompletedAt)
	cards, err := b.cards.OfOrder(t.Context(), id, "test", "request")
	require.NoError(t, err)
	require.Len(t, cards, 2)
	require.Zero(t, b.relayed(), "it needs no job")
	var events []string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select array_agg(event order by sequence) from order_timeline where order_id = $1`, id).
		Scan(&events))
	require.Equal(t, []string{ordering.EventPaid, ordering.EventCompleted}, events)
}

// Other payments wait for a transaction, so a large order is left to its job, and does not keep the next one from its cards.
func TestAtMostAThousandUnitsAreDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 2100)...)
	larger, large, small := b.placed(line("a", 600), line("a", 401)), b.placed(line("a", 600), line("a", 400)), b.placed(line("a", 1))
	b.payAtOnce(larger, large, small)
	for id, status := range map[uuid.UUID]ordering.Status{
		larger: ordering.Processing, large: ordering.Completed, small: ordering.Processing,
	} {
		order, err := b.orders.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, status, order.Status)
	}
	require.Equal(t, 2, b.relayed())
}

// Of two orders for the last card the first gets it, and the other's job sees to the shortage.
func TestAnOrderWithoutCardsIsLeftToItsJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 2)...)
	first, second := b.placed(line("a", 1)), b.placed(line("a", 1))
	_, err := b.pool.Exec(t.Context(), `update cards set state = 'disabled' where id = (select id from cards limit 1)`)
	require.NoError(t, err)
	b.payAtOnce(first, second)
	for id, status := range map[uuid.UUID]ordering.Status{first: ordering.Completed, second: ordering.Processing} {
		order, err := b.orders.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, status, order.Status)
	}
	require.Equal(t, 1, b.relayed())
}

// Cards that another transaction holds are not waited for: the payment's notice has to be answered.
func TestCardsInOtherHandsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 1)...)
	id := b.placed(line("a", 1))
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `select from cards for update`)
	require.NoError(t, err)
	b.payAtOnce(id) // it would not return
	require.NoError(t, other.Rollback(t.Context()))
	order, err := b.orders.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, ordering.Processing, order.Status)
	require.Equal(t, 1, b.relayed())
}

// What an earlier transaction has paid is its job's, whatever brings the order up again.
func TestOnlyWhatThisTransactionHasPaidIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 1)...)
	id := b.paid(line("a", 1))
	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		locked, err := ordering.Lock(t.Context(), tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		delivered, err := fulfillment.AtOnce(t.Context(), tx, []*ordering.Order{locked[id]})
		require.Empty(t, delivered)
		return err
	}))
	order, err := b.orders.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, ordering.Processing, order.Status)
}
