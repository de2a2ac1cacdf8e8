package life

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
)

const (
	// stepsOfALife is how many commands one database gets.
	stepsOfALife = 200
	shortRun     = 600
	auditEvery   = 20
)

func TestMain(m *testing.M) {
	steps := shortRun
	if n, err := strconv.Atoi(os.Getenv("VENDBOX_LIFE_STEPS")); err == nil {
		steps = n
	}
	for name, value := range map[string]int{"rapid.checks": max(steps/stepsOfALife, 1), "rapid.steps": stepsOfALife} {
		if err := flag.Set(name, strconv.Itoa(value)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// Random commands come to what the model says, and keep every promise.
func TestLivesGoAsTheModelSays(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	defer func() { t.Logf("orders that the commands came upon: %v", seen) }()
	rapid.Check(t, func(rt *rapid.T) {
		l := &life{seen: seen, bundle: setup(t), m: &model{shelf: map[string]*modelStock{}, atOnce: rapid.Bool().Draw(rt, "at once")}}
		if l.atOnce = l.m.atOnce; l.atOnce {
			l.deliverAtOnce(nil)
		}
		for _, sku := range []string{"a", "b", "count"} {
			s := &modelStock{card: sku != "count", available: 4}
			kind := inventory.KindCounted
			if s.card {
				kind, s.cards = inventory.KindCard, s.available
			}
			l.product(rt, sku, kind, s.available)
			l.m.shelf[sku] = s
		}
		rt.Repeat(map[string]func(*rapid.T){
			"":      l.compare,
			"place": l.doPlace, "place again": l.doPlace, "begin": l.doBegin, "begin again": l.doBegin, "pay": l.doPay, "pay again": l.doPay,
			"pay wrongly": l.doPayWrongly, "confirm": l.doConfirm,
			"repeat": l.doRepeat, "pay quietly": l.doPayQuietly, "ask": l.doAsk, "expire": l.doExpire,
			"cancel": l.doCancel, "hold": l.doHold, "release": l.doRelease, "reject": l.doReject,
			"refund": l.doRefund, "refund lines": l.doRefundLines, "import": l.doImport, "lose cards": l.doLoseCards,
			"restock": l.doRestock, "work": l.doWork, "work more": l.doWork, "lose jobs": l.doLoseJobs,
			"crash": func(rt *rapid.T) { l.crash(rt) },
		})
		l.doWork(rt)
		l.requireAudit(rt)
	})
}

// life is the rooms and the model side by side.
type life struct {
	*bundle

	m     *model
	steps int
	told  []told         // notices, to be repeated
	seen  map[string]int // after each command, by status
}

type told struct {
	attempt *modelAttempt
	amount  int64
	eventID string
}

var background = context.Background()

func pick[T any](rt *rapid.T, what string, from []T) T {
	if len(from) == 0 {
		rt.Skip("there is none")
	}
	// The last are the ones that something may still happen to.
	from = from[max(0, len(from)-12):]
	return from[rapid.IntRange(0, len(from)-1).Draw(rt, what)]
}

func (l *life) doPlace(rt *rapid.T) {
	var lines []ordering.Line
	var items []modelItem
	for range rapid.IntRange(1, 2).Draw(rt, "lines") {
		sku, quantity := rapid.SampledFrom([]string{"a", "b", "count"}).Draw(rt, "sku"), rapid.IntRange(1, 2).Draw(rt, "quantity")
		lines = append(lines, ordering.Line{SKU: sku, Quantity: quantity})
		items = append(items, modelItem{SKU: sku, Quantity: quantity})
	}
	placed, err := l.orders.Place(background, ordering.Request{Lines: lines}, ordering.Caller{APIKeyID: uuid.New()})
	if !l.m.canReserve((&modelOrder{Items: items}).wants()) {
		require.True(rt, fault.HasCode(err, "out_of_stock"), "%v", err)
		return
	}
	require.NoError(rt, err)
	o := l.m.place(placed.Order.ID, items, placed.Order.PlacedAt)
	l.attempt(rt, o)
}

func (l *life) attempt(rt *rapid.T, o *modelOrder) {
	p := l.begin(rt, o.ID)
	l.m.attempts = append(l.m.attempts, &modelAttempt{
		id: p.ID, order: o, begun: p.CreatedAt, pending: true, askable: true, seen: map[string]bool{},
	})
}

func (l *life) doBegin(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	if o.Status == ordering.PendingPayment && o.Expires.After(l.clock.now()) {
		l.attempt(rt, o)
		return
	}
	_, err := l.payments.Begin(background, o.ID, "sandbox")
	require.True(rt, fault.HasCode(err, "order_not_payable"), "%v", err)
}

func (l *life) tell(rt *rapid.T, n told) {
	_, applied, err := l.payments.Receive(background, "sandbox", l.callback(rt, n.attempt.id, n.amount, n.eventID))
	require.NoError(rt, err)
	require.Equal(rt, l.m.notice(n.attempt, n.amount, n.eventID, l.clock.now()), applied.Outcome)
	l.told = append(l.told, n)
}

func (l *life) doPay(rt *rapid.T) {
	a := pick(rt, "attempt", l.m.attempts)
	l.tell(rt, told{a, a.order.Total, fmt.Sprintf("%s_%d", a.id, rapid.IntRange(0, 1).Draw(rt, "event"))})
}

func (l *life) doPayWrongly(rt *rapid.T) {
	a := pick(rt, "attempt", l.m.attempts)
	l.tell(rt, told{a, a.order.Total + int64(rapid.SampledFrom([]int{-1, 1, 100}).Draw(rt, "by")), uuid.NewString()})
}

func (l *life) doConfirm(rt *rapid.T) {
	a := pick(rt, "attempt", l.m.attempts)
	_, err := l.payments.Confirm(background, a.id, operator)
	l.requireFault(rt, l.m.confirm(a, l.clock.now()), err)
}

func (l *life) doRepeat(rt *rapid.T) { l.tell(rt, pick(rt, "notice", l.told)) }

func (l *life) doPayQuietly(rt *rapid.T) {
	a := pick(rt, "attempt", l.m.attempts)
	for _, other := range l.m.attempts {
		if other.quiet && other.pending {
			rt.Skip("which of two is found first is nobody's business")
		}
	}
	a.quiet = true
	l.gateway.pay(a.id, a.order.Total)
}

func (l *life) doAsk(rt *rapid.T) {
	l.exec(rt, `update payments set ask_at = $1 where ask_at is not null`, l.clock.now())
	_, err := l.payments.AskGateways(background)
	require.NoError(rt, err)
	l.m.askAll(l.clock.now())
}

func (l *life) doExpire(rt *rapid.T) {
	minutes := rapid.SampledFrom([]int{0, 1, 29, 30, 31, 24 * 60}).Draw(rt, "minutes")
	l.clock.forward(time.Duration(minutes) * time.Minute)
	_, err := l.payments.ExpireDue(background)
	require.NoError(rt, err)
	l.m.expireDue(l.clock.now())
}

func (l *life) requireFault(rt *rapid.T, want string, err error) {
	rt.Helper()
	if want == "" {
		require.NoError(rt, err)
		return
	}
	require.True(rt, fault.HasCode(err, want), "want %s, got %v", want, err)
}

func (l *life) doCancel(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	_, err := l.orders.Cancel(background, o.ID, operator)
	l.requireFault(rt, l.m.cancel(o), err)
}

func (l *life) doHold(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	_, err := l.orders.Hold(background, o.ID, operator)
	if !l.m.canHold(o) {
		l.requireFault(rt, "order_state_wrong", err)
		return
	}
	require.NoError(rt, err)
	l.m.hold(o, l.clock.now())
}

func (l *life) doRelease(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	_, err := l.orders.Release(background, o.ID, operator)
	l.requireFault(rt, l.m.release(o, l.clock.now()), err)
}

func (l *life) doReject(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	_, err := l.payments.Reject(background, l.orders, o.ID, operator)
	l.requireFault(rt, l.m.reject(o), err)
}

func (l *life) doRefund(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	_, err := l.refund(o.ID, "")
	l.requireFault(rt, l.m.refund(o, nil), err)
}

func (l *life) doRefundLines(rt *rapid.T) {
	o := pick(rt, "order", l.m.orders)
	line := rapid.IntRange(0, len(o.Items)-1).Draw(rt, "line")
	quantities := make([]int, len(o.Items))
	quantities[line] = rapid.IntRange(1, 2).Draw(rt, "quantity")
	_, err := l.refund(o.ID, "", ordering.RefundLine{Line: line + 1, Quantity: quantities[line]})
	l.requireFault(rt, l.m.refund(o, quantities), err)
}

func (l *life) doImport(rt *rapid.T) {
	sku, n := rapid.SampledFrom([]string{"a", "b", "count"}).Draw(rt, "sku"), rapid.IntRange(1, 3).Draw(rt, "units")
	s := l.m.shelf[sku]
	s.available += n
	if !s.card {
		_, err := l.stock.AdjustStock(background, sku, int64(n), "more", "test")
		require.NoError(rt, err)
		return
	}
	l.importCards(rt, sku, n)
	s.cards += n
}

func (l *life) doLoseCards(rt *rapid.T) {
	sku := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "sku")
	l.m.shelf[sku].cards -= l.loseCards(rt, sku, rapid.IntRange(1, 2).Draw(rt, "cards"))
}

func (l *life) doRestock(rt *rapid.T) {
	n, err := l.orders.ReleaseRestocked(background)
	require.NoError(rt, err)
	require.Equal(rt, l.m.restock(l.clock.now()), n)
}

func (l *life) doWork(rt *rapid.T) {
	l.work(rt)
	l.m.work()
	require.Equal(rt, l.m.owed, l.gateway.gaveBack())
}

func (l *life) doLoseJobs(rt *rapid.T) {
	l.relayAll(rt)
	l.exec(rt, `delete from river_job where kind = 'deliver_order'`)
	l.clock.forward(11 * time.Minute)
	healed, err := l.healer.Heal(background)
	require.NoError(rt, err)
	require.Equal(rt, l.m.heal(), healed)
}

// compare looks at everything after each command.
func (l *life) compare(rt *rapid.T) {
	for sku, s := range l.m.shelf {
		require.Equal(rt, s.available, l.int(rt, `select available from stock join products on id = product_id where sku = $1`, sku), sku)
		if s.card {
			require.Equal(rt, s.cards, l.int(rt, `select count(*) from cards c join products p on p.id = c.product_id
				where p.sku = $1 and c.state = 'available' and c.expires_at is null`, sku), sku)
		}
	}
	ids := make([]uuid.UUID, len(l.m.orders))
	for i, o := range l.m.orders {
		ids[i] = o.ID
	}
	orders, err := ordering.GetMany(background, l.pool, ids)
	require.NoError(rt, err)
	for _, want := range l.m.orders {
		got := orders[want.ID]
		require.Equal(rt, *want, asModel(got))
		l.seen[strings.Join([]string{string(want.Status), string(want.Payment), want.Hold}, " ")]++
		require.Equal(rt, got.Status == ordering.Canceled || got.Status == ordering.Expired, !got.ClosedAt.IsZero())
		require.Equal(rt, want.unpaid(), got.PaidAmount == 0)
	}
	require.Zero(rt, l.int(rt, `select count(*) from orders o
		left join lateral (select count(*) as n, max(t.sequence) as last from order_timeline t where t.order_id = o.id) t on true
		left join order_timeline e on e.order_id = o.id and e.sequence = t.last
		where t.n <> o.sequence - 1 or o.sequence > 1 and (t.last <> o.sequence or e.status <> o.status
			or e.payment_status <> o.payment_status or e.fulfillment_status <> o.fulfillment_status)`), "the timeline tells another story")
	if l.steps++; l.steps%auditEvery == 0 {
		l.requireAudit(rt)
	}
}

func asModel(o *ordering.Order) modelOrder {
	m := modelOrder{
		ID: o.ID, Status: o.Status, Payment: o.PaymentStatus, Units: o.FulfillmentStatus, Hold: o.HoldReason, Exception: o.ExceptionCode,
		Total: o.Total, Refunded: o.RefundedAmount, Sequence: o.Sequence, Expires: o.ExpiresAt.UTC(), Paid: o.PaidAt.UTC(),
	}
	for _, item := range o.Items {
		m.Items = append(m.Items, modelItem{item.SKU, item.Quantity, item.FulfilledQuantity, item.RefundedQuantity, item.ReturnedQuantity})
	}
	return m
}
