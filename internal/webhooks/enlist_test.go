package webhooks

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestEnlist(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	all, _ := b.endpoint(t, "https://example.com/all", "*")
	orders, _ := b.endpoint(t, "https://example.com/orders", "order.*", "order.paid")
	invoices, _ := b.endpoint(t, "https://example.com/invoices", "invoice.sent")
	off, _ := b.endpoint(t, "https://example.com/off", "*")
	_, err := b.UpdateEndpoint(t.Context(), off.ID, EndpointPatch{Enabled: new(false)})
	require.NoError(t, err)

	traced := paid()
	traced.Headers.Traceparent = traceparent
	named := event("webhook.test", `{}`)
	named.Headers.EndpointID = &invoices.ID
	toNobody := event("webhook.test", `{}`)
	toNobody.Headers.EndpointID = &off.ID
	events := b.append(t, traced, event("invoice.sent", `{}`), named, toNobody)
	jobs := b.relay(t, events)

	type pair struct{ event, endpoint uuid.UUID }
	got := map[pair]bool{}
	rows, err := b.pool.Query(t.Context(), `select event_id, endpoint_id from webhook_deliveries`)
	require.NoError(t, err)
	var p pair
	_, err = pgx.ForEachRow(rows, []any{&p.event, &p.endpoint}, func() error { got[p] = true; return nil })
	require.NoError(t, err)
	require.Equal(t, map[pair]bool{
		{events[0].ID, all.ID}: true, {events[0].ID, orders.ID}: true,
		{events[1].ID, all.ID}: true, {events[1].ID, invoices.ID}: true,
		{events[2].ID, invoices.ID}: true,
	}, got)
	require.Len(t, jobs, 5)
	for _, job := range jobs {
		args := job.Args.(Args)
		d, _ := b.delivery(t, args.DeliveryID)
		require.Equal(t, args.EndpointID, d.EndpointID)
		require.Equal(t, DeliveryPending, d.Status)
		require.NotNil(t, d.NextAttemptAt)
		require.Equal(t, Queue, job.InsertOpts.Queue)
		require.Equal(t, 8, job.InsertOpts.MaxAttempts)
		if d.EventID == traced.ID {
			var metadata map[string]string
			require.NoError(t, json.Unmarshal(job.InsertOpts.Metadata, &metadata))
			require.Equal(t, map[string]string{"traceparent": traceparent}, metadata)
		}
	}
	require.Empty(t, b.relay(t, events), "the ledger has them already")
	require.Empty(t, b.relay(t, nil))
}

// Whoever relays the same events at the same time, each pair has one row and one job.
func TestEnlistRaces(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	for range 3 {
		b.endpoint(t, "https://example.com")
	}
	var events []outbox.Event
	for range 100 {
		events = append(events, paid())
	}
	events = b.append(t, events...)
	var racers sync.WaitGroup
	var mu sync.Mutex
	jobs := map[uuid.UUID]int{}
	for i := range 6 {
		racers.Go(func() {
			mine := append([]outbox.Event(nil), events...)
			if i%2 == 1 { // in another order
				for l, r := 0, len(mine)-1; l < r; l, r = l+1, r-1 {
					mine[l], mine[r] = mine[r], mine[l]
				}
			}
			err := pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
				got, err := b.Enlist(t.Context(), tx, mine)
				mu.Lock()
				defer mu.Unlock()
				for _, job := range got {
					jobs[job.Args.(Args).DeliveryID]++
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	racers.Wait()
	require.Len(t, jobs, 300)
	require.Equal(t, 300, b.count(t, `select count(*) from webhook_deliveries`))
}

// What the relay pays where nobody listens is one statement, and two where somebody does.
func TestEnlistStatements(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	events := b.append(t, paid(), paid())
	statements := func() int {
		n := 0
		require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
			counting := &countingTx{Tx: tx}
			_, err := b.Enlist(t.Context(), counting, events)
			n = counting.n
			return err
		}))
		return n
	}
	require.Equal(t, 1, statements())
	b.endpoint(t, "https://example.com", "product.*")
	require.Equal(t, 1, statements())
	b.endpoint(t, "https://example.com", "order.*")
	require.Equal(t, 2, statements())
}

type countingTx struct {
	pgx.Tx

	n int
}

func (c *countingTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	c.n++
	return c.Tx.Query(ctx, sql, args...)
}
