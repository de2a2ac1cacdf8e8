package payments_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/channeltest"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// sandboxBooks is what the sandbox knows when it is asked, and the refunds that were asked of it.
type sandboxBooks struct {
	mu      sync.Mutex
	paid    map[uuid.UUID]bool
	broken  bool
	refunds map[string]bool
}

func (b *sandboxBooks) ask(_ context.Context, attempt payments.Attempt) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return false, errors.New("out of reach")
	}
	return b.paid[attempt.ID], nil
}

// countingSandbox counts refunds by what identifies them: the sandbox has no money that could go twice.
type countingSandbox struct {
	*payments.Sandbox

	books *sandboxBooks
}

func (c countingSandbox) Refund(ctx context.Context, refund payments.Refund) (payments.RefundAnswer, error) {
	answer, err := c.Sandbox.Refund(ctx, refund)
	c.books.mu.Lock()
	defer c.books.mu.Unlock()
	c.books.refunds[answer.Reference] = true
	return answer, err
}

func TestSandboxIsAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, pgtest.New, func(*testing.T) channeltest.Subject {
		books := &sandboxBooks{paid: map[uuid.UUID]bool{}, refunds: map[string]bool{}}
		return channeltest.Subject{
			Channel:  countingSandbox{payments.NewSandbox(time.Now, secret).WithBooks(books.ask), books},
			Currency: "CNY",
			Answer:   payments.Answer{Status: 200, ContentType: "application/json", Body: `{"received":true}`},
			Pay: func(attempt payments.Attempt) {
				books.mu.Lock()
				defer books.mu.Unlock()
				books.paid[attempt.ID] = true
			},
			Notice: func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback {
				t.Helper()
				return sandboxNotice(attempt, amount, payments.TypeSucceeded).signed(t, secret, time.Now())
			},
			Pending: func(t *testing.T, attempt payments.Attempt) payments.Callback {
				t.Helper()
				return sandboxNotice(attempt, attempt.Amount.Amount, "payment.pending").signed(t, secret, time.Now())
			},
			Forgeries: sandboxForgeries,
			Break: func(n int) bool {
				books.mu.Lock()
				defer books.mu.Unlock()
				books.broken = true
				return n < 1
			},
			Refunds: func() int { return len(books.refunds) },
		}
	})
}

func sandboxNotice(attempt payments.Attempt, amount int64, kind string) notice {
	return notice{uuid.NewString(), kind, attempt.ID, amount, attempt.Amount.Currency, time.Now()}
}

func sandboxForgeries(t *testing.T, attempt payments.Attempt) []channeltest.Forgery {
	t.Helper()
	genuine := sandboxNotice(attempt, attempt.Amount.Amount, payments.TypeSucceeded)
	raw := func(body string) payments.Callback {
		return payments.Callback{Body: []byte(body), Header: http.Header{
			payments.SignatureHeader: {payments.SignSandbox(secret, time.Now(), []byte(body))},
		}}
	}
	body, err := json.Marshal(genuine)
	require.NoError(t, err)
	return []channeltest.Forgery{
		channeltest.Forged("unsigned", payments.Callback{Body: body, Header: http.Header{}}, "callback_unsigned"),
		channeltest.Forged("a foreign key", genuine.signed(t, "another", time.Now()), "callback_signature_invalid"),
		channeltest.Forged("stale", genuine.signed(t, secret, time.Now().Add(-301*time.Second)), "callback_stale"),
		channeltest.Forged("from the future", genuine.signed(t, secret, time.Now().Add(310*time.Second)), "callback_stale"),
		channeltest.Forged("a name twice", raw(string(body[:len(body)-1])+`,"amount":1}`), "callback_malformed"),
		channeltest.Forged("a name in another case", raw(string(body[:len(body)-1])+`,"Amount":1}`), "callback_malformed"),
		channeltest.Forged("true where text belongs", raw(string(body[:len(body)-1])+`,"sign":true}`), "callback_malformed"),
		channeltest.Forged("no JSON", raw(`sign=true`), "callback_malformed"),
	}
}
