package webhooks

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const patienceOfTests = 20 * time.Second

// testBundle is the room on a database of its own.
type testBundle struct {
	*Service

	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]

	mu       sync.Mutex
	appended []outbox.Event
}

// local is a configuration whose endpoints are servers on this machine.
func local() Config { return Config{AllowHTTP: true, AllowPrivate: true} }

func setup(t *testing.T, cfg Config, options ...func(*Deps)) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.New(t)}
	vault, err := cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b.client, err = river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	deps := Deps{Pool: b.pool, Vault: vault, Jobs: b.client}
	for _, option := range options {
		option(&deps)
	}
	clock := deps.Now
	if clock == nil {
		clock = time.Now
	}
	deps.Box = outbox.NewBox(b.pool, clock, func(batch outbox.Batch) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.appended = append(b.appended, batch.Events...)
	})
	b.Service, err = NewService(cfg, deps)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// endpoint makes one for some filters.
func (b *testBundle) endpoint(t *testing.T, url string, filters ...string) (Endpoint, string) {
	t.Helper()
	if len(filters) == 0 {
		filters = []string{"*"}
	}
	e, secret, err := b.CreateEndpoint(t.Context(), NewEndpoint{URL: url, EventTypes: filters})
	require.NoError(t, err)
	return e, secret.Secret
}

// append commits events and gives them back as the relay gets them.
func (b *testBundle) append(t *testing.T, events ...outbox.Event) []outbox.Event {
	t.Helper()
	require.NoError(t, b.deps.Box.InTx(t.Context(), func(tx *outbox.Tx) error {
		tx.Append(events...)
		return nil
	}))
	return b.take()
}

// take gives everything that was appended since the last time.
func (b *testBundle) take() []outbox.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.appended
	b.appended = nil
	return taken
}

// relay does what the relay does for this room, and gives the jobs back.
func (b *testBundle) relay(t *testing.T, events []outbox.Event) []river.InsertManyParams {
	t.Helper()
	var jobs []river.InsertManyParams
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		var err error
		if jobs, err = b.Enlist(t.Context(), tx, events); err != nil || len(jobs) == 0 {
			return err
		}
		_, err = b.client.InsertManyFastTx(t.Context(), tx, jobs)
		return err
	}))
	return jobs
}

// send appends one event, relays it, and gives the arguments of the only job.
func (b *testBundle) send(t *testing.T, events ...outbox.Event) Args {
	t.Helper()
	if len(events) == 0 {
		events = []outbox.Event{paid()}
	}
	jobs := b.relay(t, b.append(t, events...))
	require.Len(t, jobs, 1)
	return jobs[0].Args.(Args)
}

// work runs a job's attempt without River.
func (b *testBundle) work(t *testing.T, args Args, attempt int) error {
	t.Helper()
	return b.Worker().Work(t.Context(), &river.Job[Args]{
		JobRow: &rivertype.JobRow{ID: 1, Attempt: attempt, MaxAttempts: b.cfg.MaxAttempts}, Args: args,
	})
}

func (b *testBundle) delivery(t *testing.T, id uuid.UUID) (Delivery, []Attempt) {
	t.Helper()
	d, attempts, err := b.Delivery(t.Context(), id)
	require.NoError(t, err)
	return d, attempts
}

// startRiver works the queue until the test ends.
func (b *testBundle) startRiver(t *testing.T) {
	t.Helper()
	workers := river.NewWorkers()
	river.AddWorker(workers, b.Worker())
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: pgdb.DefaultSchema, Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues:        map[string]river.QueueConfig{Queue: {MaxWorkers: b.cfg.MaxWorkers}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patienceOfTests)
		defer cancel()
		require.NoError(t, client.StopAndCancel(ctx))
	})
}

func (b *testBundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func paid() outbox.Event {
	return event("order.paid", `{"id":"o1","total":{"currency":"CNY","amount":5000},"a":"<&>é"}`)
}

func event(eventType, payload string) outbox.Event {
	return outbox.Event{
		ID: uuid.Must(uuid.NewV7()), AggregateType: "order", AggregateID: "o1", Type: eventType, Payload: []byte(payload), Sequence: 1,
	}
}

// seen is a request as a subscriber saw it.
type seen struct {
	method string
	path   string
	header http.Header
	body   []byte
}

// subscriber records what it gets and answers with what status says of the n-th request (from 0).
type subscriber struct {
	*httptest.Server

	mu   sync.Mutex
	seen []seen
}

func subscribe(t *testing.T, status func(n int) int) *subscriber {
	t.Helper()
	s := &subscriber{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		n := len(s.seen)
		s.seen = append(s.seen, seen{r.Method, r.URL.Path, r.Header.Clone(), body})
		s.mu.Unlock()
		w.WriteHeader(status(n))
	}))
	t.Cleanup(s.Close)
	return s
}

func always(status int) func(int) int { return func(int) int { return status } }

func (s *subscriber) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen...)
}

// shifted is a clock that a test can put forward and back.
type shifted struct{ by atomic.Int64 }

func (s *shifted) now() time.Time      { return time.Now().Add(time.Duration(s.by.Load())) }
func (s *shifted) set(d time.Duration) { s.by.Store(int64(d)) }
