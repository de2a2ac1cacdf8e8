package life

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// The notice never comes: the gateway is asked, once the attempt is 20 s old.
func TestALostCallbackIsFoundAndTheCardDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 1)
	id := b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	b.gateway.pay(b.begin(t, id).ID, price)
	found, err := b.payments.AskGateways(t.Context())
	require.NoError(t, err)
	require.Zero(t, found, "a callback that is on its way is waited for")
	b.clock.forward(30 * time.Second)
	b.gateway.setDown(true)
	found, err = b.payments.AskGateways(t.Context())
	require.NoError(t, err)
	require.Zero(t, found)
	b.gateway.setDown(false)
	b.clock.forward(30 * time.Second)
	b.crash(t)
	found, err = b.payments.AskGateways(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, found, "within a minute, and one failure")
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, id).Status)
	b.requireAudit(t)
}

// More lost callbacks than one look takes are found by the same run.
func TestManyLostCallbacksAreFoundAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "count", inventory.KindCounted, 205)
	for range 205 {
		b.gateway.pay(b.begin(t, b.place(t, ordering.Line{SKU: "count", Quantity: 1})).ID, price)
	}
	b.clock.forward(time.Minute)
	found, err := b.payments.AskGateways(t.Context())
	require.NoError(t, err)
	require.Equal(t, 205, found)
}

// An order that expires is asked about first, and one whose gateway is silent waits, but not for ever.
func TestExpiryAsksTheGatewayFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 2)
	paid, unpaid := b.place(t, ordering.Line{SKU: "card", Quantity: 1}), b.place(t, ordering.Line{SKU: "card", Quantity: 1})
	b.gateway.pay(b.begin(t, paid).ID, price)
	b.begin(t, unpaid)
	b.clock.forward(30 * time.Minute)
	b.gateway.setDown(true)
	for _, wait := range []time.Duration{0, 9 * time.Minute} {
		b.clock.forward(wait)
		expired, err := b.payments.ExpireDue(t.Context())
		require.NoError(t, err)
		require.Zero(t, expired)
	}
	b.gateway.setDown(false)
	expired, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, expired)
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, paid).Status)
	require.Equal(t, ordering.Expired, b.order(t, unpaid).Status)
	b.requireAudit(t)
}

// One gateway is down. Who waits for it waits, and nobody else does.
func TestAGatewayThatIsDownIsNotAskedForEachOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "count", inventory.KindCounted, 101)
	for range 100 {
		b.begin(t, b.place(t, ordering.Line{SKU: "count", Quantity: 1}))
	}
	unasked := b.place(t, ordering.Line{SKU: "count", Quantity: 1})
	b.clock.forward(30 * time.Minute)
	b.gateway.setDown(true)
	expired, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, expired)
	require.Equal(t, ordering.Expired, b.order(t, unasked).Status)
	require.Less(t, b.gateway.queried, 50)
	b.gateway.setDown(false)
	expired, err = b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 100, expired)
}

func TestAPaidOrderThatLostItsJobIsDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 3)
	pay := func() *ordering.Order {
		id := b.place(t, ordering.Line{SKU: "card", Quantity: 1})
		require.Equal(t, payments.Applied, b.receive(t, b.begin(t, id).ID, price))
		return b.order(t, id)
	}
	heal := func(want int, why string) {
		t.Helper()
		healed, err := b.healer.Heal(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, healed, why)
	}
	withFailedJob, lost := pay(), pay()
	b.relayAll(t)
	unrelayed := pay()
	b.exec(t, `delete from river_job where kind = 'relay'`)
	require.Equal(t, 2, b.int(t, `select count(*) from river_job where kind = 'deliver_order'`))
	b.clock.forward(2 * time.Minute)
	heal(0, "each has its job, or may still be relayed")
	b.exec(t, `update river_job set state = 'discarded', finalized_at = now() where args ->> 'order_id' = $1`, withFailedJob.ID.String())
	b.exec(t, `delete from river_job where args ->> 'order_id' = $1`, lost.ID.String())
	heal(1, "what failed is a person's")
	heal(0, "it has a job")
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, lost.ID).Status)
	require.Equal(t, ordering.Processing, b.order(t, withFailedJob.ID).Status)
	b.clock.forward(10 * time.Minute)
	heal(1, "whose relay job is gone as well")
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, unrelayed.ID).Status)
}
