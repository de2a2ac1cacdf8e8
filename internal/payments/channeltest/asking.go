package channeltest

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
)

func (b *bundle) querier(t *testing.T) payments.Querier {
	t.Helper()
	querier, ok := b.Channel.(payments.Querier)
	require.True(t, ok, "the gateway can be asked")
	return querier
}

func queries(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	attempt.Reference = b.reference(t, attempt.ID)
	_, paid, err := b.querier(t).Query(t.Context(), attempt)
	require.NoError(t, err)
	require.False(t, paid)

	b.Pay(attempt)
	for _, reference := range []string{attempt.Reference, ""} { // the answer to Begin may have been lost
		attempt.Reference = reference
		notice, paid, err := b.querier(t).Query(t.Context(), attempt)
		require.NoError(t, err)
		require.True(t, paid)
		require.Equal(t, payments.TypeSucceeded, notice.Type)
		require.Equal(t, attempt.ID, notice.PaymentID)
		require.Equal(t, attempt.Account, notice.Account)
		require.Equal(t, attempt.Amount, notice.Amount)
		require.NotEmpty(t, notice.Body)
		require.False(t, notice.OccurredAt.IsZero())
		again, _, err := b.querier(t).Query(t.Context(), attempt)
		require.NoError(t, err)
		require.Equal(t, notice.EventID, again.EventID)
	}
	unknown := attempt
	unknown.Account = "nobody's"
	if b.Reference != nil {
		_, paid, err = b.querier(t).Query(t.Context(), unknown)
		require.Error(t, err)
		require.False(t, paid)
	}
}

func appliesQueried(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	notice, paid, err := b.querier(t).Query(t.Context(), attempt)
	require.NoError(t, err)
	require.True(t, paid)
	outcome, err := b.apply(t.Context(), notice)
	require.NoError(t, err)
	require.Equal(t, payments.Applied, outcome)
	b.requirePaid(t, attempt)
	attempt.Reference = b.reference(t, attempt.ID)
	notice, paid, err = b.querier(t).Query(t.Context(), attempt)
	require.NoError(t, err)
	require.True(t, paid, "by the payment's reference too")
	outcome, err = b.apply(t.Context(), notice)
	require.NoError(t, err)
	require.Equal(t, payments.Repeated, outcome)
	require.Equal(t, payments.Repeated, b.receive(t, b.Notice(t, attempt, attempt.Amount.Amount)), "the notice comes after all")
	b.requirePaid(t, attempt)
}

// asked notes what its gateway was asked about.
type asked struct {
	payments.Channel

	about []payments.Attempt
}

func (a *asked) Query(ctx context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	a.about = append(a.about, attempt)
	querier, ok := a.Channel.(payments.Querier)
	if !ok {
		return payments.Notice{}, false, errors.New("cannot be asked")
	}
	return querier.Query(ctx, attempt)
}

func findsLost(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	_, err := b.pool.Exec(t.Context(), `update payments set ask_at = now() - interval '1 s'`)
	require.NoError(t, err)
	channel := &asked{Channel: b.Channel}
	found, err := b.process(t, channel).AskGateways(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, found)
	b.requirePaid(t, attempt)
	require.Len(t, channel.about, 1)
	require.Equal(t, attempt.Reference, channel.about[0].Reference)
	require.Equal(t, attempt.Account, channel.about[0].Account)
}

func queriesNothing(t *testing.T, b *bundle) {
	t.Helper()
	attempt := b.attempt(t)
	b.Pay(attempt)
	tried := 0
	for ; b.Break(tried); tried++ {
		_, paid, err := b.querier(t).Query(t.Context(), attempt)
		require.Error(t, err, "way %d", tried)
		require.False(t, paid)
		require.NotContains(t, err.Error(), "http://", "an address may have a key in it")
	}
	require.Positive(t, tried)
}

func refundsOnce(t *testing.T, b *bundle) {
	t.Helper()
	refunder, ok := b.Channel.(payments.Refunder)
	require.Equal(t, b.Refunds != nil, ok)
	if !ok {
		return
	}
	attempt := b.attempt(t)
	b.Pay(attempt)
	b.receive(t, b.Notice(t, attempt, attempt.Amount.Amount))
	attempt.Reference = b.reference(t, attempt.ID)
	refund := payments.Refund{ID: uuid.Must(uuid.NewV7()), Attempt: attempt, Amount: attempt.Amount, Reason: "broken"}
	refund.Amount.Amount = 100
	first, err := refunder.Refund(t.Context(), refund)
	require.NoError(t, err)
	require.Equal(t, payments.RefundSucceeded, first.Status)
	require.NotEmpty(t, first.Reference)
	again, err := refunder.Refund(t.Context(), refund)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, b.Refunds())
	refund.ID = uuid.Must(uuid.NewV7())
	second, err := refunder.Refund(t.Context(), refund)
	require.NoError(t, err)
	require.NotEqual(t, first.Reference, second.Reference)
	require.Equal(t, 2, b.Refunds())
}
