package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The grace is 10 s (site.env), for requests and again for jobs.
const stopsWithin = 20 * time.Second

func TestStopUnderLoadDropsNothing(t *testing.T) {
	t.Parallel()
	const orders = 5000 // more than are sold before the stop
	s := newSite(t)
	running := s.serve(t)
	newShop(t, s, "stop", 2000)

	buyers := enter(t.Context(), s, "stop", 16, orders, false)
	buyers.awaitAcked(t, 300)
	require.Zero(t, running.terminate(t, stopsWithin))
	bought := buyers.gone(t)
	require.NotEmpty(t, bought)
	require.Less(t, len(bought), orders, "the stop came after the load: it proves nothing")
	require.Zero(t, s.count(t, "select count(*) from vendbox.river_job where state = 'running'"), "a job was left behind")
	require.Zero(t, s.count(t, "select count(*) from vendbox.worker_heartbeats"), "the heart still seems to beat")
	for _, p := range bought {
		status := "unpaid"
		if p.paid {
			status = "paid"
		}
		require.Equalf(t, 1, s.count(t, "select count(*) from vendbox.orders where id = $1 and (payment_status = $2 or payment_status = 'paid')",
			p.order.ID, status), "order %s was acknowledged as %s", p.order.ID, status)
	}

	s.serve(t)
	s.keptPromises(t, bought)
}
