// Package channeltest holds what every payments.Channel has to keep, as one suite that runs over each of them: with a
// real database, and with a far side that speaks the gateway's own format.
package channeltest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
)

// Subject is a channel and the far side that it speaks to, one for each test.
type Subject struct {
	Channel  payments.Channel
	Currency string
	// Answer is what the gateway wants to hear, to the byte.
	Answer payments.Answer
	// Pay notes in the gateway's books that the buyer has paid.
	Pay func(attempt payments.Attempt)
	// Notice is what the gateway sends about a payment of that amount, whatever its books say. Each call is another notice.
	Notice func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback
	// Pending is a genuine notice that says that there is no money yet.
	Pending func(t *testing.T, attempt payments.Attempt) payments.Callback
	// Forgeries are notices of a payment that must be refused, and the code of each.
	Forgeries func(t *testing.T, attempt payments.Attempt) []Forgery
	// Reference is the gateway's id of a paid attempt; nil: it has none.
	Reference func(attempt payments.Attempt) string
	// Break makes the far side fail from now on, in a way for each call; false: there is no other.
	Break func(n int) bool
	// Refunds counts the refunds that the far side has done. nil where the channel does none.
	Refunds func() int
	// Kept looks at what the inbox has of a paid attempt's notice, where that is not the notice as it came.
	Kept func(t *testing.T, attempt payments.Attempt, body []byte)
}

// Forgery is a notice that must be refused.
type Forgery struct {
	Name     string
	Callback payments.Callback
	Code     string
}

// Forged makes one.
func Forged(name string, callback payments.Callback, code string) Forgery {
	return Forgery{name, callback, code}
}

// Run runs the suite. database gives an empty one, setup a subject, for each test.
func Run(t *testing.T, database func(t testing.TB) *pgxpool.Pool, setup func(t *testing.T) Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *bundle){
		"a payment pays its order":                   pays,
		"forgeries are refused":                      refusesForgeries,
		"no byte can be changed":                     refusesChanges,
		"what is too large is refused":               refusesOversize,
		"fifty repeats at once apply once":           appliesOnce,
		"success before pending":                     keepsSuccess,
		"a notice before the gateway's answer":       toleratesFastNotice,
		"the wrong amount is recorded":               recordsWrongAmount,
		"query":                                      queries,
		"query finds a payment whose notice is lost": appliesQueried,
		"a lost notice is found by asking":           findsLost,
		"query while the gateway is down":            queriesNothing,
		"money goes back once":                       refundsOnce,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, newBundle(t, database(t), setup(t))) })
	}
}

// bundle is a shop with one channel.
type bundle struct {
	Subject

	pool     *pgxpool.Pool
	box      *outbox.Box
	orders   *ordering.Service
	payments *payments.Service
}

func newBundle(t *testing.T, pool *pgxpool.Pool, s Subject) *bundle {
	t.Helper()
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b := &bundle{Subject: s, pool: pool, box: outbox.NewBox(pool, time.Now, nil)}
	b.orders = ordering.NewService(ordering.Config{}, pool, b.box, vault)
	t.Cleanup(b.orders.Close)
	b.payments = b.process(t, s.Channel)
	productID := uuid.Must(uuid.NewV7())
	_, err = pool.Exec(t.Context(), `insert into products (id, sku, name, kind, price_amount, price_currency)
		values ($1, 'a', 'A', 'counted', 1234, $2)`, productID, s.Currency)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `insert into stock values ($1, 1000)`, productID)
	require.NoError(t, err)
	return b
}

// process is one more process of the shop.
func (b *bundle) process(t *testing.T, channel payments.Channel) *payments.Service {
	t.Helper()
	service := payments.NewService(b.pool, b.box, time.Now, channel)
	t.Cleanup(service.Close)
	return service
}

func (b *bundle) place(t *testing.T) uuid.UUID {
	t.Helper()
	request := ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 1}}}
	placed, err := b.orders.Place(t.Context(), request, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(t, err)
	return placed.Order.ID
}

// attempt begins to pay a new order.
func (b *bundle) attempt(t *testing.T) payments.Attempt {
	t.Helper()
	p, err := b.payments.Begin(t.Context(), b.place(t), b.Channel.Name())
	require.NoError(t, err)
	require.NotEmpty(t, p.Instructions)
	require.Equal(t, p.Reference, b.reference(t, p.ID))
	return p.Attempt
}

func (b *bundle) reference(t *testing.T, id uuid.UUID) string {
	t.Helper()
	var reference string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select coalesce(reference, '') from payments where id = $1`, id).Scan(&reference))
	return reference
}

func (b *bundle) receive(t *testing.T, callback payments.Callback) payments.Outcome {
	t.Helper()
	answer, applied, err := b.payments.Receive(t.Context(), b.Channel.Name(), callback)
	require.NoError(t, err)
	require.Equal(t, b.Answer, answer)
	return applied.Outcome
}

func (b *bundle) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func (b *bundle) requirePaid(t *testing.T, attempt payments.Attempt) {
	t.Helper()
	order, err := b.orders.Get(t.Context(), attempt.OrderID)
	require.NoError(t, err)
	require.Equal(t, ordering.Paid, order.PaymentStatus)
	require.Equal(t, attempt.Amount.Amount, order.PaidAmount)
	require.Empty(t, order.ExceptionCode)
	require.Equal(t, 1, b.count(t, `select count(*) from payment_events where outcome = 'applied'`))
	require.Equal(t, 1, b.count(t, `select count(*) from outbox where type = 'order.paid'`))
	require.Zero(t, b.count(t, `select count(*) from outbox where type = 'payment.exception'`))
	if b.Reference != nil {
		require.Equal(t, b.Reference(attempt), b.reference(t, attempt.ID))
	}
}

func (b *bundle) requireUntouched(t *testing.T, attempt payments.Attempt) {
	t.Helper()
	order, err := b.orders.Get(t.Context(), attempt.OrderID)
	require.NoError(t, err)
	require.Equal(t, ordering.Unpaid, order.PaymentStatus)
	require.Equal(t, ordering.PendingPayment, order.Status)
	require.Zero(t, b.count(t, `select count(*) from payment_events`))
}

// apply is what is done with a notice that was asked for.
func (b *bundle) apply(ctx context.Context, notice payments.Notice) (outcome payments.Outcome, err error) {
	err = b.box.InTx(ctx, func(tx *outbox.Tx) error {
		var results []groupcommit.Result[payments.Application]
		if results, err = payments.Apply(ctx, tx, b.Channel.Name(), []payments.Notice{notice}, nil); err != nil {
			return err
		}
		outcome = results[0].Value.Outcome
		return results[0].Err
	})
	if err != nil {
		return "", fmt.Errorf("apply: %w", err)
	}
	return outcome, nil
}
