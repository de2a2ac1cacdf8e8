package life

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

var operator = ordering.By{Actor: "test"}

// delivered has an order of two lines, three units each, delivered.
func delivered(t *testing.T) (*bundle, uuid.UUID) {
	t.Helper()
	b, id := paid(t)
	b.work(t)
	require.Equal(t, ordering.Completed, b.order(t, id).Status)
	return b, id
}

func paid(t *testing.T) (*bundle, uuid.UUID) {
	t.Helper()
	b := setup(t)
	b.product(t, "card", inventory.KindCard, 4)
	b.product(t, "count", inventory.KindCounted, 4)
	id := b.place(t, ordering.Line{SKU: "card", Quantity: 3}, ordering.Line{SKU: "count", Quantity: 3})
	require.Equal(t, payments.Applied, b.receive(t, b.begin(t, id).ID, 6*price))
	return b, id
}

func (b *bundle) refund(id uuid.UUID, key string, lines ...ordering.RefundLine) (payments.Refunding, error) {
	return b.payments.Refund(context.Background(), id, payments.RefundRequest{Lines: lines, IdempotencyKey: key, By: operator})
}

func (b *bundle) refundStatus(t *testing.T, id uuid.UUID) payments.RefundStatus {
	t.Helper()
	r, err := b.payments.RefundByID(t.Context(), id)
	require.NoError(t, err)
	return r.Status
}

func TestConcurrentRefundsOfALineTakeWhatThereIs(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	other := b.start(t)
	t.Cleanup(other.close)
	var mu sync.Mutex
	made := 0
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			p := []*process{b.process, other}[i%2]
			_, err := p.payments.Refund(context.WithoutCancel(t.Context()), id, payments.RefundRequest{
				Lines: []ordering.RefundLine{{Line: 1, Quantity: 1}}, By: operator,
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !fault.HasCode(err, "refund_exceeds_order") {
				t.Errorf("want refund_exceeds_order, got %v", err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 3, made)
	b.work(t)
	require.EqualValues(t, 3*price, b.gateway.gaveBack())
	require.Equal(t, 3, b.int(t, `select count(*) from cards where state = 'revoked'`))
	require.Equal(t, 3, b.int(t, `select count(*) from outbox where type = 'order.refunded'`))
	require.Equal(t, ordering.PartiallyRefunded, b.order(t, id).PaymentStatus)
	b.requireAudit(t)
	_, err := b.refund(id, "")
	require.NoError(t, err)
	b.work(t)
	require.EqualValues(t, 6*price, b.gateway.gaveBack())
	require.Equal(t, ordering.Refunded, b.order(t, id).PaymentStatus)
	b.requireAudit(t)
}

func TestARepeatedRefundIsTheSame(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	ids := make([]uuid.UUID, 50)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			r, err := b.refund(id, "key", ordering.RefundLine{Line: 2, Quantity: 1}, ordering.RefundLine{Line: 1, Quantity: 2})
			noError(t, err)
			ids[i] = r.ID
		})
	}
	all.Wait()
	for _, other := range ids {
		require.Equal(t, ids[0], other)
	}
	r, err := b.refund(id, "key", ordering.RefundLine{Line: 1, Quantity: 1}, ordering.RefundLine{Line: 2, Quantity: 1},
		ordering.RefundLine{Line: 1, Quantity: 1})
	require.NoError(t, err, "the same units, said in another way")
	require.Equal(t, ids[0], r.ID)
	for what, lines := range map[string][]ordering.RefundLine{"everything": nil, "another line": {{Line: 1, Quantity: 1}}} {
		_, err = b.refund(id, "key", lines...)
		require.Truef(t, fault.HasCode(err, "idempotency_key_reused"), "%s: %v", what, err)
	}
	rest, err := b.refund(id, "rest")
	require.NoError(t, err)
	again, err := b.refund(id, "rest")
	require.NoError(t, err)
	require.Equal(t, rest.ID, again.ID)
	require.False(t, rest.Replayed)
	require.True(t, again.Replayed)
	_, err = b.refund(id, "key")
	require.True(t, fault.HasCode(err, "idempotency_key_reused"), "%v", err)
	b.work(t)
	require.EqualValues(t, 6*price, b.gateway.gaveBack())
	b.requireAudit(t)
}

// Whichever is first: units are delivered and revoked, or returned, and never both.
func TestRefundsWhileDelivering(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const orders = 40
	b.product(t, "card", inventory.KindCard, 2*orders)
	ids := make([]uuid.UUID, orders)
	for i := range ids {
		ids[i] = b.place(t, ordering.Line{SKU: "card", Quantity: 2})
		b.receive(t, b.begin(t, ids[i]).ID, 2*price)
	}
	b.relayAll(t)
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			quantity := 1 + i%2
			_, err := b.refund(id, "", ordering.RefundLine{Line: 1, Quantity: quantity})
			noError(t, err)
		})
	}
	all.Go(func() { b.work(t) })
	all.Wait()
	b.work(t)
	require.EqualValues(t, orders/2*3*price, b.gateway.gaveBack())
	require.Zero(t, b.int(t, `select count(*) from orders where status not in ('completed', 'canceled')`))
	b.requireAudit(t)
}

func TestAnUnknownRefundIsAskedAboutAndGivenOnce(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	b.gateway.answerWith(func(payments.Refund) (bool, payments.RefundAnswer, error) {
		return true, payments.RefundAnswer{}, errDown // it did it, and its answer was lost
	})
	r, err := b.refund(id, "")
	require.NoError(t, err)
	b.work(t)
	require.Equal(t, payments.RefundUnknown, b.refundStatus(t, r.ID))
	require.Zero(t, b.int(t, `select count(*) from outbox where type like 'payment.refund%'`))
	b.crash(t)
	b.work(t)
	require.Equal(t, payments.RefundSucceeded, b.refundStatus(t, r.ID))
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'payment.refunded'`))
	require.EqualValues(t, 6*price, b.gateway.gaveBack())
	b.requireAudit(t)
}

func TestAPendingRefundIsTheJobs(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	b.gateway.answerWith(func(refund payments.Refund) (bool, payments.RefundAnswer, error) {
		return false, payments.RefundAnswer{Status: payments.RefundPending, Reference: "re_" + refund.ID.String()}, nil
	})
	r, err := b.refund(id, "")
	require.NoError(t, err)
	settle := func(want string) {
		t.Helper()
		_, err := b.payments.SettleRefund(t.Context(), r.ID, "", "test")
		require.True(t, fault.HasCode(err, want), "%v", err)
	}
	settle("refund_in_progress")
	b.work(t)
	settle("refund_in_progress")
	b.gateway.setDown(true)
	b.work(t)
	known, err := b.payments.RefundByID(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, payments.RefundUnknown, known.Status)
	require.Equal(t, "re_"+r.ID.String(), known.Reference, "what the gateway called it stays known")
	b.gateway.setDown(false)
	b.gateway.answerWith(nil)
	b.work(t)
	require.Equal(t, payments.RefundSucceeded, b.refundStatus(t, r.ID))
	settle("refund_finished")
	_, err = b.payments.SettleRefund(t.Context(), uuid.New(), "", "test")
	require.True(t, fault.HasCode(err, "refund_not_found"))
}

// A person gave the money back in another way, and says so.
func TestARefusedRefundIsSettledByAPerson(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	b.gateway.answerWith(func(payments.Refund) (bool, payments.RefundAnswer, error) {
		return false, payments.RefundAnswer{Status: payments.RefundRefused, Reason: "too late"}, nil
	})
	r, err := b.refund(id, "")
	require.NoError(t, err)
	b.work(t)
	require.Equal(t, payments.RefundRefused, b.refundStatus(t, r.ID))
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'payment.refund_failed'`))
	b.requireAudit(t)
	settled, err := b.payments.SettleRefund(t.Context(), r.ID, "cash", "test")
	require.NoError(t, err)
	require.Equal(t, payments.RefundSucceeded, settled.Status)
	require.Equal(t, "cash", settled.Reference)
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'payment.refunded'`), "subscribers hear of it as of any other")
	require.Zero(t, b.gateway.gaveBack())
	b.work(t)
	require.Zero(t, b.gateway.gaveBack(), "the job has nothing left to do")
}

// A channel that cannot give money back leaves it to a person.
func TestAManualRefund(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	withoutRefunds := struct{ payments.Channel }{payments.NewSandbox(b.clock.now, secret)}
	service := payments.NewService(b.pool, b.box, b.clock.now, withoutRefunds)
	t.Cleanup(service.Close)
	r, err := service.Refund(t.Context(), id, payments.RefundRequest{By: operator})
	require.NoError(t, err)
	require.Equal(t, payments.RefundManual, r.Status)
	b.work(t)
	require.Zero(t, b.gateway.gaveBack())
	settled, err := service.SettleRefund(t.Context(), r.ID, "", "test")
	require.NoError(t, err)
	require.Equal(t, payments.RefundSucceeded, settled.Status)
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'payment.refunded'`))
	b.requireAudit(t)
}

// A person settles what was unknown while the gateway is asked once more, and does it: that must not go unseen.
func TestMoneyThatWentBackTwiceIsAPersons(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	b.gateway.setDown(true)
	r, err := b.refund(id, "")
	require.NoError(t, err)
	b.work(t)
	b.gateway.setDown(false)
	b.gateway.answerWith(func(payments.Refund) (bool, payments.RefundAnswer, error) {
		_, err := b.payments.SettleRefund(t.Context(), r.ID, "cash", "test")
		noError(t, err)
		return true, payments.RefundAnswer{Status: payments.RefundSucceeded, Reference: "re_1"}, nil
	})
	b.work(t)
	require.Equal(t, 1, b.int(t, `select count(*) from river_job where kind = 'refund_payment'`), "the job fails, for good")
	settled, err := b.payments.RefundByID(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, "cash", settled.Reference)
}

func TestARefundThatLostItsJobGetsAnother(t *testing.T) {
	t.Parallel()
	b, id := delivered(t)
	r, err := b.refund(id, "")
	require.NoError(t, err)
	b.exec(t, `delete from river_job`)
	heal := func() int {
		n, err := b.payments.HealRefunds(t.Context(), b.jobs)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, heal())
	b.clock.forward(11 * time.Minute)
	require.Equal(t, 1, heal())
	require.Zero(t, heal())
	b.work(t)
	require.Equal(t, payments.RefundSucceeded, b.refundStatus(t, r.ID))
	require.EqualValues(t, 6*price, b.gateway.gaveBack())
	require.Zero(t, heal())
}

// What is released while it is rejected is not taken from the buyer.
func TestOnlyAHeldOrderIsRejected(t *testing.T) {
	t.Parallel()
	b, _ := paid(t)
	b.product(t, "other", inventory.KindCounted, 100)
	var rejected, released int
	for i := range 30 {
		id := b.place(t, ordering.Line{SKU: "other", Quantity: 1})
		if i%2 == 0 {
			b.receive(t, b.begin(t, id).ID, price)
		}
		_, err := b.orders.Hold(t.Context(), id, operator)
		require.NoError(t, err)
		var rejectErr, releaseErr error
		var both sync.WaitGroup
		both.Go(func() { _, rejectErr = b.payments.Reject(context.WithoutCancel(t.Context()), b.orders, id, operator) })
		both.Go(func() { _, releaseErr = b.orders.Release(context.WithoutCancel(t.Context()), id, operator) })
		both.Wait()
		if rejectErr == nil {
			rejected++
			require.Equal(t, ordering.Canceled, b.order(t, id).Status)
			require.True(t, fault.HasCode(releaseErr, "order_state_wrong"), "%v", releaseErr)
			continue
		}
		released++
		require.True(t, fault.HasCode(rejectErr, "order_state_wrong"), "%v", rejectErr)
		require.NoError(t, releaseErr)
		require.NotEqual(t, ordering.Canceled, b.order(t, id).Status)
	}
	t.Logf("%d rejected, %d released", rejected, released)
	b.work(t)
	b.requireAudit(t)
}
