package life

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// gateway is the sandbox with a memory: it can be asked about payments, gives money back once for each id, and can be
// told to fail.
type gateway struct {
	*payments.Sandbox

	mu       sync.Mutex
	now      func() time.Time
	paid     map[uuid.UUID]int64 // by attempt
	refunded map[uuid.UUID]int64 // by refund: what really went back
	asked    int                 // for refunds
	queried  int
	down     bool
	// answer, when set, decides about a refund that was not given yet.
	answer func(payments.Refund) (given bool, answer payments.RefundAnswer, err error)
}

var errDown = errors.New("the gateway does not answer")

func newGateway(now func() time.Time) *gateway {
	return &gateway{
		Sandbox: payments.NewSandbox(now, secret), now: now, paid: map[uuid.UUID]int64{}, refunded: map[uuid.UUID]int64{},
	}
}

// pay is a buyer's payment of which no notice has come.
func (g *gateway) pay(attempt uuid.UUID, amount int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paid[attempt] = amount
}

func (g *gateway) setDown(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
}

func (g *gateway) answerWith(answer func(payments.Refund) (bool, payments.RefundAnswer, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answer = answer
}

// gaveBack is what went back in all.
func (g *gateway) gaveBack() (total int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, amount := range g.refunded {
		total += amount
	}
	return total
}

// Query is payments.Querier's.
func (g *gateway) Query(_ context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queried++
	if g.down {
		return payments.Notice{}, false, errDown
	}
	amount, ok := g.paid[attempt.ID]
	return payments.Notice{
		EventID: "query_" + attempt.ID.String(), Type: payments.TypeSucceeded, Account: attempt.Account, PaymentID: attempt.ID,
		Amount: ordering.Money{Amount: amount, Currency: attempt.Amount.Currency}, OccurredAt: g.now(), Body: []byte(`{}`),
	}, ok, nil
}

// Refund is payments.Refunder's.
func (g *gateway) Refund(_ context.Context, refund payments.Refund) (payments.RefundAnswer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if g.down {
		return payments.RefundAnswer{}, errDown
	}
	done := payments.RefundAnswer{Status: payments.RefundSucceeded, Reference: "re_" + refund.ID.String()}
	if _, ok := g.refunded[refund.ID]; ok {
		return done, nil
	}
	if g.answer != nil {
		given, answer, err := g.answer(refund)
		if given {
			g.refunded[refund.ID] = refund.Amount.Amount
		}
		return answer, err
	}
	g.refunded[refund.ID] = refund.Amount.Amount
	return done, nil
}
