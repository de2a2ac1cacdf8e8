package channeltest

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/payments"
)

func pays(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	callback := b.Notice(t, attempt, attempt.Amount.Amount)
	require.Equal(t, payments.Applied, b.receive(t, callback))
	b.requirePaid(t, attempt)
	require.Equal(t, payments.Repeated, b.receive(t, callback))
	require.Equal(t, payments.Repeated, b.receive(t, b.Notice(t, attempt, attempt.Amount.Amount)), "another notice of it")
	b.requirePaid(t, attempt)
	var body []byte
	require.NoError(t, b.pool.QueryRow(t.Context(), `select body from payment_events where outcome = 'applied'`).Scan(&body))
	switch {
	case b.Kept != nil:
		b.Kept(t, attempt, body)
	case len(callback.Body) == 0:
		require.Equal(t, callback.Query, string(body))
	default:
		require.Equal(t, callback.Body, body, "kept as it came")
	}
}

func refusesForgeries(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	forgeries := b.Forgeries(t, attempt)
	require.NotEmpty(t, forgeries)
	for _, forgery := range forgeries {
		_, _, err := b.payments.Receive(t.Context(), b.Channel.Name(), forgery.Callback)
		require.Error(t, err, forgery.Name)
		require.True(t, fault.HasCode(err, forgery.Code), "%s: %v", forgery.Name, err)
	}
	b.requireUntouched(t, attempt)
}

func refusesChanges(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	genuine := b.Notice(t, attempt, attempt.Amount.Amount)
	text := genuine.Body
	if len(text) == 0 {
		text = []byte(genuine.Query)
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		callback := payments.Callback{Header: genuine.Header, Body: changed}
		if len(genuine.Body) == 0 {
			callback.Body, callback.Query = nil, string(changed)
		}
		_, err := b.Channel.Verify(t.Context(), callback)
		_, isFault := fault.As(err)
		require.True(t, isFault, "byte %d: %v", i, err)
	}
	for i := range text {
		callback := payments.Callback{Header: genuine.Header, Body: text[:i]}
		if len(genuine.Body) == 0 {
			callback.Body, callback.Query = nil, string(text[:i])
		}
		_, err := b.Channel.Verify(t.Context(), callback)
		require.Error(t, err, "cut at %d", i)
	}
	require.Equal(t, payments.Applied, b.receive(t, genuine), "which was right before")
}

func refusesOversize(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	callback := b.Notice(t, attempt, attempt.Amount.Amount)
	callback.Body = append(callback.Body, bytes.Repeat([]byte{' '}, payments.MaxCallback)...)
	_, _, err := b.payments.Receive(t.Context(), b.Channel.Name(), callback)
	require.True(t, fault.HasCode(err, "body_too_large"), "%v", err)
	b.requireUntouched(t, attempt)
}

func appliesOnce(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	processes := []*payments.Service{b.payments, b.process(t, b.Channel)}
	callback := b.Notice(t, attempt, attempt.Amount.Amount)
	const n = 50
	answers := make([]payments.Answer, n)
	applied := make([]payments.Application, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			answers[i], applied[i], errs[i] = processes[i%len(processes)].Receive(t.Context(), b.Channel.Name(), callback)
		})
	}
	wg.Wait()
	outcomes := map[payments.Outcome]int{}
	for i := range n {
		require.NoError(t, errs[i])
		require.Equal(t, b.Answer, answers[i])
		outcomes[applied[i].Outcome]++
	}
	require.Equal(t, map[payments.Outcome]int{payments.Applied: 1, payments.Repeated: n - 1}, outcomes)
	require.Equal(t, 1, b.count(t, `select count(*) from payment_events`))
	b.requirePaid(t, attempt)
}

func keepsSuccess(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	pending := b.Pending(t, attempt)
	b.Pay(attempt)
	require.Equal(t, payments.Applied, b.receive(t, b.Notice(t, attempt, attempt.Amount.Amount)))
	require.Equal(t, payments.Ignored, b.receive(t, pending))
	b.requirePaid(t, attempt)
	require.Zero(t, b.count(t, `select count(*) from payment_events where outcome = 'ignored' and type = 'payment.succeeded'`))
}

// fast is a gateway that sends its notice before it answers.
type fast struct {
	payments.Channel

	begun func(attempt payments.Attempt)
}

func (f fast) Begin(ctx context.Context, attempt payments.Attempt) (payments.Instructions, string, error) {
	instructions, reference, err := f.Channel.Begin(ctx, attempt)
	if err == nil {
		f.begun(attempt)
	}
	return instructions, reference, err
}

func toleratesFastNotice(t *testing.T, b *bundle) {
	t.Helper()
	shop := b.process(t, fast{b.Channel, func(attempt payments.Attempt) {
		b.Pay(attempt)
		require.Equal(t, payments.Applied, b.receive(t, b.Notice(t, attempt, attempt.Amount.Amount)))
	}})
	p, err := shop.Begin(t.Context(), b.place(t), b.Channel.Name())
	require.NoError(t, err)
	b.requirePaid(t, p.Attempt)
}

func recordsWrongAmount(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	wrong := attempt
	wrong.Amount.Amount--
	b.Pay(wrong)
	require.Equal(t, payments.WrongAmount, b.receive(t, b.Notice(t, wrong, wrong.Amount.Amount)))
	require.Equal(t, 1, b.count(t, `select count(*) from payment_events where outcome = 'wrong_amount' and amount = $1`,
		wrong.Amount.Amount))
	require.Zero(t, b.count(t, `select count(*) from outbox where type = 'order.paid'`))
}
