package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const paymentSecret = "secret"

// system stands in for the whole one: real orders, payments and cards, behind a door of the plainest kind, and a
// delivery that is a few statements long.
type system struct {
	pool     *pgxpool.Pool
	stock    *inventory.Service
	orders   *ordering.Service
	payments *payments.Service
	sink     *WebhookSink
	url      string
	deliver  sync.Mutex // one at a time

	withoutWebhook func(order int) bool
	delivered      int
}

func openSystem(t *testing.T) *system {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	box := outbox.NewBox(pool, time.Now, nil)
	s := &system{
		pool: pool, stock: inventory.NewService(pool, vault, box, time.Now), sink: NewWebhookSink(),
		orders:         ordering.NewService(ordering.Config{}, pool, box, vault),
		payments:       payments.NewService(pool, box, time.Now, payments.NewSandbox(time.Now, paymentSecret)),
		withoutWebhook: func(int) bool { return false },
	}
	t.Cleanup(s.orders.Close)
	t.Cleanup(s.payments.Close)
	_, err = pool.Exec(t.Context(), `insert into sms_templates (id, event_type, locale, body)
		values (gen_random_uuid(), 'order.completed', 'en', 'done')`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `insert into webhook_endpoints (id, url, event_types) values (gen_random_uuid(), 'http://sink', '{*}')`)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/orders", s.place)
	mux.HandleFunc("POST /v1/orders/{id}/payments", s.begin)
	mux.HandleFunc("POST /v1/payment-callbacks/sandbox", s.callback)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *system) place(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Items []struct {
			SKU      string `json:"sku"`
			Quantity int    `json:"quantity"`
		} `json:"items"`
		Contact struct {
			Phone string `json:"phone"`
		} `json:"contact"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	placed, err := s.orders.Place(r.Context(), ordering.Request{
		Lines: []ordering.Line{{SKU: body.Items[0].SKU, Quantity: body.Items[0].Quantity}},
	}, ordering.Caller{APIKeyID: uuid.New()})
	answer(w, http.StatusCreated, map[string]any{"id": placed.Order.ID}, err)
}

func (s *system) begin(w http.ResponseWriter, r *http.Request) {
	p, err := s.payments.Begin(r.Context(), uuid.MustParse(r.PathValue("id")), "sandbox")
	answer(w, http.StatusCreated, map[string]any{"id": p.ID, "amount": p.Amount}, err)
}

func (s *system) callback(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		var applied payments.Application
		if _, applied, err = s.payments.Receive(r.Context(), "sandbox", payments.Callback{Header: r.Header, Body: body}); err == nil {
			err = s.fulfil(r, applied.OrderID)
		}
	}
	answer(w, http.StatusOK, map[string]any{"received": true}, err)
}

func (s *system) fulfil(r *http.Request, orderID uuid.UUID) error {
	s.deliver.Lock()
	defer s.deliver.Unlock()
	s.delivered++
	var eventID uuid.UUID
	_, err := s.pool.Exec(r.Context(), `update orders set status = 'completed', fulfillment_status = 'fulfilled',
		completed_at = now() where id = $1`, orderID)
	if err != nil {
		return err
	}
	//nolint:dupword // three of an event's times are the same
	err = s.pool.QueryRow(r.Context(), `with card as (
			select c.id from cards c join order_items i on i.product_id = c.product_id
			where i.order_id = $1 and c.state = 'available' limit 1
		), given as (
			update cards set state = 'delivered' from card where cards.id = card.id
		), delivery as (
			insert into card_deliveries (order_id, line, unit, card_id, delivered_at) select $1, 1, 1, id, now() from card
		), event as (
			insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
			values (uuid_v7(), 'order', $1::text, 'order.completed', '{}', 1, now()) returning id, occurred_at
		), message as (
			insert into sms_messages (id, event_id, event_occurred_at, event_type, template_id, order_id, recipient_fingerprint,
				recipient_masked, locale, status, created_at, opened_at, finished_at)
			select uuid_v7(), id, occurred_at, 'order.completed', id, $1, '\x00112233445566778899aabbccddeeff', '', 'en', 'sent', occurred_at,
				occurred_at, occurred_at
			from event
		), webhook as (
			insert into webhook_deliveries (id, event_id, event_occurred_at, event_type, endpoint_id, status, finished_at)
			select uuid_v7(), e.id, e.occurred_at, 'order.completed', w.id, 'succeeded', now() from event e, webhook_endpoints w
		)
		select id from event`, orderID).Scan(&eventID)
	if err != nil {
		return err
	}
	if s.withoutWebhook(s.delivered) {
		return nil
	}
	delivery := httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/", bytes.NewReader([]byte(`{"type":"order.completed"}`)))
	delivery.Header.Set("Webhook-Id", "msg_"+eventID.String())
	s.sink.ServeHTTP(httptest.NewRecorder(), delivery)
	return nil
}

func answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		http.Error(w, fmt.Sprint(err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	text, _ := json.Marshal(body) //nolint:errchkjson // ids and amounts
	_, _ = w.Write(text)
}

const warmup = 200 // orders

func (s *system) config() PipelineConfig {
	return PipelineConfig{
		BaseURL: s.url, APIKey: "k", PaymentSecret: paymentSecret, Pool: s.pool, Inventory: s.stock, Webhooks: s.sink,
		Rates: []int{40, 20}, Duration: 300 * time.Millisecond, SustainedOrders: 20, Warmup: warmup, Buyers: 4, Outstanding: 8,
		Drain: time.Second,
	}
}

func TestPipeline(t *testing.T) {
	t.Parallel()
	s := openSystem(t)
	_, err := s.pool.Exec(t.Context(), relayed)
	require.NoError(t, err)
	report, err := Pipeline(t.Context(), s.config(), nil)
	require.NoError(t, err)
	require.Len(t, report.Rates, 2)
	for i, rate := range []int{20, 40} {
		result := report.Rates[i]
		require.Equal(t, rate, result.Rate)
		require.Equal(t, rate*3/10, result.Orders)
		require.EqualValues(t, result.Orders, result.CardVisible.Count)
		require.EqualValues(t, result.Orders, result.Answered.Count)
		require.Positive(t, result.CardVisible.P50)
		require.GreaterOrEqual(t, result.CardVisible.Max, result.ServerP50)
		require.Positive(t, result.PollEvery)
	}
	all := warmup + 6 + 12 + 20
	require.Equal(t, PipelineCheck{
		Orders: all, Completed: all, Cards: all, DistinctCards: all, SMSSent: all, Webhooks: all, WebhookIDs: all,
	}, report.Sustained.Check)
	require.Positive(t, report.Sustained.OrdersPerSecond)
}

func TestPipelineMissesAWebhook(t *testing.T) {
	t.Parallel()
	s := openSystem(t)
	_, err := s.pool.Exec(t.Context(), relayed)
	require.NoError(t, err)
	s.withoutWebhook = func(order int) bool { return order == warmup+3 }
	report, err := Pipeline(t.Context(), s.config(), nil)
	require.ErrorContains(t, err, "205 webhooks received", "of 206 orders")
	require.Empty(t, report.Rates, "no figure without its check")
}

func TestPipelineNeedsATemplate(t *testing.T) {
	t.Parallel()
	s := openSystem(t)
	_, err := s.pool.Exec(t.Context(), `delete from sms_templates`)
	require.NoError(t, err)
	_, err = Pipeline(t.Context(), s.config(), nil)
	require.ErrorContains(t, err, "no SMS template")
}

// relayed makes the relay's part short: nothing waits for it.
const relayed = `
	create function relayed() returns trigger language plpgsql as $$ begin
		delete from river_job where id = new.id;
		return null;
	end $$;
	create trigger relayed after insert on river_job for each row when (new.kind = 'relay') execute function relayed()`

// Payments are due at their times even when the system does not answer (no coordinated omission).
func TestRateIsKept(t *testing.T) {
	t.Parallel()
	orders := make([]preparedOrder, 20)
	for i := range orders {
		orders[i].orderID = uuid.New()
	}
	due := make(chan duePayment, len(orders)) // nobody takes them
	w := newWatcher(nil, len(orders))
	began := time.Now()
	require.NoError(t, keepRate(t.Context(), 200, orders, due, w))
	require.GreaterOrEqual(t, time.Since(began), 95*time.Millisecond)
	close(due)
	var last time.Time
	for p := range due {
		if !last.IsZero() {
			require.Equal(t, 5*time.Millisecond, p.at.Sub(last))
		}
		last = p.at
	}
	require.Len(t, w.waiting, 20)
}

func TestWatcherGivesUp(t *testing.T) {
	t.Parallel()
	w := newWatcher(pgtest.New(t), 1)
	w.expect(uuid.New(), time.Now())
	require.ErrorContains(t, w.watch(t.Context(), 50*time.Millisecond), "did not come within")
}
