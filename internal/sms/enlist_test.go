package sms

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

func TestEnlist(t *testing.T) {
	t.Parallel()
	b := setup(t)
	order := b.order(t, number, "zh")
	require.Empty(t, b.relay(t, b.events(t, "order.completed", "zh", `{}`, order)), "no template")

	en := b.template(t, "order.completed", "en", "done {{order_number}}")
	events := b.events(t, "order.completed", "zh", `{}`, order, b.order(t, "", "en"), uuid.New())
	jobs := b.relay(t, events)
	require.Len(t, jobs, 1, "not for an order without a number, nor for one that is not there")
	require.Equal(t, "send_sms", jobs[0].Args.Kind())
	require.Equal(t, Queue, jobs[0].InsertOpts.Queue)
	require.JSONEq(t, `{"traceparent":"`+traceparent+`"}`, string(jobs[0].InsertOpts.Metadata))
	m, err := b.Message(t.Context(), jobs[0].Args.(Args).MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{events[0].ID, "order.completed", en.ID, order, masked, "en", "pending"},
		[]any{m.EventID, m.EventType, m.TemplateID, m.OrderID, m.RecipientMasked, m.Locale, m.Status}, "English stands in")

	require.Empty(t, b.relay(t, events), "the same events again")
	b.template(t, "order.completed", "zh", "完成 {{order_number}}")
	require.Empty(t, b.relay(t, events), "a template that came in between makes no second message")
	_, err = b.pool.Exec(t.Context(), `delete from river_job`)
	require.NoError(t, err)
	require.Empty(t, b.relay(t, events), "the ledger outlives River's rows")
}

func TestEnlistChoosesTheLanguage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.paid", "en", "paid")
	zh := b.template(t, "order.paid", "zh", "已付款")
	order := b.order(t, number, "zh")
	for _, c := range []struct{ header, want string }{{"en", "en"}, {"zh", "zh"}, {"", "zh"}, {"fr", "zh"}} {
		jobs := b.relay(t, b.events(t, "order.paid", c.header, `{}`, order))
		require.Len(t, jobs, 1)
		m, err := b.Message(t.Context(), jobs[0].Args.(Args).MessageID)
		require.NoError(t, err)
		require.Equal(t, c.want, m.Locale, "header %q", c.header)
	}
	off := false
	_, err := b.PatchTemplate(t.Context(), zh.ID, TemplatePatch{Enabled: &off})
	require.NoError(t, err)
	jobs := b.relay(t, b.events(t, "order.paid", "zh", `{}`, order))
	m, err := b.Message(t.Context(), jobs[0].Args.(Args).MessageID)
	require.NoError(t, err)
	require.Equal(t, "en", m.Locale, "a disabled template is none")

	b.template(t, "order.on_hold", "zh", "等待")
	require.Empty(t, b.relay(t, b.events(t, "order.on_hold", "en", `{}`, order)), "Chinese does not stand in for English")
}

func TestEnlistOfOthersEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "shop.reminded", "en", "{{data.code}} for {{order_number}}")
	order := b.order(t, number, "en")
	events := b.events(t, "shop.reminded", "", `{"code":"X7"}`, order)
	events = append(events,
		outbox.Event{ID: uuid.New(), AggregateType: "order", AggregateID: "A-17", Type: "shop.reminded"},
		outbox.Event{ID: uuid.New(), AggregateType: "basket", AggregateID: order.String(), Type: "shop.reminded"})
	require.Len(t, b.relay(t, events), 1)

	jobs, err := b.Enlist(t.Context(), nil, events[1:])
	require.NoError(t, err, "where nothing can match there is no statement, so no transaction is needed")
	require.Empty(t, jobs)
}

// Two processes relay the same events at the same time, in different orders.
func TestEnlistRaces(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "done")
	orders := make([]uuid.UUID, 50)
	for i := range orders {
		orders[i] = b.order(t, number, "en")
	}
	events := b.events(t, "order.completed", "en", `{}`, orders...)
	backwards := make([]outbox.Event, len(events))
	for i, e := range events {
		backwards[len(events)-1-i] = e
	}
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		set := events
		if i%2 == 1 {
			set = backwards
		}
		wg.Go(func() { made.Add(int64(len(b.relay(t, set)))) })
	}
	wg.Wait()
	require.EqualValues(t, 50, made.Load())
	require.Equal(t, 50, b.count(t, `select count(*) from sms_messages`))
	require.Equal(t, 50, b.count(t, `select count(*) from river_job where kind = 'send_sms'`))
}

func TestEnlistRollsBackWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "done")
	events := b.events(t, "order.completed", "en", `{}`, b.order(t, number, "en"))
	err := pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		jobs, err := b.Enlist(t.Context(), tx, events)
		require.Len(t, jobs, 1)
		require.NoError(t, err)
		return context.Canceled // the process died
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, b.relay(t, events), 1)
}

// Five hundred events are one statement that finds orders by their key, also with a plan made for any parameters.
func TestEnlistPlan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "done")
	id := b.order(t, number, "en")
	_, err := b.pool.Exec(t.Context(), `insert into orders (id, number, currency, total_amount, contact_masked, phone_fingerprint,
		locale, api_key_id, placed_at, expires_at)
		select gen_random_uuid(), 'X' || n, 'CNY', 1, '{"phone":"x"}', uuid_send(gen_random_uuid()), 'en', $1, now(), now() + interval '1 minute'
		from generate_series(1, 20000) n`, id)
	require.NoError(t, err)
	var seqScans int
	const scans = `select seq_tup_read from pg_stat_xact_user_tables where relname = 'orders'`
	events := b.events(t, "order.completed", "en", `{}`, id, id, id)
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `set local plan_cache_mode = force_generic_plan`); err != nil {
			return err
		}
		var jobs []river.InsertManyParams
		if jobs, err = b.Enlist(t.Context(), tx, events); err != nil {
			return err
		}
		require.Len(t, jobs, 3)
		return tx.QueryRow(t.Context(), scans).Scan(&seqScans)
	}))
	require.Zero(t, seqScans, "orders were scanned")
}
