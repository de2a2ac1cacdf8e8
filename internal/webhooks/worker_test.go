package webhooks

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/telemetry"
)

func TestRepeatsAreTheSameMessage(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	clock.Store(time.Now().Unix())
	b := setup(t, Config{AllowHTTP: true, AllowPrivate: true, Version: "1.2.3"},
		func(d *Deps) { d.Now = func() time.Time { return time.Unix(clock.Add(1), 0) } })
	sub := subscribe(t, func(n int) int { return []int{500, 503, 200}[min(n, 2)] })
	_, secret := b.endpoint(t, sub.URL+"/hook")
	e := paid()
	e.Headers.Traceparent = traceparent
	args := b.send(t, e)
	for attempt := range 3 {
		err := b.work(t, args, attempt+1)
		require.Equal(t, attempt == 2, err == nil)
	}

	requests := sub.requests()
	require.Len(t, requests, 3)
	timestamps := map[string]bool{}
	for _, r := range requests {
		require.Equal(t, http.MethodPost, r.method)
		require.Equal(t, "/hook", r.path)
		require.Equal(t, "msg_"+e.ID.String(), r.header.Get("Webhook-Id"))
		require.Equal(t, requests[0].body, r.body)
		require.Equal(t, "application/json", r.header.Get("Content-Type"))
		require.Equal(t, "vendbox/1.2.3", r.header.Get("User-Agent"))
		require.Equal(t, traceparent, r.header.Get("Traceparent"), "nothing is traced here, so the event's own goes through")
		timestamps[r.header.Get("Webhook-Timestamp")] = true
		verifyWithGo(t, []check{{r, secret, true, true}})
	}
	require.Len(t, timestamps, 3, "each attempt has its own time")
	require.Contains(t, string(requests[0].body), `{"type":"order.paid","timestamp":"`)
	require.Contains(t, string(requests[0].body), `"a":"<&>é"`)

	d, attempts := b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliverySucceeded, d.Status)
	require.Equal(t, 3, d.Attempts)
	require.Equal(t, []int{500, 503, 200}, []int{attempts[0].StatusCode, attempts[1].StatusCode, attempts[2].StatusCode})
	require.Equal(t, []int{1, 2, 3}, []int{attempts[0].Number, attempts[1].Number, attempts[2].Number})
}

// The ledger decides, whatever jobs there are.
func TestLedgerFences(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, func(n int) int { return []int{200, 500}[min(n, 1)] })
	e, _ := b.endpoint(t, sub.URL)

	args := b.send(t)
	require.NoError(t, b.work(t, args, 1))
	require.NoError(t, b.work(t, args, 2), "a job that was rescued although it had done its work")
	require.Len(t, sub.requests(), 1)

	stale := b.send(t)
	_, err := b.pool.Exec(t.Context(), `update webhook_deliveries set round = 2 where id = $1`, stale.DeliveryID)
	require.NoError(t, err)
	require.NoError(t, b.work(t, stale, 1), "another job has it by now")
	require.NoError(t, b.work(t, Args{DeliveryID: uuid.New(), EndpointID: e.ID, Round: 1}, 1), "retention has taken it")
	require.Len(t, sub.requests(), 1)

	last := b.send(t)
	require.ErrorContains(t, b.work(t, last, b.cfg.MaxAttempts), "last attempt")
	d, _ := b.delivery(t, last.DeliveryID)
	require.Equal(t, DeliveryExhausted, d.Status)
	require.NoError(t, b.work(t, last, b.cfg.MaxAttempts))
	require.Len(t, sub.requests(), 2)

	orphan := b.send(t)
	_, err = b.pool.Exec(t.Context(), `delete from outbox`)
	require.NoError(t, err)
	require.ErrorContains(t, b.work(t, orphan, 1), eventExpired)
	d, _ = b.delivery(t, orphan.DeliveryID)
	require.Equal(t, DeliveryExhausted, d.Status)

	disabled := b.send(t, event("order.created", `{}`))
	_, err = b.pool.Exec(t.Context(), `update webhook_endpoints set status = 'disabled', disabled_reason = 'operator'`)
	require.NoError(t, err)
	require.NoError(t, b.work(t, disabled, 1))
	d, _ = b.delivery(t, disabled.DeliveryID)
	require.Equal(t, DeliveryEndpointDisabled, d.Status)
	require.Zero(t, d.Attempts)
}

// Two workers that have the same delivery, as after a rescue that came too early: both attempts are on record, one of
// them ends it, and a failure that comes late does not undo the success.
func TestLateFailureDoesNotUndoSuccess(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	first, second := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			close(first)
			<-second
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	b.endpoint(t, server.URL)
	args := b.send(t)
	late := make(chan error)
	go func() { late <- b.work(t, args, 1) }()
	<-first
	require.NoError(t, b.work(t, args, 2))
	close(second)
	require.Error(t, <-late)
	d, attempts := b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliverySucceeded, d.Status)
	require.Empty(t, d.LastError)
	require.Len(t, attempts, 2)
}

func TestStoppingCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		hang(r)
	}))
	t.Cleanup(server.Close)
	b.endpoint(t, server.URL)
	args := b.send(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	err := b.Worker().Work(ctx, &river.Job[Args]{JobRow: &rivertype.JobRow{Attempt: 1, MaxAttempts: 8}, Args: args})
	require.ErrorIs(t, err, context.Canceled)
	d, attempts := b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliveryPending, d.Status)
	require.Empty(t, attempts)
}

func TestNextRetryIsWhatTheLedgerShows(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, always(500))
	b.endpoint(t, sub.URL)
	args := b.send(t)
	w := b.Worker()
	job := &river.Job[Args]{JobRow: &rivertype.JobRow{ID: 7, Attempt: 4, MaxAttempts: 8}, Args: args}
	require.Error(t, w.Work(t.Context(), job))
	d, _ := b.delivery(t, args.DeliveryID)
	require.Equal(t, d.NextAttemptAt.UTC(), w.NextRetry(job).UTC())
	require.NotEqual(t, d.NextAttemptAt.UTC(), w.NextRetry(job).UTC(), "it was for once")
}

func TestAttemptIsTracedAndLogged(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	var mu sync.Mutex
	var log bytes.Buffer
	b := setup(t, local(), func(d *Deps) {
		d.Tracing = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		d.Log = telemetry.NewLogger(lockedWriter{&mu, &log}, slog.LevelInfo, telemetry.JSON)
	})
	sub := subscribe(t, always(503))
	b.endpoint(t, sub.URL+"/?token=secret-token")
	e := paid()
	e.Headers.Traceparent = traceparent
	require.Error(t, b.work(t, b.send(t, e), 1))

	require.Len(t, spans.Ended(), 1)
	span := spans.Ended()[0]
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", span.SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Contains(t, span.Attributes(), attribute.Int("http.response.status_code", 503))
	require.Equal(t, "00-"+span.SpanContext().TraceID().String()+"-"+span.SpanContext().SpanID().String()+"-01",
		sub.requests()[0].header.Get("Traceparent"))
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")), "one line per attempt")
	for _, want := range []string{
		`"trace_id":"0af7651916cd43dd8448eb211c80319c"`, `"outcome":"failed"`, `"status":503`, `"event_type":"order.paid"`,
	} {
		require.Contains(t, log.String(), want)
	}
	require.NotContains(t, log.String(), "secret-token")
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Through River: every event arrives once, set-wise, and nothing is left open.
func TestAThousandDeliveries(t *testing.T) {
	t.Parallel()
	cfg := local()
	cfg.MaxWorkers = 100
	cfg.RetryBase, cfg.RetryCap = time.Millisecond, 10*time.Millisecond
	b := setup(t, cfg)
	sub := subscribe(t, func(n int) int {
		if n%10 == 0 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	b.endpoint(t, sub.URL)
	b.endpoint(t, sub.URL)
	var events []outbox.Event
	for range 500 {
		events = append(events, paid())
	}
	require.Len(t, b.relay(t, b.append(t, events...)), 1000)
	began := time.Now()
	b.startRiver(t)
	require.Eventually(t, func() bool {
		return b.count(t, `select count(*) from webhook_deliveries where status = 'succeeded'`) == 1000
	}, patienceOfTests, 20*time.Millisecond)
	t.Logf("1,000 deliveries in %s", time.Since(began))
	require.Equal(t, len(sub.requests()), b.count(t, `select count(*) from webhook_attempts`))
	bodies := map[string]string{}
	for _, r := range sub.requests() {
		id := r.header.Get("Webhook-Id")
		if seen, ok := bodies[id]; ok {
			require.Equal(t, seen, string(r.body))
		}
		bodies[id] = string(r.body)
	}
	require.Len(t, bodies, 500)
}

func TestExhaustedDeliveryIsAFailedJob(t *testing.T) {
	t.Parallel()
	cfg := local()
	cfg.MaxAttempts, cfg.MaxWorkers = 3, 4
	cfg.RetryBase, cfg.RetryCap = time.Millisecond, time.Millisecond
	b := setup(t, cfg)
	sub := subscribe(t, always(500))
	b.endpoint(t, sub.URL)
	args := b.send(t)
	b.startRiver(t)
	require.Eventually(t, func() bool {
		return b.count(t, `select count(*) from failed_jobs where kind = 'deliver_webhook' and status = 'open' and state = 'discarded'`) == 1
	}, patienceOfTests, 10*time.Millisecond)
	d, attempts := b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliveryExhausted, d.Status)
	require.Len(t, attempts, 3)
	require.Len(t, sub.requests(), 3)
}

// One endpoint hangs with a queue of its own; the other one's deliveries do not wait for it.
func TestHangingEndpointDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	cfg := local()
	cfg.MaxWorkers = 16
	b := setup(t, cfg)
	var hanging, most atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		now := hanging.Add(1)
		for seen := most.Load(); now > seen; seen = most.Load() {
			if most.CompareAndSwap(seen, now) {
				break
			}
		}
		hang(r)
		hanging.Add(-1)
	}))
	t.Cleanup(slow.Close)
	b.endpoint(t, slow.URL, "order.paid")
	quick := subscribe(t, always(200))
	fast, _ := b.endpoint(t, quick.URL, "order.created")

	var events []outbox.Event
	for range 400 {
		events = append(events, paid())
	}
	for range 100 {
		events = append(events, event("order.created", `{}`))
	}
	b.relay(t, b.append(t, events...))
	b.startRiver(t)
	require.Eventually(t, func() bool {
		return b.count(t, `select count(*) from webhook_deliveries where endpoint_id = $1 and status = 'succeeded'`, fast.ID) == 100
	}, 8*time.Second, 20*time.Millisecond, "before the first of the others times out")
	require.LessOrEqual(t, most.Load(), int32(4))
	require.Equal(t, 0, b.count(t, `select count(*) from webhook_attempts a
		join webhook_deliveries d on d.id = a.delivery_id where d.endpoint_id <> $1`, fast.ID))
	require.Equal(t, 0, b.count(t, `select count(*) from river_job where attempt > 1`), "staying away costs no attempt")
}
