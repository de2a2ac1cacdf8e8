package relay_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/outbox"
)

// Who watches orders is told of a batch in as few notifications as can hold the ids, each once.
func TestABatchOfChangedOrdersIsAFewNotifications(t *testing.T) {
	t.Parallel()
	b := setup(t)
	conn, err := pgx.Connect(t.Context(), b.db.URL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `listen "vendbox.orders"`)
	require.NoError(t, err)
	r := b.relay()
	changed := map[string]bool{}
	require.NoError(t, b.box(r.Hand).InTx(t.Context(), func(tx *outbox.Tx) error {
		event := func(aggregateType, id string, sequence int) {
			tx.Append(outbox.Event{
				AggregateType: aggregateType, AggregateID: id, Type: "order.changed", Payload: json.RawMessage(`{}`), Sequence: sequence,
			})
		}
		for range 300 {
			id := uuid.NewString()
			changed[id] = true
			event("order", id, 2)
		}
		for id := range changed {
			event("order", id, 3)
			event("order", uuid.NewString(), 1) // just placed: nobody watches it yet
			break
		}
		event("invoice", uuid.NewString(), 2)
		event("order", "SO-1001", 0) // another application's
		return nil
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, want := range []int{200, 100} {
		notification, err := conn.WaitForNotification(ctx)
		require.NoError(t, err)
		require.Less(t, len(notification.Payload), 8000)
		ids := strings.Split(notification.Payload, ",")
		require.Len(t, ids, want)
		for _, id := range ids {
			require.True(t, changed[id], id)
			delete(changed, id)
		}
	}
	require.Empty(t, changed)
}
