package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Without the fast path everything goes the way of events whose process died right after the commit.
func TestSafetyJobsRelayEverythingOnce(t *testing.T) {
	t.Parallel()
	const batches, size = 4, 500
	s := newSite(t)
	s.serve(t, "--no-fast-path")
	s.stockCounted(t, "topup", batches*size)
	s.subscribe(t, "order.created")

	begun := time.Now()
	for range batches {
		s.placeBatch(t, "topup", size)
	}
	const due = 10 * time.Second // by the database's clock; River looks every 5 s
	await(t, due+time.Minute, "the webhooks", func() error {
		if _, distinct := s.sink.counts(); distinct < batches*size {
			return fmt.Errorf("%d have come", distinct)
		}
		return nil
	})
	s.awaitQuiet(t)
	arrived, distinct := s.sink.counts()
	require.Equal(t, batches*size, distinct)
	require.Equal(t, distinct, arrived, "some came twice")
	s.sink.nothingWrong(t)
	for _, h := range s.sink.ofType("order.created") {
		require.Greater(t, h.at.Sub(begun), due-time.Second, "it came before its safety job was due: this was the fast path")
	}
	require.Equal(t, batches*size, s.count(t, "select count(*) from vendbox.webhook_deliveries"))
	require.Equal(t, batches*size, s.count(t, `select count(*) from vendbox.webhook_deliveries d
		join vendbox.outbox o on o.id = d.event_id and o.type = 'order.created' where d.status = 'succeeded'`))
	s.audited(t)
}

// placeBatch places orders of one unit in one request.
func (s *site) placeBatch(t *testing.T, sku string, size int) {
	t.Helper()
	orders := make([]any, size)
	for i := range orders {
		orders[i] = cart(sku, 1)
	}
	var results struct{ Data []struct{ Status int } }
	s.must(t, http.StatusOK, &results, http.MethodPost, "/v1/orders/batch", map[string]any{"orders": orders})
	require.Len(t, results.Data, size)
	for i, r := range results.Data {
		require.Equalf(t, http.StatusCreated, r.Status, "member %d", i)
	}
}
