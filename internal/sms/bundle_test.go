package sms

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
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
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/telemetry"
)

const (
	patience    = 30 * time.Second
	number      = "+8613800138000"
	masked      = "+86*******8000"
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// testBundle is the room on a database of its own.
type testBundle struct {
	*Service

	pool     *pgxpool.Pool
	vault    *cardvault.Vault
	provider *fakeProvider
	log      *syncBuffer

	mu       sync.Mutex
	appended []outbox.Event
	box      *outbox.Box
}

func setup(t *testing.T, options ...func(*Config, *Deps)) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.New(t), provider: &fakeProvider{}, log: &syncBuffer{}}
	vault, err := cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b.vault = vault
	b.box = outbox.NewBox(b.pool, time.Now, func(batch outbox.Batch) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.appended = append(b.appended, batch.Events...)
	})
	b.Service = b.process(t, options...)
	return b
}

// process is the room as another process has it.
func (b *testBundle) process(t *testing.T, options ...func(*Config, *Deps)) *Service {
	t.Helper()
	inserts, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	cfg := Config{PublicURL: "https://shop.example/"}
	log := telemetry.NewLogger(b.log, slog.LevelInfo, telemetry.JSON)
	deps := Deps{Pool: b.pool, Vault: b.vault, Provider: b.provider, Jobs: inserts, Log: log}
	for _, option := range options {
		option(&cfg, &deps)
	}
	s, err := NewService(cfg, deps)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// order stores an order of one line and gives its id. phone "" is none.
func (b *testBundle) order(t *testing.T, phone, locale string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	c, err := contact.Parse(phone, "anna@example.com", "")
	require.NoError(t, err)
	plain, err := json.Marshal(c)
	require.NoError(t, err)
	sealed, err := b.vault.Seal(cardvault.KindContact, id, plain)
	require.NoError(t, err)
	shown, err := json.Marshal(c.Masked())
	require.NoError(t, err)
	var fingerprint []byte
	if phone != "" {
		fingerprint = b.vault.Fingerprint(cardvault.KindContact, []byte(c.Phone.E164()))
	}
	_, err = b.pool.Exec(t.Context(), `insert into orders (id, number, currency, total_amount, contact_sealed, contact_masked,
		phone_fingerprint, locale, api_key_id, placed_at, expires_at)
		values ($1, $2, 'CNY', 1999, $3, $4, $5, $6, $1, now(), now() + interval '30 minutes')`,
		id, "N-"+id.String()[24:], sealed, shown, fingerprint, locale)
	require.NoError(t, err)
	return id
}

func (b *testBundle) template(t *testing.T, eventType, locale, body string) Template {
	t.Helper()
	tpl, err := b.CreateTemplate(t.Context(), NewTemplate{EventType: eventType, Locale: locale, Body: body, Enabled: true})
	require.NoError(t, err)
	return tpl
}

// events appends one event of a type for each order and gives them as the relay gets them.
func (b *testBundle) events(t *testing.T, eventType, locale, payload string, orders ...uuid.UUID) []outbox.Event {
	t.Helper()
	b.mu.Lock()
	b.appended = nil
	b.mu.Unlock()
	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		for _, id := range orders {
			tx.Append(outbox.Event{
				AggregateType: "order", AggregateID: id.String(), Type: eventType, Payload: json.RawMessage(payload),
				Headers: outbox.Headers{Traceparent: traceparent, Locale: locale},
			})
		}
		return nil
	}))
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.appended
}

// relay enlists events and inserts their jobs, in one transaction.
func (b *testBundle) relay(t *testing.T, events []outbox.Event) []river.InsertManyParams {
	t.Helper()
	var jobs []river.InsertManyParams
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) (err error) {
		if jobs, err = b.Enlist(t.Context(), tx, events); err != nil || len(jobs) == 0 {
			return err
		}
		_, err = b.deps.Jobs.InsertManyFastTx(t.Context(), tx, jobs)
		return err
	}))
	return jobs
}

// message enlists a message about an order and gives its arguments.
func (b *testBundle) message(t *testing.T) Args {
	t.Helper()
	jobs := b.relay(t, b.events(t, "order.completed", "en", `{}`, b.order(t, number, "en")))
	require.Len(t, jobs, 1)
	return jobs[0].Args.(Args)
}

// work runs one attempt of a job as River would.
func work(t *testing.T, s *Service, args Args, riverAttempt int) error {
	t.Helper()
	return (&worker{s: s}).Work(t.Context(), &river.Job[Args]{Args: args, JobRow: &rivertype.JobRow{
		ID: 1, Attempt: riverAttempt, MaxAttempts: 12, Metadata: fmt.Appendf(nil, `{"traceparent":%q}`, traceparent),
	}})
}

// run starts a River client that sends.
func (b *testBundle) run(t *testing.T) {
	t.Helper()
	workers := river.NewWorkers()
	b.AddWorkers(workers)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{
		Schema: pgdb.DefaultSchema, Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues:        map[string]river.QueueConfig{Queue: {MaxWorkers: 100}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		require.NoError(t, client.Stop(ctx))
	})
}

func (b *testBundle) count(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func (b *testBundle) eventually(t *testing.T, want int, query string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return b.count(t, query, args...) == want }, patience, 20*time.Millisecond, query)
}

// fakeProvider answers what it is told to, and counts.
type fakeProvider struct {
	mu     sync.Mutex
	answer func(Outgoing) Result
	sent   []Outgoing
}

func (*fakeProvider) Name() string           { return "fake" }
func (*fakeProvider) Timeout() time.Duration { return time.Minute }

func (p *fakeProvider) Send(_ context.Context, m Outgoing) Result {
	p.mu.Lock()
	p.sent = append(p.sent, m)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return Result{Outcome: Sent, ProviderMessageID: "fake-" + m.Ref.String()}
	}
	return answer(m)
}

func (p *fakeProvider) will(answer func(Outgoing) Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *fakeProvider) calls() []Outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sent
}

// syncBuffer is a log that goroutines share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
