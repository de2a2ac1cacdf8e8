package payments_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
)

var cashier = ordering.By{Actor: "key:0a1b2c3d", Reason: "the bank has it, 2026112622001"}

func (b *bundle) confirm(t *testing.T, p payments.Payment) payments.Record {
	t.Helper()
	record, err := b.payments.Confirm(t.Context(), p.ID, cashier)
	require.NoError(t, err)
	require.Equal(t, p.ID, record.ID)
	require.Equal(t, "succeeded", record.Status)
	return record
}

// The callback was lost and nobody can be asked: a person's word pays the order, once, and the callback that comes after all is known
// for what it is.
func TestAPersonsWordPaysAnOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	record := b.confirm(t, p)
	require.Equal(t, ordering.Processing, record.Order.Status)
	require.Equal(t, payments.LostNotice, record.Confirmation)
	require.Equal(t, record, b.confirm(t, p))
	require.Equal(t, payments.Repeated, b.receive(t, succeeded(p)))

	order := b.order(t, p.OrderID)
	require.Equal(t, ordering.Paid, order.PaymentStatus)
	require.EqualValues(t, 1000, order.PaidAmount)
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
	require.Equal(t, cashier.Actor+" "+cashier.Reason,
		b.text(t, `select actor || ' ' || reason from order_timeline where event = 'order.paid'`))
	require.JSONEq(t, `{"confirmed_by":"key:0a1b2c3d","reason":"the bank has it, 2026112622001"}`,
		b.text(t, `select convert_from(body, 'UTF8') from payment_events where event_id like 'confirmed:%'`))
	require.Equal(t, "late_notice", b.text(t, `select confirmation from payments`))
}

// A cent is missing, and the shop lets it go: the hold that stood for it ends with the doubt.
func TestAWrongAmountCanBeTakenForTheWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	less := succeeded(p)
	less.EventID, less.Amount = "less", 999
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	record := b.confirm(t, p)
	require.Equal(t, ordering.Processing, record.Order.Status)
	require.Empty(t, record.Order.HoldReason)
	require.Len(t, record.Exceptions, 1, "what came stays on record")
	require.Equal(t, payments.OtherAmount, record.Confirmation)
	require.Equal(t, "order.released order.paid",
		b.text(t, `select string_agg(event, ' ' order by sequence) from order_timeline where actor = $1`, cashier.Actor))
}

// The buyer pays the missing whole while somebody takes the part for it: that is other money, and shows.
func TestTheWholeAfterAnAcceptedAmountIsASecondPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	less := succeeded(p)
	less.EventID, less.Amount = "less", 999
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	b.confirm(t, p)
	require.Equal(t, payments.SecondPayment, b.receive(t, succeeded(p)))
	require.Equal(t, payments.Repeated, b.receive(t, succeeded(p)))
	b.confirm(t, p)
	order := b.order(t, p.OrderID)
	require.Equal(t, "second_payment", order.ExceptionCode)
	require.EqualValues(t, 1000, order.PaidAmount)
	require.Equal(t, "succeeded other_amount", b.text(t, `select status || ' ' || confirmation from payments`))
}

// One gateway's payment is told of by several notices, before a person confirms it and after.
func TestAGatewaysOnePaymentIsKnownAgainAfterItsConfirmation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tell := func(p payments.Payment, eventID, reference string, amount int64) payments.Outcome {
		var outcome payments.Outcome
		require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
			results, err := payments.Apply(t.Context(), tx, "sandbox", []payments.Notice{{
				EventID: eventID, Type: payments.TypeSucceeded, Account: p.Account, PaymentID: p.ID, OccurredAt: time.Now(), Body: []byte(`{}`),
				Amount: ordering.Money{Amount: amount, Currency: "CNY"}, Reference: reference,
			}}, nil)
			if err == nil {
				outcome = results[0].Value.Outcome
			}
			return err
		}))
		return outcome
	}
	reference := func(p payments.Payment) string {
		return b.text(t, `select coalesce(reference, '') from payments where id = $1`, p.ID)
	}

	asked := b.attempt(t)
	require.Equal(t, payments.WrongAmount, tell(asked, "query:T1", "T1", 999))
	b.confirm(t, asked)
	require.Equal(t, payments.Repeated, tell(asked, "callback", "T1", 999), "the callback comes after all")
	require.Equal(t, payments.Repeated, tell(asked, "corrected", "T1", 1000), "the same money")
	require.Equal(t, payments.SecondPayment, tell(asked, "other", "T2", 1000))
	require.Equal(t, "T1", reference(asked))

	lost := b.attempt(t)
	at := b.confirm(t, lost).SucceededAt
	require.Empty(t, reference(lost))
	require.Equal(t, payments.WrongAmount, tell(lost, "stray", "T9", 1))
	require.Equal(t, payments.Repeated, tell(lost, "late", "T3", 1000))
	require.Equal(t, payments.Repeated, tell(lost, "later", "T5", 1000))
	require.Equal(t, payments.WrongAmount, tell(lost, "astray", "T4", 1))
	require.Equal(t, "T3", reference(lost), "what its refunds are made against")
	record, err := b.payments.Get(t.Context(), lost.ID)
	require.NoError(t, err)
	require.Equal(t, at, record.SucceededAt)
	require.Equal(t, payments.LateNotice, record.Confirmation)
}

func TestNoGatewayCanConfirm(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	n := succeeded(p)
	n.EventID, n.Type = "confirmed:"+p.ID.String(), "payment.pending"
	_, _, err := b.payments.Receive(t.Context(), "sandbox", n.signed(t, secret, time.Now()))
	require.True(t, fault.HasCode(err, "callback_malformed"), "%v", err)
	b.confirm(t, p)
}

// Whatever else an order is on hold for is another matter: a person's hold, or another attempt's money.
func TestAConfirmedOrderStaysOnHoldForOtherReasons(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, wrong := b.attempt(t), b.attempt(t)
	_, err := b.orders.Hold(t.Context(), held.OrderID, cashier)
	require.NoError(t, err)
	lost := b.again(t, wrong.OrderID)
	less := succeeded(wrong)
	less.Amount = 999
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	first := b.attempt(t) // of another amount, and released; the second is what holds the order
	less = succeeded(first)
	less.Amount = 999
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	_, err = b.orders.Release(t.Context(), first.OrderID, cashier)
	require.NoError(t, err)
	less = succeeded(b.again(t, first.OrderID))
	less.Amount = 998
	require.Equal(t, payments.WrongAmount, b.receive(t, less))
	for p, reason := range map[*payments.Payment]string{
		&held: ordering.HoldManual, &lost: ordering.HoldWrongAmount, &first: ordering.HoldWrongAmount,
	} {
		record := b.confirm(t, *p)
		require.Equal(t, ordering.OnHold, record.Order.Status)
		require.Equal(t, reason, record.Order.HoldReason)
		require.Equal(t, ordering.Paid, record.Order.PaymentStatus)
	}
}

func TestConfirmedAfterItsEndAnOrderGoesOnOrWaits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		end    string // of the order
		stock  int
		status ordering.Status
		hold   string
	}{
		"expired":          {"expired", 2, ordering.Processing, ""},
		"expired, no more": {"expired", 1, ordering.OnHold, ordering.HoldLateNoStock},
		"canceled":         {"canceled", 2, ordering.OnHold, ordering.HoldLateCanceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.attempt(t)
			_, err := b.pool.Exec(t.Context(), `update orders set status = $1, closed_at = now()`, test.end)
			require.NoError(t, err)
			_, err = b.pool.Exec(t.Context(), `update stock set available = $1`, test.stock)
			require.NoError(t, err)
			long := ordering.By{Actor: cashier.Actor, Reason: strings.Repeat("长", ordering.MaxReason)}
			record, err := b.payments.Confirm(t.Context(), p.ID, long)
			require.NoError(t, err)
			require.Equal(t, test.status, record.Order.Status)
			require.Equal(t, test.hold, record.Order.HoldReason)
			require.Equal(t, ordering.Paid, record.Order.PaymentStatus)
			require.Equal(t, long.Reason, b.text(t, `select reason from order_timeline where event = 'order.paid'`))
		})
	}
}

func TestWhatCannotBeConfirmed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.attempt(t)
	second := b.again(t, first.OrderID)
	require.Equal(t, payments.Applied, b.receive(t, succeeded(first)))
	stray := succeeded(first)
	stray.PaymentID, stray.EventID = uuid.New(), "stray"
	require.Equal(t, payments.Unmatched, b.receive(t, stray))
	unmatched, _, err := b.payments.List(t.Context(), payments.Filter{Exceptions: []payments.Outcome{payments.Unmatched}}, "", 2)
	require.NoError(t, err)
	elsewhere := b.attempt(t)
	_, err = b.pool.Exec(t.Context(), `update payments set channel = 'gone' where id = $1`, elsewhere.ID)
	require.NoError(t, err)

	before := b.int(t, `select count(*) from payment_events`)
	for code, id := range map[string]uuid.UUID{
		"order_paid_already": second.ID, "payment_without_order": unmatched[0].ID, "payment_not_found": uuid.New(),
		"payment_channel_unknown": elsewhere.ID,
	} {
		_, err := b.payments.Confirm(t.Context(), id, cashier)
		require.True(t, fault.HasCode(err, code), "want %s, got %v", code, err)
	}
	_, err = b.payments.Confirm(t.Context(), second.ID, ordering.By{Actor: "key:x", Reason: strings.Repeat("x", ordering.MaxReason+1)})
	require.True(t, fault.HasCode(err, "reason_invalid"), "%v", err)
	require.Equal(t, before, b.int(t, `select count(*) from payment_events`))
	require.Empty(t, b.order(t, first.OrderID).ExceptionCode)
}

// Two cashiers, two attempts and the gateway, all at once: one attempt pays the order, and no money is lost sight of.
func TestConfirmationsRaceTheGateway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.anotherProcess(t)
	p := b.attempt(t)
	q := b.again(t, p.OrderID)
	var wg sync.WaitGroup
	for _, service := range []*payments.Service{b.payments, other} {
		for _, attempt := range []payments.Payment{p, q} {
			wg.Go(func() {
				if _, err := service.Confirm(t.Context(), attempt.ID, cashier); err != nil && !fault.HasCode(err, "order_paid_already") {
					t.Errorf("confirm: %v", err)
				}
			})
			callback := succeeded(attempt).signed(t, secret, time.Now())
			wg.Go(func() {
				if _, _, err := service.Receive(t.Context(), "sandbox", callback); err != nil {
					t.Errorf("receive: %v", err)
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, 1, b.int(t, `select count(*) from payments where status = 'succeeded'`))
	require.Equal(t, 1, b.int(t, `select count(*) from payments where status = 'exception'`))
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
	require.Equal(t, 1, b.int(t, `select count(*) from payment_events where outcome = 'second_payment'`))
}
