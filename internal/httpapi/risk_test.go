package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/risk"
)

// newGuardedShop is a shop with risk rules; assess plays the worker.
func newGuardedShop(t *testing.T, rules string) (s *shop, assess func(uuid.UUID)) {
	t.Helper()
	s = newShop(t)
	vault, err := cardvault.Open(t.Context(), s.pool, s.master)
	require.NoError(t, err)
	client, err := river.NewClient(riverpgxv5.New(s.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	file, err := risk.Parse([]byte(rules), "CN", nil)
	require.NoError(t, err)
	room, err := risk.NewService(risk.Config{File: file, Region: "CN"}, risk.Deps{
		Pool: s.pool, Box: s.box, Vault: vault, Jobs: client, Delivery: fulfillment.Job, Queue: fulfillment.Queue,
	})
	require.NoError(t, err)
	t.Cleanup(room.Close)
	orders := ordering.NewService(ordering.Config{Region: "CN", Guard: room.Guard()}, s.pool, s.box, vault)
	t.Cleanup(orders.Close)
	deps := s.deps
	deps.Orders, deps.Risk, deps.Log = orders, room, nil
	s.testServer = newTestServer(t, deps)
	return s, func(id uuid.UUID) {
		job := &river.Job[risk.Args]{JobRow: &rivertype.JobRow{Metadata: []byte(`{}`)}, Args: risk.Args{OrderID: id}}
		require.NoError(t, room.Worker().Work(t.Context(), job))
	}
}

// What operators do about a held order is kept: who, why, when and in which trace.
func TestHeldOrders(t *testing.T) {
	t.Parallel()
	s, assess := newGuardedShop(t, `{"rules": [{"name": "large", "if": "amount_above", "amount": {"amount": 2000, "currency": "CNY"}}]}`)
	const two = `{"items":[{"sku":"a","quantity":2}],"client_ip":"203.0.113.7"}`
	held := func() PlacedOrder {
		placed, got := s.place(two)
		require.NotContains(t, string(got.body), "203.0.113.7")
		require.NotContains(t, string(got.body), "client_ip")
		path := "/v1/orders/" + placed.ID.String()
		s.as("orders:manage", "GET", path+"/risk", "").problem(404, "risk_assessment_not_found")
		s.pay(placed.ID)
		assess(placed.ID)
		var found riskAssessment
		s.as("orders:manage", "GET", path+"/risk", "").into(200, &found)
		require.Equal(t, "hold", found.Decision)
		require.Equal(t, []string{"large"}, found.Rules)
		require.Equal(t, "off", found.Scorer)
		require.WithinDuration(t, time.Now(), found.AssessedAt, time.Minute)
		s.as("orders:read", "GET", path+"/risk", "").problem(403, "scope_missing")
		return placed
	}
	last := func(placed PlacedOrder) timelineEntry {
		var entries listBody[timelineEntry]
		s.as("orders:read", "GET", "/v1/orders/"+placed.ID.String()+"/timeline", "").into(200, &entries)
		return entries.Data[len(entries.Data)-1]
	}
	do := func(placed PlacedOrder, step, reason string) (order Order) {
		const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
		s.as("orders:manage", "POST", fmt.Sprintf("/v1/orders/%s/%s", placed.ID, step), fmt.Sprintf(`{"reason":%q}`, reason),
			"Traceparent", trace).into(200, &order)
		entry := last(placed)
		require.Equal(t, "key:testtest", entry.Actor)
		require.Equal(t, reason, entry.Reason)
		require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", entry.TraceID)
		require.Equal(t, order.Status, entry.Status)
		return order
	}

	first := held()
	entry := last(first)
	require.Equal(t, "order.on_hold", entry.Event)
	require.Equal(t, "system:risk", entry.Actor)
	require.Equal(t, "rules: large", entry.Reason)
	var order Order
	s.as("orders:read", "GET", "/v1/orders/"+first.ID.String(), "").into(200, &order)
	require.Equal(t, "risk", order.HoldReason)

	require.Equal(t, "processing", do(first, "release", "called her").Status)
	require.Equal(t, "on_hold", do(first, "hold", "wait").Status)
	require.Equal(t, "order.on_hold", last(first).Event)
	require.Equal(t, "processing", do(first, "release", "go").Status)
	s.deliver(first.ID)

	second := held()
	rejected := do(second, "reject", "stolen card")
	require.Equal(t, "canceled", rejected.Status)
	require.Equal(t, "refunded", rejected.PaymentStatus)
	require.Equal(t, "order.refunded", last(second).Event)
	s.as("orders:manage", "GET", "/v1/orders/"+uuid.NewString()+"/risk", "").problem(404, "risk_assessment_not_found")
}

// The buyer does not learn which rule it was; the log does. What is kept of the address is a fingerprint.
func TestRefusedByRisk(t *testing.T) {
	t.Parallel()
	s, _ := newGuardedShop(t, `{"rules": [{"name": "blocked-ips", "if": "blocklist", "ips": ["203.0.113.7"], "action": "refuse"}]}`)
	refused := s.as("orders:write", "POST", "/v1/orders", `{"items":[{"sku":"a","quantity":1}],"client_ip":"203.0.113.7"}`)
	require.Equal(t, http.StatusConflict, refused.StatusCode)
	require.NotContains(t, string(refused.body), "blocked-ips")
	refused.problem(409, "order_refused")
	require.Eventually(t, func() bool {
		return strings.Contains(s.log.String(), "order_refused: risk rule blocked-ips")
	}, 10*time.Second, time.Millisecond)

	for _, bad := range []string{`"203.0.113"`, `"localhost"`, `7`} {
		s.as("orders:write", "POST", "/v1/orders", `{"items":[{"sku":"a","quantity":1}],"client_ip":`+bad+`}`).problem(422, "validation_failed")
	}
	body := `{"orders":[{"items":[{"sku":"a","quantity":1}],"client_ip":"203.0.113.7"},
		{"items":[{"sku":"a","quantity":1}],"client_ip":"2001:db8::1"}]}`
	var batch listBody[struct {
		Status int `json:"status"`
	}]
	s.as("orders:write", "POST", "/v1/orders/batch", body).into(200, &batch)
	require.Len(t, batch.Data, 2)
	require.Equal(t, []int{409, 201}, []int{batch.Data[0].Status, batch.Data[1].Status})

	var kept string
	require.NoError(t, s.pool.QueryRow(t.Context(), `select to_jsonb(o)::text from orders o`).Scan(&kept))
	require.NotContains(t, kept, "2001:db8")
	var length int
	require.NoError(t, s.pool.QueryRow(t.Context(), `select octet_length(ip_fingerprint) from orders`).Scan(&length))
	require.Equal(t, 16, length)
}
