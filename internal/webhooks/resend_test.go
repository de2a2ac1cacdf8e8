package webhooks

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// jobOf gives the newest job of a delivery.
func (b *testBundle) jobOf(t *testing.T, id uuid.UUID) Args {
	t.Helper()
	var raw []byte
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`select args from river_job where args ->> 'delivery_id' = $1::text order by id desc limit 1`, id.String()).Scan(&raw))
	var args Args
	require.NoError(t, json.Unmarshal(raw, &args))
	return args
}

func TestResend(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	ctx := t.Context()
	sub := subscribe(t, func(n int) int { return []int{200, 500, 200}[min(n, 2)] })
	e, _ := b.endpoint(t, sub.URL)
	args := b.send(t)

	_, err := b.Resend(ctx, args.DeliveryID, "test")
	require.True(t, fault.HasCode(err, "webhook_delivery_in_flight"), "its job is about to run")
	require.NoError(t, b.work(t, args, 1))

	for _, id := range []uuid.UUID{args.DeliveryID, uuid.New()} {
		_, err = b.pool.Exec(ctx, `insert into failed_jobs (job_id, kind, queue, args, metadata, state, attempt, max_attempts, failed_at)
			values ((random() * 1e9)::bigint, 'deliver_webhook', 'webhooks', jsonb_build_object('delivery_id', $1::text), '{}',
				'discarded', 8, 8, now())`, id)
		require.NoError(t, err)
	}
	d, err := b.Resend(ctx, args.DeliveryID, "test") // also what has succeeded
	require.NoError(t, err)
	var open, closed int
	require.NoError(t, b.pool.QueryRow(ctx, `select count(*) filter (where status = 'open'), count(*) filter (where status = 'resolved')
		from failed_jobs`).Scan(&open, &closed))
	require.Equal(t, [2]int{1, 1}, [2]int{open, closed}, "the failed job of what is sent again is nobody's work any more")
	require.Equal(t, DeliveryPending, d.Status)
	_, err = b.Resend(ctx, args.DeliveryID, "test")
	require.True(t, fault.HasCode(err, "webhook_delivery_in_flight"))
	again := b.jobOf(t, args.DeliveryID)
	require.Equal(t, int32(2), again.Round)
	require.NoError(t, b.work(t, args, 2), "the old job is nothing any more")
	require.Len(t, sub.requests(), 1)
	require.Error(t, b.work(t, again, 1))

	_, err = b.Resend(ctx, args.DeliveryID, "test") // waits for its next attempt: do it now
	require.NoError(t, err)
	require.NoError(t, b.work(t, again, 2))
	require.Len(t, sub.requests(), 2)
	require.NoError(t, b.work(t, b.jobOf(t, args.DeliveryID), 1))
	requests := sub.requests()
	require.Len(t, requests, 3)
	for _, r := range requests {
		require.Equal(t, requests[0].body, r.body)
		require.Equal(t, requests[0].header.Get("Webhook-Id"), r.header.Get("Webhook-Id"))
	}
	d, attempts := b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliverySucceeded, d.Status)
	require.Len(t, attempts, 3)

	_, err = b.Resend(ctx, uuid.New(), "test")
	require.True(t, fault.HasCode(err, "webhook_delivery_not_found"))
	_, err = b.UpdateEndpoint(ctx, e.ID, EndpointPatch{Enabled: new(false)})
	require.NoError(t, err)
	_, err = b.Resend(ctx, args.DeliveryID, "test")
	require.True(t, fault.HasCode(err, "webhook_endpoint_disabled"))
	_, err = b.EnableEndpoint(ctx, e.ID)
	require.NoError(t, err)
	_, err = b.pool.Exec(ctx, `delete from outbox`)
	require.NoError(t, err)
	_, err = b.Resend(ctx, args.DeliveryID, "test")
	require.True(t, fault.HasCode(err, "webhook_event_expired"))
	d, _ = b.delivery(t, args.DeliveryID)
	require.Equal(t, DeliverySucceeded, d.Status)
}

func TestRecover(t *testing.T) {
	t.Parallel()
	var clock shifted
	b := setup(t, local(), func(d *Deps) { d.Now = clock.now })
	ctx := t.Context()
	sub := subscribe(t, always(200))
	e, _ := b.endpoint(t, sub.URL)
	other, _ := b.endpoint(t, sub.URL, "nothing.else")

	clock.set(-48 * time.Hour)
	old := b.send(t)
	clock.set(0)
	statuses := map[string]int{"exhausted": 700, "endpoint_disabled": 300, "succeeded": 50, "waiting": 20, "in flight": 10}
	var events []outbox.Event
	var names []string
	for name, n := range statuses {
		for range n {
			events, names = append(events, paid()), append(names, name)
		}
	}
	jobs := b.relay(t, b.append(t, events...))
	at := map[uuid.UUID]string{}
	for i, e := range events {
		at[e.ID] = names[i]
	}
	set := func(query string, ids []uuid.UUID) {
		_, err := b.pool.Exec(ctx, query, ids)
		require.NoError(t, err)
	}
	by := map[string][]uuid.UUID{"exhausted": {old.DeliveryID}}
	for _, job := range jobs {
		d, _ := b.delivery(t, job.Args.(Args).DeliveryID)
		by[at[d.EventID]] = append(by[at[d.EventID]], d.ID)
	}
	for _, status := range []string{"exhausted", "endpoint_disabled", "succeeded"} {
		set(`update webhook_deliveries set status = '`+status+`', finished_at = now(), next_attempt_at = null where id = any($1)`, by[status])
	}
	set(`update webhook_deliveries set next_attempt_at = now() + interval '1 hour' where id = any($1)`, by["waiting"])

	got, err := b.Recover(ctx, e.ID, time.Now().Add(-24*time.Hour), "test")
	require.NoError(t, err)
	require.Equal(t, Recovered{Resent: 1020}, got)
	require.Equal(t, 1020, b.count(t, `select count(*) from webhook_deliveries where round = 2 and status = 'pending'`))
	require.Equal(t, 1020, b.count(t, `select count(*) from river_job where args ->> 'round' = '2'`))
	d, _ := b.delivery(t, old.DeliveryID)
	require.Equal(t, DeliveryExhausted, d.Status, "before the time")

	got, err = b.Recover(ctx, e.ID, time.Now().Add(-72*time.Hour), "test")
	require.NoError(t, err)
	require.Equal(t, Recovered{Resent: 1}, got, "what is at work already is left alone")
	got, err = b.Recover(ctx, other.ID, time.Time{}, "test")
	require.NoError(t, err)
	require.Zero(t, got)
	_, err = b.Recover(ctx, uuid.New(), time.Time{}, "test")
	require.True(t, fault.HasCode(err, "webhook_endpoint_not_found"))
}

func TestBeforeRetry(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, func(n int) int { return []int{500, 200}[min(n, 1)] })
	e, _ := b.endpoint(t, sub.URL)
	args := b.send(t)
	require.Error(t, b.work(t, args, b.cfg.MaxAttempts))
	retry := func(set ...any) (codes []string) {
		raw := make([][]byte, len(set))
		for i, args := range set {
			var err error
			raw[i], err = json.Marshal(args)
			require.NoError(t, err)
		}
		require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
			refused, err := b.BeforeRetry(t.Context(), tx, raw)
			for _, why := range refused {
				codes = append(codes, "")
				if why != nil {
					codes[len(codes)-1] = why.Code
				}
			}
			return err
		}))
		return codes
	}
	stale := args
	stale.Round = 9
	unknown := Args{DeliveryID: uuid.New(), EndpointID: e.ID}
	elsewhere := args
	elsewhere.EndpointID = uuid.New()
	require.Equal(t, []string{
		"webhook_delivery_superseded", "webhook_delivery_not_found", "", "webhook_delivery_not_found", "webhook_endpoint_not_found",
	}, retry(stale, unknown, args, []int{1}, elsewhere), "what is refused holds back no other")
	require.NoError(t, b.work(t, args, 1))
	require.Len(t, sub.requests(), 2)
	require.Equal(t, []string{"webhook_delivery_superseded"}, retry(args), "it has succeeded")
	_, err := b.UpdateEndpoint(t.Context(), e.ID, EndpointPatch{Enabled: new(false)})
	require.NoError(t, err)
	require.Equal(t, []string{"webhook_endpoint_disabled"}, retry(args))
}

// Promise I8: what has lost its job is found.
func TestSweep(t *testing.T) {
	t.Parallel()
	var clock shifted
	b := setup(t, local(), func(d *Deps) { d.Now = clock.now })
	ctx := t.Context()
	b.endpoint(t, "http://127.0.0.1:1", "order.*")
	off, _ := b.endpoint(t, "http://127.0.0.1:1", "invoice.*")
	queued, lost, discarded := b.send(t), b.send(t), b.send(t)
	open := b.send(t, event("invoice.sent", `{}`))
	for _, statement := range []string{
		`delete from river_job where args ->> 'delivery_id' = '` + lost.DeliveryID.String() + `'`,
		`update river_job set state = 'discarded', finalized_at = now() where args ->> 'delivery_id' = '` + discarded.DeliveryID.String() + `'`,
		`update webhook_endpoints set status = 'disabled', disabled_reason = 'operator' where id = '` + off.ID.String() + `'`,
	} {
		_, err := b.pool.Exec(ctx, statement)
		require.NoError(t, err)
	}

	swept, err := b.Sweep(ctx)
	require.NoError(t, err)
	require.Zero(t, swept.Requeued, "nothing is overdue yet")
	d, _ := b.delivery(t, open.DeliveryID)
	require.Equal(t, DeliveryEndpointDisabled, d.Status)

	clock.set(forgottenAfter + time.Minute)
	swept, err = b.Sweep(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, swept.Requeued)
	require.Equal(t, int32(1), b.jobOf(t, queued.DeliveryID).Round)
	require.Equal(t, int32(2), b.jobOf(t, lost.DeliveryID).Round)
	require.Equal(t, int32(2), b.jobOf(t, discarded.DeliveryID).Round)

	_, err = b.pool.Exec(ctx, `delete from river_job`)
	require.NoError(t, err)
	_, err = b.pool.Exec(ctx, `delete from outbox`)
	require.NoError(t, err)
	clock.set(2 * (forgottenAfter + time.Minute))
	swept, err = b.Sweep(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, swept.Requeued)
	require.Equal(t, 3, b.count(t, `select count(*) from webhook_deliveries where status = 'exhausted' and last_error = $1`, eventExpired))
}

func TestPrune(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, always(http.StatusOK))
	b.endpoint(t, sub.URL)
	done, open := b.send(t), b.send(t)
	require.NoError(t, b.work(t, done, 1))

	n, err := b.Prune(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = b.Prune(t.Context(), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	require.Zero(t, b.count(t, `select count(*) from webhook_attempts`))
	_, _, err = b.Delivery(t.Context(), done.DeliveryID)
	require.True(t, fault.HasCode(err, "webhook_delivery_not_found"))
	b.delivery(t, open.DeliveryID)
}

func TestDeliveriesAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, always(http.StatusOK))
	a, _ := b.endpoint(t, sub.URL, "order.*")
	c, _ := b.endpoint(t, sub.URL, "invoice.*")
	for range 3 {
		require.NoError(t, b.work(t, b.send(t), 1))
		b.send(t)
		b.send(t, event("invoice.sent", `{}`))
	}
	list := func(f DeliveryFilter) int {
		var last uuid.UUID
		n, cursor := 0, ""
		for {
			page, next, err := b.Deliveries(t.Context(), f, cursor, 2)
			require.NoError(t, err)
			for _, d := range page {
				require.NotEqual(t, last, d.ID)
				last = d.ID
				n++
				require.True(t, (f.Status == "" || d.Status == f.Status) && (f.EventType == "" || d.EventType == f.EventType) &&
					(f.EndpointID == uuid.Nil || d.EndpointID == f.EndpointID), "%+v", d)
			}
			if cursor = next; cursor == "" {
				return n
			}
		}
	}
	require.Equal(t, 9, list(DeliveryFilter{}))
	require.Equal(t, 6, list(DeliveryFilter{EndpointID: a.ID}))
	require.Equal(t, 3, list(DeliveryFilter{EndpointID: a.ID, Status: DeliverySucceeded}))
	require.Equal(t, 0, list(DeliveryFilter{EndpointID: c.ID, Status: DeliverySucceeded}))
	require.Equal(t, 6, list(DeliveryFilter{Status: DeliveryPending}))
	require.Equal(t, 3, list(DeliveryFilter{Status: DeliveryPending, EventType: "invoice.sent"}))
	require.Equal(t, 3, list(DeliveryFilter{Status: DeliverySucceeded}))
	require.Equal(t, 6, list(DeliveryFilter{EventType: "order.paid"}))
	require.Equal(t, 3, list(DeliveryFilter{EventType: "order.paid", Status: DeliverySucceeded}))
	_, _, err := b.Deliveries(t.Context(), DeliveryFilter{}, "?", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"))
}
