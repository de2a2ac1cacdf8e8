package bench

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func cell(target string, skus, buyers int, rate float64) OrdersCell {
	return OrdersCell{
		Target: target, SKUs: skus, Buyers: buyers, OrdersPerSecond: rate, Latency: Latency{P50: 4.25, P99: 19.96},
		Processor: Processor{Process: 105.4, Postgres: 66.6}, Check: Check{Orders: 61_234},
	}
}

func TestOrdersTable(t *testing.T) {
	t.Parallel()
	r := OrdersReport{
		Machine: Machine{
			OS: "linux/amd64", CPUs: 2, Go: "go1.26", Postgres: "15.1", Fsync: "on", SynchronousCommit: "on", SharedBuffers: "256MB",
		},
		Duration: 5, Rounds: 1, KeyShare: 0.5,
		Cells: []OrdersCell{
			cell(Vendbox, 1, 64, 12_345.6), cell(Naive, 1, 64, 617.28), cell(NoDatabase, 1, 64, 24_691.2),
			cell(Vendbox, 1000, 64, 10_000),
		},
	}
	var out strings.Builder
	require.NoError(t, r.Table(&out))
	require.Equal(t, `linux/amd64, 2 CPUs for everything, go1.26, Postgres 15.1, fsync on, synchronous_commit on, shared_buffers 256MB
1 × 5 s per line, closed loop over keep-alive HTTP, 50 % with an Idempotency-Key

1 SKU, 64 buyers            orders/s    p50 ms    p99 ms  errors    CPU µs  checked in SQL
  vendbox                     12,346       4.2      20.0       0  105 + 67  61,234 orders    ████████████
  naive                          617       4.2      20.0       0  105 + 67  61,234 orders    ▋
  no database                 24,691       4.2      20.0       0  105 + 67  none, rightly    ████████████████████████
  vendbox is 20.0 × naive, 50 % of no database

1,000 SKUs, 64 buyers       orders/s    p50 ms    p99 ms  errors    CPU µs  checked in SQL
  vendbox                     10,000       4.2      20.0       0  105 + 67  61,234 orders    █████████▊
`, out.String())
}

func TestOrdersJSON(t *testing.T) {
	t.Parallel()
	r := OrdersReport{Cells: []OrdersCell{cell(Vendbox, 1, 64, 200), cell(Naive, 1, 64, 10)}}
	r.Ratios = r.ratios()
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(text), `"ratios":[{"skus":1,"buyers":64,"to_naive":20,"to_no_database":0}]`)
	require.Contains(t, string(text), `"orders_per_second":200`)
	require.Contains(t, string(text), `"p99_ms":19.96`)
}

func TestPipelineTable(t *testing.T) {
	t.Parallel()
	r := PipelineReport{
		Duration: 10,
		Rates:    []RateResult{{Rate: 500, Orders: 5000, CardVisible: Latency{P50: 4, P99: 24, Max: 31}, ServerP50: 3, ServerP99: 20}},
		Sustained: &SustainedResult{
			Orders: 10_000, Buyers: 64, SMSPerOrder: 1, Seconds: 12.5, OrdersPerSecond: 800,
			Check: PipelineCheck{Webhooks: 10_001, WebhookIDs: 10_000},
		},
	}
	var out strings.Builder
	require.NoError(t, r.Table(&out))
	require.Contains(t, out.String(), "  500/s for 10 s          5,000       4.0      24.0      31.0      3.0/20.0     all cards, once  ███")
	require.Contains(t, out.String(), "whole path: 800 orders/s (10,000 orders placed, paid, delivered, "+
		"1 SMS and 1 webhook each, in 12.5 s by 64 buyers)")
	require.Contains(t, out.String(), "10,001 webhooks of 10,000 different events")
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTableTellsThatItCannotWrite(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (&OrdersReport{}).Table(brokenWriter{}), "disk full")
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for want, x := range map[string]float64{"0": 0.4, "1": 0.5, "999": 999, "1,000": 999.5, "12,345": 12_345, "1,234,567": 1_234_567} {
		require.Equal(t, want, thousands(x))
	}
}

func TestConfigsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Orders(t.Context(), OrdersConfig{Concurrency: []int{0}, SKUs: []int{20_000}, KeyShare: 2, Rounds: -1}, nil)
	for _, want := range []string{"no database", "no targets", "0 buyers", "20000 SKUs", "share of 2", "-1 rounds"} {
		require.ErrorContains(t, err, want)
	}
	_, err = Pipeline(t.Context(), PipelineConfig{Rates: []int{0}, SustainedOrders: -1, Outstanding: 1}, nil)
	for _, want := range []string{"Inventory", "payment secret", "a rate of 0", "-1 sustained", "1 outstanding"} {
		require.ErrorContains(t, err, want)
	}
}

func TestWebhookSink(t *testing.T) {
	t.Parallel()
	s := NewWebhookSink()
	deliver := func(id, body string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Webhook-Id", id)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, 204, deliver("msg_1", `{"type":"order.completed","data":{}}`))
	require.Equal(t, 204, deliver("msg_1", `{"type":"order.completed","data":{}}`))
	require.Equal(t, 204, deliver("msg_2", `{ "data":{}, "type": "order.completed"}`))
	require.Equal(t, 204, deliver("msg_3", `{"type":"order.paid"}`))
	require.Equal(t, 400, deliver("", `{"type":"order.paid"}`))
	require.Equal(t, 400, deliver("msg_4", `{}`))
	require.Equal(t, 400, deliver("msg_5", `nonsense`))
	received, distinct := s.Count("order.completed")
	require.Equal(t, []int{3, 2}, []int{received, distinct})
	require.Equal(t, 1, s.missing([]string{"msg_1", "msg_3", "msg_9"}))
}

func TestPipelineCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	right := PipelineCheck{Orders: 5, Completed: 5, Cards: 5, DistinctCards: 5, SMSSent: 10, Webhooks: 6, WebhookIDs: 5}
	require.NoError(t, right.verify(5, 2), "a webhook may come twice")
	for name, spoil := range map[string]func(*PipelineCheck){
		"an order lost":      func(c *PipelineCheck) { c.Orders-- },
		"one not completed":  func(c *PipelineCheck) { c.Completed-- },
		"a card missing":     func(c *PipelineCheck) { c.Cards--; c.DistinctCards-- },
		"a card twice":       func(c *PipelineCheck) { c.DistinctCards-- },
		"unevenly delivered": func(c *PipelineCheck) { c.WrongOrders++ },
		"a card's state":     func(c *PipelineCheck) { c.WrongCards++ },
		"stock":              func(c *PipelineCheck) { c.StockGap-- },
		"an SMS missing":     func(c *PipelineCheck) { c.SMSSent-- },
		"an SMS twice":       func(c *PipelineCheck) { c.WrongSMS++ },
		"a webhook missing":  func(c *PipelineCheck) { c.MissingWebhooks++ },
		"a foreign webhook":  func(c *PipelineCheck) { c.WebhookIDs++ },
		"one still open":     func(c *PipelineCheck) { c.OpenDeliveries++ },
	} {
		c := right
		spoil(&c)
		require.Error(t, c.verify(5, 2), name)
	}
}
