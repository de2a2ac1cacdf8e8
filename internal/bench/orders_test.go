package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// serve is a door of the plainest kind.
func serve(t *testing.T, place Placer) string {
	t.Helper()
	apiKey := uuid.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Items []struct {
				SKU      string `json:"sku"`
				Quantity int    `json:"quantity"`
			} `json:"items"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p := order(apiKey, ordering.Line{SKU: body.Items[0].SKU, Quantity: body.Items[0].Quantity})
		if p.IdempotencyKey = r.Header.Get("Idempotency-Key"); p.IdempotencyKey != "" {
			p.RequestHash = make([]byte, 32)
		}
		if _, err := place(r.Context(), p); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func quickly(pool *pgxpool.Pool, targets ...Target) OrdersConfig {
	return OrdersConfig{
		Targets: targets, Pool: pool, Concurrency: []int{4}, SKUs: []int{1, 10}, Duration: 100 * time.Millisecond,
		Warmup: 20 * time.Millisecond, Settle: time.Millisecond, Rounds: 2,
	}
}

func TestOrders(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var said atomic.Int64
	report, err := Orders(t.Context(), quickly(pool,
		Target{Name: Vendbox, BaseURL: serve(t, NaivePlacer(pool, time.Now, func(outbox.Batch) {}))},
		Target{Name: Naive, BaseURL: serve(t, NaivePlacer(pool, time.Now, func(outbox.Batch) {}))},
		Target{Name: NoDatabase, BaseURL: serve(t, NoDatabasePlacer())},
	), func(string) { said.Add(1) })
	require.NoError(t, err)
	require.Len(t, report.Cells, 6)
	require.Len(t, report.Ratios, 2)
	require.EqualValues(t, 2+6*2, said.Load())
	for _, cell := range report.Cells {
		require.Positive(t, cell.OrdersPerSecond)
		require.Len(t, cell.Rounds, 2)
		require.Zero(t, cell.Errors)
		if cell.Target == NoDatabase {
			require.Zero(t, cell.Check.Orders)
		} else {
			require.Equal(t, cell.Acknowledged, cell.Check.Orders)
		}
	}
	require.Positive(t, report.Ratios[0].ToNoDatabase)
}

// A server that says 201 and forgets every tenth order gets no figure.
func TestOrdersAreNotTakenOnTrust(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	honest, forgetful := NaivePlacer(pool, time.Now, func(outbox.Batch) {}), NoDatabasePlacer()
	var n atomic.Int64
	liar := func(ctx context.Context, p ordering.PlaceParams) (ordering.Placed, error) {
		if n.Add(1)%10 == 0 {
			return forgetful(ctx, p)
		}
		return honest(ctx, p)
	}
	report, err := Orders(t.Context(), quickly(pool, Target{Name: Vendbox, BaseURL: serve(t, liar)}), nil)
	require.ErrorContains(t, err, "were acknowledged, and only")
	require.Empty(t, report.Cells)
}
