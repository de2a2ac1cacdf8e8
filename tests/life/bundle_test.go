package life

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
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

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/relay"
)

const (
	secret = "sandbox-secret"
	price  = 700 // of a unit of anything
)

// testing's and rapid's T.
type tester interface {
	require.TestingT
	Helper()
}

// clock is the services': it stands unless it is moved.
type clock struct{ micros atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMicro(c.micros.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.micros.Add(d.Microseconds()) }

// bundle is a database, a clock and a gateway, which outlive a crash, and the rooms of one process, which do not.
type bundle struct {
	*process

	pool    *pgxpool.Pool
	clock   *clock
	gateway *gateway
	vault   *cardvault.Vault
	atOnce  bool // cards that are there come with their payment
}

// process is what dies in a crash.
type process struct {
	box      *outbox.Box
	orders   *ordering.Service
	payments *payments.Service
	stock    *inventory.Service
	relay    *relay.Relay
	delivery *fulfillment.Worker
	healer   *fulfillment.Healer
	jobs     *river.Client[pgx.Tx] // inserts only
}

func setup(tb testing.TB) *bundle {
	tb.Helper()
	b := &bundle{pool: pgtest.New(tb), clock: &clock{}}
	// Behind the database's clock, so that the audit takes what is left undone for overdue.
	b.clock.micros.Store(time.Now().Add(-10 * time.Minute).UnixMicro())
	b.gateway = newGateway(b.clock.now)
	var err error
	b.vault, err = cardvault.Open(tb.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(tb, err)
	b.process = b.start(tb)
	tb.Cleanup(func() { b.close() })
	return b
}

// start opens the rooms, as another process would.
func (b *bundle) start(t tester) *process {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	client, err := river.NewClient(riverpgxv5.New(b.pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: log})
	require.NoError(t, err)
	p := &process{box: outbox.NewBox(b.pool, b.clock.now, nil), jobs: client}
	p.orders = ordering.NewService(ordering.Config{}, b.pool, p.box, b.vault)
	p.payments = payments.NewService(b.pool, p.box, b.clock.now, b.gateway)
	p.stock = inventory.NewService(b.pool, b.vault, p.box, b.clock.now)
	p.relay = relay.New(b.pool, client, log, fulfillment.Enlist, p.payments.Enlist)
	p.delivery = fulfillment.NewWorker(p.box, log, nil)
	if b.atOnce {
		p.deliverAtOnce(nil)
	}
	p.healer = fulfillment.NewHealer(fulfillment.Route{}, b.pool, client, b.clock.now)
	return p
}

// deliverAtOnce has cards come with their payment; failed, unless nil, collects why some did not.
func (p *process) deliverAtOnce(failed *[]error) {
	p.payments.DeliverAtOnce(payments.AtOnce{
		Deliver: fulfillment.AtOnce, Delivered: p.delivery.Trace, Failed: func(_ context.Context, err error) {
			if failed == nil {
				panic(err)
			}
			*failed = append(*failed, err)
		},
	})
}

func (p *process) close() {
	p.orders.Close()
	p.payments.Close()
	p.relay.Close(context.Background())
	p.delivery.Close()
}

// crash forgets everything that is not in the database.
func (b *bundle) crash(t tester) {
	t.Helper()
	b.close()
	b.process = b.start(t)
}

func (b *bundle) product(t tester, sku string, kind inventory.Kind, units int) {
	t.Helper()
	_, err := b.stock.Create(context.Background(), inventory.CreateParams{
		SKU: sku, Name: sku, Kind: kind, Price: inventory.Money{Amount: price, Currency: "CNY"},
	})
	require.NoError(t, err)
	if kind == inventory.KindCard {
		b.importCards(t, sku, units)
	} else if units > 0 {
		_, err := b.stock.AdjustStock(context.Background(), sku, int64(units), "opening", "test")
		require.NoError(t, err)
	}
}

func (b *bundle) importCards(t tester, sku string, n int) {
	t.Helper()
	if n == 0 {
		return
	}
	var lines strings.Builder
	for range n {
		fmt.Fprintf(&lines, "%s-%s\n", sku, uuid.NewString())
	}
	report, err := b.stock.Import(context.Background(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatText, Actor: "test", Reader: strings.NewReader(lines.String()),
	})
	require.NoError(t, err)
	require.EqualValues(t, n, report.Imported)
}

// loseCards lets the cards on the shelf expire: units that were reserved have no card behind them any more.
func (b *bundle) loseCards(t tester, sku string, n int) int {
	t.Helper()
	tag, err := b.pool.Exec(context.Background(), `update cards set expires_at = '2020-01-01' where id in (
		select c.id from cards c join products p on p.id = c.product_id
		where p.sku = $1 and c.state = 'available' and c.expires_at is null order by c.id limit $2)`, sku, n)
	require.NoError(t, err)
	return int(tag.RowsAffected())
}

func (b *bundle) place(t tester, lines ...ordering.Line) uuid.UUID {
	t.Helper()
	placed, err := b.orders.Place(context.Background(), ordering.Request{Lines: lines}, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(t, err)
	return placed.Order.ID
}

func (b *bundle) begin(t tester, order uuid.UUID) payments.Payment {
	t.Helper()
	p, err := b.payments.Begin(context.Background(), order, "sandbox")
	require.NoError(t, err)
	return p
}

type notice struct {
	EventID    string    `json:"event_id"`
	Type       string    `json:"type"`
	PaymentID  uuid.UUID `json:"payment_id"`
	Amount     int64     `json:"amount"`
	Currency   string    `json:"currency"`
	OccurredAt time.Time `json:"occurred_at"`
}

// callback is a gateway's signed notice over amount.
func (b *bundle) callback(t tester, payment uuid.UUID, amount int64, eventID string) payments.Callback {
	t.Helper()
	body, err := json.Marshal(notice{eventID, payments.TypeSucceeded, payment, amount, "CNY", b.clock.now()})
	require.NoError(t, err)
	return payments.Callback{Body: body, Header: http.Header{
		payments.SignatureHeader: {payments.SignSandbox(secret, b.clock.now(), body)},
	}}
}

// receive is a notice that came in; its event id is the payment's and the amount's.
func (b *bundle) receive(t tester, payment uuid.UUID, amount int64) payments.Outcome {
	t.Helper()
	callback := b.callback(t, payment, amount, fmt.Sprintf("evt_%s_%d", payment, amount))
	_, applied, err := b.payments.Receive(context.Background(), "sandbox", callback)
	require.NoError(t, err)
	return applied.Outcome
}

func (b *bundle) order(t tester, id uuid.UUID) *ordering.Order {
	t.Helper()
	o, err := b.orders.Get(context.Background(), id)
	require.NoError(t, err)
	return o
}

func (b *bundle) int(t tester, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(context.Background(), query, args...).Scan(&n))
	return n
}

func (b *bundle) exec(t tester, query string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(context.Background(), query, args...)
	require.NoError(t, err)
}

// work runs every job that is there, and those that come of it, until none is left. One that fails or snoozes is left
// for the next time.
func (b *bundle) work(t tester) {
	t.Helper()
	b.workKinds(t, relay.Args{}.Kind(), fulfillment.Args{}.Kind(), payments.Args{}.Kind())
}

func (b *bundle) workKinds(t tester, kinds ...string) {
	t.Helper()
	ctx := context.Background()
	left := map[int64]bool{}
	for {
		rows, err := b.pool.Query(ctx, `select id, kind, args, metadata, attempt from river_job
			where state in ('available', 'scheduled', 'retryable') and kind = any($1) order by id`, kinds)
		require.NoError(t, err)
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*rivertype.JobRow, error) {
			job := &rivertype.JobRow{}
			return job, row.Scan(&job.ID, &job.Kind, &job.EncodedArgs, &job.Metadata, &job.Attempt)
		})
		require.NoError(t, err)
		worked := false
		for _, job := range jobs {
			if left[job.ID] {
				continue
			}
			worked = true
			if err := b.workOne(ctx, t, job); err != nil {
				left[job.ID] = true
				continue
			}
			b.exec(t, `delete from river_job where id = $1`, job.ID)
		}
		if !worked {
			return
		}
	}
}

func (b *bundle) workOne(ctx context.Context, t tester, row *rivertype.JobRow) error {
	t.Helper()
	switch row.Kind {
	case relay.Args{}.Kind():
		return b.relay.Worker().Work(ctx, jobOf[relay.Args](t, row))
	case fulfillment.Args{}.Kind():
		return b.delivery.Work(ctx, jobOf[fulfillment.Args](t, row))
	default:
		return b.payments.Worker().Work(ctx, jobOf[payments.Args](t, row))
	}
}

func jobOf[A river.JobArgs](t tester, row *rivertype.JobRow) *river.Job[A] {
	t.Helper()
	job := &river.Job[A]{JobRow: row}
	require.NoError(t, json.Unmarshal(row.EncodedArgs, &job.Args))
	return job
}

// requireAudit demands that every promise is kept.
func (b *bundle) requireAudit(t tester) {
	t.Helper()
	report, err := audit.Run(context.Background(), b.pool)
	require.NoError(t, err)
	var broken strings.Builder
	for _, check := range report.Checks {
		for _, o := range check.Offenders {
			fmt.Fprintf(&broken, "%s %s: %s: want %s, got %s\n", check.ID, o.ID, o.What, o.Expected, o.Actual)
		}
	}
	require.Empty(t, broken.String())
}

// relayAll runs the relay's jobs and no others.
func (b *bundle) relayAll(t tester) {
	t.Helper()
	b.workKinds(t, relay.Args{}.Kind())
}
