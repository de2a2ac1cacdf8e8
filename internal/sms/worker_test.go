package sms

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/pgdb"
)

func TestSendThroughRiver(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	var sandbox *Sandbox
	b := setup(t, func(_ *Config, d *Deps) {
		sandbox = NewSandbox(d.Pool, d.Vault, time.Now)
		t.Cleanup(sandbox.Close)
		d.Provider, d.Tracing = sandbox, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	})
	require.NoError(t, b.SeedTemplates(t.Context()))
	require.NoError(t, b.SeedTemplates(t.Context()), "again")
	order := b.order(t, number, "zh")
	b.run(t)
	jobs := b.relay(t, b.events(t, "order.completed", "zh", `{}`, order))
	b.eventually(t, 1, `select count(*) from sms_messages where status = 'sent'`)
	b.eventually(t, 1, `select count(*) from river_job where kind = 'send_sms' and state = 'completed'`)

	kept, next, err := sandbox.List(t.Context(), "", 10)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, kept, 1)
	require.Equal(t, masked, kept[0].ToMasked)
	require.Equal(t, "【vendbox】您的订单 N-"+order.String()[24:]+" 已发货。", kept[0].Text)

	m, err := b.Message(t.Context(), jobs[0].Args.(Args).MessageID)
	require.NoError(t, err)
	require.Equal(t, kept[0].MessageID, m.ID)
	require.Equal(t, []any{"sent", int32(1), "sandbox", kept[0].ID.String(), ""},
		[]any{m.Status, m.Attempts, m.Provider, m.ProviderMessageID, m.ErrorCode})
	_, segments := Segments(kept[0].Text)
	require.EqualValues(t, segments, *m.Segments)
	require.NotNil(t, m.SentAt)
	require.NotNil(t, m.FinishedAt)

	require.Len(t, spans.Ended(), 1)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", spans.Ended()[0].SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", spans.Ended()[0].Parent().SpanID().String())
	require.Equal(t, 1, strings.Count(b.log.String(), `"msg":"sms attempt"`))
	require.Contains(t, b.log.String(), `"trace_id":"0af7651916cd43dd8448eb211c80319c"`)
	requireNoSecrets(t, b)
}

// requireNoSecrets looks for number and text wherever they could have been left.
func requireNoSecrets(t *testing.T, b *testBundle) {
	t.Helper()
	var everything string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select concat(
		(select string_agg(x::text, ' ') from sms_messages x), (select string_agg(x::text, ' ') from river_job x),
		(select string_agg(x::text, ' ') from failed_jobs x), (select string_agg(x::text, ' ') from sms_sandbox_messages x))`).Scan(&everything))
	for _, place := range []string{everything, b.log.String()} {
		require.NotContains(t, place, number[1:])
		require.NotContains(t, place, "/o/", "the text")
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tpl := b.template(t, "order.completed", "en", "done {{url}}")
	for _, c := range []struct {
		name          string
		result        Result
		riverAttempt  int
		resendUnknown bool
		status        Status
		answer        string // error, snooze, cancel or ""
	}{
		{"sent", Result{Outcome: Sent, ProviderMessageID: "p-1"}, 1, false, StatusSent, ""},
		{"rejected", Result{Outcome: Rejected, Code: "21211"}, 1, false, StatusFailed, "cancel"},
		{"temporary", Result{Outcome: Temporary, Code: "connect_failed"}, 1, false, StatusPending, "error"},
		{"temporary at last", Result{Outcome: Temporary, Code: "connect_failed"}, 12, false, StatusFailed, "error"},
		{"throttled", Result{Outcome: Throttled, Code: "http_429", RetryAfter: time.Minute}, 1, false, StatusPending, "snooze"},
		{"throttled at last", Result{Outcome: Throttled, Code: "http_429"}, 12, false, StatusPending, "snooze"},
		{"unknown", Result{Outcome: Unknown, Code: "answer_lost"}, 1, false, StatusUnknown, "cancel"},
		{"unknown, may be repeated", Result{Outcome: Unknown, Code: "answer_lost"}, 1, true, StatusPending, "error"},
		{"unknown, may be repeated, at last", Result{Outcome: Unknown, Code: "answer_lost"}, 12, true, StatusUnknown, "cancel"},
	} {
		_, err := b.PatchTemplate(t.Context(), tpl.ID, TemplatePatch{ResendUnknown: new(c.resendUnknown)})
		require.NoError(t, err)
		args := b.message(t)
		b.provider.will(func(Outgoing) Result { return c.result })
		err = work(t, b.Service, args, c.riverAttempt)
		var snooze *river.JobSnoozeError
		var cancel *rivertype.JobCancelError
		require.Equal(t, c.answer == "snooze", errors.As(err, &snooze), c.name)
		require.Equal(t, c.answer == "cancel", errors.As(err, &cancel), c.name)
		require.Equal(t, c.answer != "", err != nil, c.name)
		if snooze != nil && c.result.RetryAfter > 0 {
			require.InDelta(t, 68, snooze.Duration.Seconds(), 8)
		}
		m, err := b.Message(t.Context(), args.MessageID)
		require.NoError(t, err)
		require.Equal(t, string(c.status), m.Status, c.name)
		require.Equal(t, c.result.Code, m.ErrorCode, c.name)
		require.Equal(t, c.result.ProviderMessageID, m.ProviderMessageID, c.name)
		require.EqualValues(t, 1, m.Attempts, c.name)
		require.Equal(t, c.status == StatusPending, m.FinishedAt == nil, c.name)

		before := len(b.provider.calls())
		b.provider.will(nil)
		err = work(t, b.Service, args, 2)
		again := len(b.provider.calls()) - before
		if c.status == StatusPending {
			require.NoError(t, err, c.name)
			require.Equal(t, 1, again, c.name)
			require.Equal(t, args.MessageID, b.provider.calls()[before].Ref, "the reference stays the same")
			continue
		}
		require.Zero(t, again, "%s: what is finished is not sent again by a job that runs again", c.name)
	}
	requireNoSecrets(t, b)
}

// A process dies while the gateway has the message; the rescued job runs elsewhere.
func TestCrashWhileSending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tpl := b.template(t, "order.completed", "en", "done")
	other := b.process(t)

	hang := func() (entered, release chan struct{}) {
		entered, release = make(chan struct{}), make(chan struct{})
		b.provider.will(func(Outgoing) Result {
			close(entered)
			<-release
			return Result{Outcome: Sent, ProviderMessageID: "late"}
		})
		return entered, release
	}
	args := b.message(t)
	entered, release := hang()
	done := make(chan error, 1)
	go func() { done <- work(t, b.Service, args, 1) }()
	<-entered
	require.Zero(t, b.pool.Stat().AcquiredConns(), "no connection is held while the gateway has the message")
	m, err := b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, "sending", m.Status)

	err = work(t, other, args, 2)
	var cancel *rivertype.JobCancelError
	require.ErrorAs(t, err, &cancel)
	require.ErrorContains(t, err, "It may have been delivered")
	m, err = b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{"unknown", "interrupted"}, []any{m.Status, m.ErrorCode})
	require.Len(t, b.provider.calls(), 1, "not sent again")

	close(release) // it had not died after all: its certainty is worth more than the doubt
	require.NoError(t, <-done)
	m, err = b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{"sent", "late", ""}, []any{m.Status, m.ProviderMessageID, m.ErrorCode})

	// The same where a repeat does no harm: it is sent again, and the first one's result comes too late.
	_, err = b.PatchTemplate(t.Context(), tpl.ID, TemplatePatch{ResendUnknown: new(true)})
	require.NoError(t, err)
	args = b.message(t)
	entered, release = hang()
	go func() { done <- work(t, b.Service, args, 1) }()
	<-entered
	b.provider.will(func(Outgoing) Result { return Result{Outcome: Sent, ProviderMessageID: "second"} })
	require.NoError(t, work(t, other, args, 2))
	close(release)
	require.NoError(t, <-done)
	m, err = b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{"sent", "second", int32(2)}, []any{m.Status, m.ProviderMessageID, m.Attempts})
}

// Of many runs of one job at the same time one asks the provider.
func TestOneClaimWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "done")
	args := b.message(t)
	release := make(chan struct{})
	b.provider.will(func(Outgoing) Result { <-release; return Result{Outcome: Sent} })
	d, err := b.drafts.Do(t.Context(), args.MessageID)
	require.NoError(t, err)
	granted := 0
	for _, r := range b.claims.DoMany(t.Context(), make20(claim{id: d.ID, round: d.Round, attempts: d.Attempts, segments: 1})) {
		require.NoError(t, r.Err)
		if r.Value {
			granted++
		}
	}
	require.Equal(t, 1, granted)
	close(release)
}

func make20[T any](v T) []T {
	out := make([]T, 20)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestWhatCannotBeWrittenIsNotSent(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	b := setup(t, func(c *Config, d *Deps) { d.Now = func() time.Time { return clock }; c.MaxSegments = 2 })
	for _, c := range []struct {
		name, eventType, body, payload, code string
		before                               func(Template, Args)
	}{
		{"a field is missing", "shop.a", "{{data.code}}", `{"other":1}`, "variable_missing", nil},
		{"the event is gone", "shop.b", "{{data.code}}", `{"code":1}`, "variable_missing", func(Template, Args) {
			_, err := b.pool.Exec(t.Context(), `delete from outbox`)
			require.NoError(t, err)
		}},
		{"the template is gone", "shop.c", "x", `{}`, "template_deleted", func(tpl Template, _ Args) {
			require.NoError(t, b.DeleteTemplate(t.Context(), tpl.ID))
		}},
		{"it is too long", "shop.d", strings.Repeat("中", 135), `{}`, "text_length", nil},
		{"its contact is damaged", "shop.e", "x", `{}`, "recipient_unreadable", func(_ Template, a Args) {
			_, err := b.pool.Exec(t.Context(), `update orders set contact_sealed = '\x00'
				where id = (select order_id from sms_messages where id = $1)`, a.MessageID)
			require.NoError(t, err)
		}},
		{"it is too old", "shop.f", "x", `{}`, "too_old", func(Template, Args) { clock = clock.Add(25 * time.Hour) }},
	} {
		tpl := b.template(t, c.eventType, "en", c.body)
		jobs := b.relay(t, b.events(t, c.eventType, "en", c.payload, b.order(t, number, "en")))
		args := jobs[0].Args.(Args)
		if c.before != nil {
			c.before(tpl, args)
		}
		var cancel *rivertype.JobCancelError
		require.ErrorAs(t, work(t, b.Service, args, 1), &cancel, c.name)
		m, err := b.Message(t.Context(), args.MessageID)
		require.NoError(t, err)
		require.Equal(t, []any{"failed", c.code, int32(0)}, []any{m.Status, m.ErrorCode, m.Attempts}, c.name)
	}
	require.Empty(t, b.provider.calls())
	var cancel *rivertype.JobCancelError
	require.ErrorAs(t, work(t, b.Service, Args{MessageID: uuid.New(), Round: 1}, 1), &cancel, "a message that is not there")
}

func TestResend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tpl := b.template(t, "order.completed", "en", "done")
	args := b.message(t)
	_, err := b.Resend(t.Context(), args.MessageID, "test")
	require.True(t, fault.HasCode(err, "sms_message_not_resendable"), "%v", err)
	_, err = b.Resend(t.Context(), uuid.New(), "test")
	require.True(t, fault.HasCode(err, "sms_message_not_found"))

	b.provider.will(func(Outgoing) Result { return Result{Outcome: Unknown, Code: "answer_lost", Detail: "lost"} })
	b.run(t)
	b.eventually(t, 1, `select count(*) from failed_jobs where kind = 'send_sms' and state = 'cancelled'
		and error like '%answer_lost%may have been delivered%'`)

	b.provider.will(nil)
	m, err := b.Resend(t.Context(), args.MessageID, "test")
	require.NoError(t, err)
	require.Equal(t, "pending", m.Status)
	b.eventually(t, 1, `select count(*) from failed_jobs f join failed_job_interventions i on i.failed_job_id = f.id
		where f.status = 'resolved' and i.action = 'resolve' and i.actor = 'test'`)
	b.eventually(t, 1, `select count(*) from sms_messages where status = 'sent' and attempts = 2`)
	require.Equal(t, b.provider.calls()[0].Ref, b.provider.calls()[1].Ref)
	b.eventually(t, 1, `select count(*) from river_job where kind = 'send_sms' and state = 'completed'
		and metadata ->> 'traceparent' = '`+traceparent+`'`)

	require.NoError(t, work(t, b.Service, args, 2), "the first round's job has nothing to do any more")
	require.Len(t, b.provider.calls(), 2)
	retry := func(rawArgs ...string) (codes []string) {
		raw := make([][]byte, len(rawArgs))
		for i, one := range rawArgs {
			raw[i] = []byte(one)
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
	sent := `{"message_id":"` + args.MessageID.String() + `","round":1}`

	b.provider.will(func(Outgoing) Result { return Result{Outcome: Rejected, Code: "no"} })
	args = b.message(t)
	b.eventually(t, 1, `select count(*) from sms_messages where id = $1 and status = 'failed'`, args.MessageID)
	require.Equal(t, []string{"sms_message_superseded", "", "sms_message_not_found", "sms_message_not_found", "sms_message_superseded"}, retry(
		sent, `{"message_id":"`+args.MessageID.String()+`","round":1}`, `{"message_id":"`+uuid.NewString()+`","round":1}`, `[1]`,
		`{"message_id":"`+args.MessageID.String()+`","round":2}`), "what is refused holds back no other")
	b.provider.will(nil)
	require.NoError(t, work(t, b.Service, args, 2), "the failed job may run again")
	require.Equal(t, 1, b.count(t, `select count(*) from sms_messages where id = $1 and status = 'sent'`, args.MessageID))

	b.provider.will(func(Outgoing) Result { return Result{Outcome: Rejected, Code: "no"} })
	args = b.message(t)
	b.eventually(t, 1, `select count(*) from sms_messages where id = $1 and status = 'failed'`, args.MessageID)
	require.NoError(t, b.DeleteTemplate(t.Context(), tpl.ID))
	_, err = b.Resend(t.Context(), args.MessageID, "test")
	require.True(t, fault.HasCode(err, "sms_template_gone"), "%v", err)
}

// A commit whose answer is lost: it was made, and nobody knows.
func TestLostCommits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "done")
	b.claims = losing(t, b.claims)
	args := b.message(t)
	require.ErrorIs(t, work(t, b.Service, args, 1), pgdb.ErrCommitUnknown)
	require.Empty(t, b.provider.calls())
	m, err := b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{"pending", "claim_lost"}, []any{m.Status, m.ErrorCode}, "the mark is gone: nothing was sent")

	b.results = losing(t, b.results)
	b.provider.will(func(Outgoing) Result { return Result{Outcome: Rejected, Code: "no"} })
	var cancel *rivertype.JobCancelError
	require.ErrorAs(t, work(t, b.Service, args, 2), &cancel, "the verdict's second try finds it written, and the job still ends as failed")
	m, err = b.Message(t.Context(), args.MessageID)
	require.NoError(t, err)
	require.Equal(t, []any{"failed", "no"}, []any{m.Status, m.ErrorCode})
	require.Len(t, b.provider.calls(), 1)
}

// losing commits what it is given and loses the answer of the first batch.
func losing[P, R any](t *testing.T, inner *groupcommit.Group[P, R]) *groupcommit.Group[P, R] {
	t.Helper()
	lost := false
	g := groupcommit.New(groupcommit.Config[P, R]{Flush: func(ctx context.Context, batch []P) ([]groupcommit.Result[R], error) {
		results := inner.DoMany(ctx, batch)
		if !lost {
			lost = true
			return nil, pgdb.ErrCommitUnknown
		}
		return results, nil
	}})
	t.Cleanup(inner.Close)
	return g
}

func TestNextRetry(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := &worker{s: &Service{cfg: Config{}.withDefaults(), deps: Deps{Now: func() time.Time { return now }}}}
	for attempt, ceiling := range map[int]time.Duration{
		1: 5 * time.Second, 2: 10 * time.Second, 5: 80 * time.Second, 12: 30 * time.Minute, 9999: 30 * time.Minute,
	} {
		longest := time.Duration(0)
		for range 200 {
			wait := w.NextRetry(&river.Job[Args]{JobRow: &rivertype.JobRow{Attempt: attempt}}).Sub(now)
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.LessOrEqual(t, wait, ceiling)
			longest = max(longest, wait)
		}
		require.Greater(t, longest, ceiling/2, "the jitter is full")
	}
}
