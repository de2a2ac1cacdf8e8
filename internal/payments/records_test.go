package payments_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// troubled is a shop in which everything has gone wrong once, and something well.
type troubled struct {
	*bundle

	paid, wrong, twice, closed, open payments.Payment
}

func trouble(t *testing.T) *troubled {
	t.Helper()
	b := &troubled{bundle: setup(t)}
	b.wrong = b.attempt(t)
	b.closed = b.attempt(t)
	_, err := b.pool.Exec(t.Context(), `update orders set status = 'canceled', closed_at = now() where id = $1`, b.closed.OrderID)
	require.NoError(t, err)
	b.paid = b.attempt(t)
	b.twice = b.again(t, b.paid.OrderID)
	b.open = b.attempt(t)

	require.Equal(t, payments.Applied, b.receive(t, succeeded(b.paid)))
	stray := succeeded(b.paid)
	stray.EventID, stray.PaymentID = "stray", uuid.New()
	require.Equal(t, payments.Unmatched, b.receive(t, stray))
	require.Equal(t, payments.SecondPayment, b.receive(t, succeeded(b.twice)))
	less := succeeded(b.wrong)
	less.EventID, less.Amount = "less", 999
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	require.Equal(t, payments.LatePayment, b.receive(t, succeeded(b.closed)))
	less.EventID, less.Amount = "still_less", 998
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	return b
}

func (b *troubled) list(t *testing.T, filter payments.Filter) []payments.Record {
	t.Helper()
	var all []payments.Record
	cursor := ""
	for {
		page, next, err := b.payments.List(t.Context(), filter, cursor, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2)
		all = append(all, page...)
		if next == "" {
			return all
		}
		require.Len(t, page, 2, "only the last page is short")
		cursor = next
	}
}

func ids(records []payments.Record) (list []uuid.UUID) {
	for _, r := range records {
		list = append(list, r.ID)
	}
	return list
}

// What needs a person is listed by its latest notice, each payment once, and money without an attempt among it.
func TestExceptionsAreListed(t *testing.T) {
	t.Parallel()
	b := trouble(t)
	all := b.list(t, payments.Filter{Exceptions: payments.Exceptions()})
	require.Len(t, all, 4)
	unmatched := all[3]
	require.Equal(t, []uuid.UUID{b.wrong.ID, b.closed.ID, b.twice.ID, unmatched.ID}, ids(all))

	require.Nil(t, unmatched.Order)
	require.Equal(t, "exception", unmatched.Status)
	require.Equal(t, "default", unmatched.Account)
	require.Len(t, unmatched.Exceptions, 1)
	require.Equal(t, "stray", unmatched.Exceptions[0].EventID)
	require.Equal(t, b.paid.Amount, unmatched.Amount)

	wrong := all[0]
	require.Equal(t, b.wrong.OrderID, wrong.Order.ID)
	require.Equal(t, ordering.OnHold, wrong.Order.Status)
	require.Equal(t, b.wrong.Amount, wrong.Amount)
	require.Len(t, wrong.Exceptions, 2)
	require.Equal(t, payments.WrongAmount, wrong.Exceptions[0].Outcome)
	require.Equal(t, ordering.Money{Amount: 999, Currency: "CNY"}, wrong.Exceptions[0].Amount)
	require.Equal(t, "still_less", wrong.Exceptions[1].EventID)

	for outcome, want := range map[payments.Outcome]uuid.UUID{
		payments.WrongAmount: b.wrong.ID, payments.SecondPayment: b.twice.ID, payments.LatePayment: b.closed.ID,
		payments.Unmatched: unmatched.ID,
	} {
		require.Equal(t, []uuid.UUID{want}, ids(b.list(t, payments.Filter{Exceptions: []payments.Outcome{outcome}})), outcome)
		status, other := "exception", "succeeded"
		if outcome == payments.LatePayment { // the money is applied, and the order waits
			status, other = other, status
		}
		for _, filter := range []payments.Filter{{Channel: "sandbox"}, {Status: status}} {
			filter.Exceptions = []payments.Outcome{outcome}
			require.Equal(t, []uuid.UUID{want}, ids(b.list(t, filter)), "%+v", filter)
		}
		for _, filter := range []payments.Filter{{Channel: "alipay"}, {Status: other}} {
			filter.Exceptions = []payments.Outcome{outcome}
			require.Empty(t, b.list(t, filter), "%+v", filter)
		}
		one, err := b.payments.Get(t.Context(), want)
		require.NoError(t, err)
		require.Equal(t, all[slices.Index(ids(all), want)], one)
	}
}

func TestPaymentsAreListed(t *testing.T) {
	t.Parallel()
	b := trouble(t)
	unmatched := b.list(t, payments.Filter{Exceptions: []payments.Outcome{payments.Unmatched}})[0].ID
	newestFirst := []uuid.UUID{unmatched, b.open.ID, b.twice.ID, b.paid.ID, b.closed.ID, b.wrong.ID}
	require.Equal(t, newestFirst, ids(b.list(t, payments.Filter{})))
	require.Equal(t, newestFirst, ids(b.list(t, payments.Filter{Channel: "sandbox"})))
	require.Empty(t, b.list(t, payments.Filter{Channel: "alipay"}))
	require.Equal(t, []uuid.UUID{b.open.ID}, ids(b.list(t, payments.Filter{Status: "pending"})))
	require.Equal(t, []uuid.UUID{b.paid.ID, b.closed.ID}, ids(b.list(t, payments.Filter{Status: "succeeded", Channel: "sandbox"})))
	require.Equal(t, []uuid.UUID{unmatched, b.twice.ID, b.wrong.ID}, ids(b.list(t, payments.Filter{Status: "exception"})))

	ofOrder := payments.Filter{OrderID: b.paid.OrderID}
	require.Equal(t, []uuid.UUID{b.twice.ID, b.paid.ID}, ids(b.list(t, ofOrder)))
	for _, narrower := range []payments.Filter{
		{Status: "exception"}, {Exceptions: payments.Exceptions()}, {Channel: "sandbox", Status: "exception"},
	} {
		narrower.OrderID = b.paid.OrderID
		require.Equal(t, []uuid.UUID{b.twice.ID}, ids(b.list(t, narrower)), "%+v", narrower)
	}
	for _, none := range []payments.Filter{{Channel: "alipay"}, {Exceptions: []payments.Outcome{payments.WrongAmount}}} {
		none.OrderID = b.paid.OrderID
		require.Empty(t, b.list(t, none), "%+v", none)
	}
	require.Empty(t, b.list(t, payments.Filter{OrderID: uuid.New()}))

	paid, err := b.payments.Get(t.Context(), b.paid.ID)
	require.NoError(t, err)
	require.Empty(t, paid.Exceptions)
	require.False(t, paid.SucceededAt.IsZero())
	for _, id := range []uuid.UUID{uuid.New(), b.paid.OrderID} {
		_, err = b.payments.Get(t.Context(), id)
		require.True(t, fault.HasCode(err, "payment_not_found"), "%v", err)
	}
	_, _, err = b.payments.List(t.Context(), payments.Filter{}, "x", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"), "%v", err)
}

// Each list goes along its index. The table of docs/performance.md:
//
//	VENDBOX_BENCH_ORDERS=1000000 go test -run PaymentListsHaveIndexes -v ./internal/payments
func TestPaymentListsHaveIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	n := 20_000
	if text := os.Getenv("VENDBOX_BENCH_ORDERS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	b.pile(t, n)
	var oneOrder uuid.UUID
	require.NoError(t, b.pool.QueryRow(t.Context(), `select order_id from pile where k = 77`).Scan(&oneOrder))
	explained := pgtest.Explain(t, b.pool)
	var table strings.Builder
	for _, c := range []struct {
		name   string
		filter payments.Filter
		index  string
		found  int
	}{
		{"all", payments.Filter{}, "payments_list", 20},
		{"a common status", payments.Filter{Status: "succeeded"}, "payments_list", 20},
		{"a rare status", payments.Filter{Status: "exception"}, "payments_list", 20},
		{"a rare channel", payments.Filter{Channel: "epay"}, "payments_list", 2},
		{"a rare channel and status", payments.Filter{Channel: "epay", Status: "pending"}, "payments_list", 0},
		{"any exception", payments.Filter{Exceptions: payments.Exceptions()}, "payment_events_exceptions", 20},
		{"wrong amounts", payments.Filter{Exceptions: []payments.Outcome{payments.WrongAmount}}, "payment_events_exceptions", 20},
		{"of an order", payments.Filter{OrderID: oneOrder}, "payments_order", 1},
		{"unmatched", payments.Filter{Exceptions: []payments.Outcome{payments.Unmatched}}, "payment_events_exceptions", 2},
	} {
		records, _, err := payments.List(t.Context(), explained, c.filter, "", 20)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(records), c.found, c.name)
		seen := explained.Plans()
		require.Contains(t, seen[0], c.index, c.name)
		require.NotContains(t, fmt.Sprint(seen), "Seq Scan", c.name)
		took := make([]time.Duration, 11)
		for i := range took {
			began := time.Now()
			_, _, err := b.payments.List(t.Context(), c.filter, "", 20)
			require.NoError(t, err)
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		fmt.Fprintf(&table, "| %s | `%s` | %d | %d | %d | %.1f |\n", c.name, c.index, len(records), len(seen), seen.Buffers(),
			took[5].Seconds()*1000)
	}
	t.Logf("%d payments\n| list | along | found | statements | buffers | ms |\n|---|---|---|---|---|---|\n%s", n, table.String())
}

// pile fills the tables with n payments, one a second: nine in ten succeeded, one in a hundred an exception (most of
// them wrong amounts), one in ten thousand through another channel, and as many notices without an attempt.
func (b *bundle) pile(t *testing.T, n int) {
	t.Helper()
	for _, statement := range []string{
		`create table pile as select k, uuid_v7() as id, uuid_v7() as order_id,
			case when k % 100 = 7 then 'exception' when k % 10 = 3 then 'pending' else 'succeeded' end as status,
			case when k % 10000 = 9999 then 'epay' else 'sandbox' end as channel
			from generate_series(1, $n) k`,
		`insert into orders (id, number, currency, total_amount, locale, api_key_id, placed_at, expires_at)
			select order_id, k::text, 'CNY', 100, 'en', order_id, now(), now() + interval '1 hour' from pile`,
		`insert into payments (id, order_id, channel, account, status, amount, currency, succeeded_at)
			select id, order_id, channel, 'default', status, 100, 'CNY', now() from pile`,
		`insert into payment_events (channel, account, event_id, payment_id, order_id, type, amount, currency, outcome, body, occurred_at)
			select channel, 'default', k::text, case when k % 10000 <> 5 then id end, case when k % 10000 <> 5 then order_id end,
			       'payment.succeeded', 100, 'CNY',
			       case when k % 10000 = 5 then 'unmatched' when k % 1000 = 7 then 'second_payment'
			            when status = 'exception' then 'wrong_amount' else 'applied' end, '', now()
			from pile where status <> 'pending'`,
		`vacuum (analyze) orders`, `vacuum (analyze) payments`, `vacuum (analyze) payment_events`,
	} {
		_, err := b.pool.Exec(t.Context(), strings.ReplaceAll(statement, "$n", strconv.Itoa(n)))
		require.NoError(t, err, statement)
	}
}
