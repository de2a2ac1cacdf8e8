package life

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
)

// Where an order stands, and where each thing that may happen to it takes it. "=" leaves it where it is, "!" is refused as
// wrong in this state, "!stock" and "!units" for want of them. "part" has one of two units refunded, "back" both; "sold" is
// expired, and somebody else has its units; "late_off" had been canceled before its money came.
//
//nolint:dupword // a table
const moves = `
state           pay        wrong deliver        hold           release         cancel   expire  refund         refund1         reject
pending         processing wrong =              held           !               canceled expired !              !               !
held            held_paid  =     =              !              pending         canceled expired !              !               canceled
wrong           wrong_paid =     =              !              pending         canceled expired !              !               canceled
processing      =          =     completed      held_paid      !               !        =       refunded       processing_part !
processing_part =          =     completed_part held_paid_part !               !        =       refunded       refunded        !
held_paid       =          =     =              !              processing      !        =       refunded       held_paid_part  refunded
held_paid_part  =          =     =              !              processing_part !        =       refunded       refunded        refunded
wrong_paid      =          =     =              !              processing      !        =       refunded       wrong_paid_part refunded
short           =          =     =              held_paid      processing      !        =       refunded       short_part      refunded
late            =          =     =              !              !stock          !        =       refunded       late_part       refunded
late_off        =          =     =              !              processing      !        =       refunded       late_off_part   refunded
completed       =          =     =              !              !               !        =       completed_back completed_part  !
completed_part  =          =     =              !              !               !        =       completed_back completed_back  !
completed_back  =          =     =              !              !               !        =       !units         !units          !
canceled        late_off   =     =              !              !               !        =       !              !               !
refunded        =          =     =              !              !               !        =       !              !               !
expired         processing =     =              !              !               !        =       !              !               !
sold            late       =     =              !              !               !        =       !              !               !
`

// paths lead a new order to each state.
var paths = map[string]string{
	"pending": "", "held": "hold", "wrong": "wrong", "processing": "pay", "processing_part": "pay refund1",
	"held_paid": "pay hold", "held_paid_part": "pay hold refund1", "wrong_paid": "wrong pay", "short": "pay lose deliver",
	"late": "expire sell pay", "late_off": "cancel pay", "completed": "pay deliver", "completed_part": "pay deliver refund1",
	"completed_back": "pay deliver refund", "canceled": "cancel", "refunded": "pay refund", "expired": "expire", "sold": "expire sell",
}

// whatHappens gives, for each thing that may happen, who did it and the event that tells of it. Late money that cannot be
// used takes two steps.
var whatHappens = map[string]struct{ actor, event string }{
	"pay": {"gateway:sandbox", "order.paid"}, "wrong": {"gateway:sandbox", "order.on_hold"}, "deliver": {"system:delivery", "order.completed"},
	"hold": {"test", "order.on_hold"}, "release": {"test", "order.released"}, "cancel": {"test", "order.canceled"},
	"expire": {"system:expiry", "order.expired"}, "refund": {"test", "order.refunded"}, "refund1": {"test", "order.refunded"},
	"reject": {"test", ""}, // canceled or refunded
}

// subject is an order of two cards with two attempts to pay it.
type subject struct {
	*bundle

	sku      string
	id       uuid.UUID
	attempts []uuid.UUID
}

func TestEveryStepOfTheMachine(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(moves), "\n")
	happenings := strings.Fields(lines[0])[1:]
	require.Len(t, happenings, len(whatHappens))
	require.Len(t, lines[1:], len(paths))
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		require.Len(t, cells, len(happenings)+1, line)
		t.Run(cells[0], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			for i, happening := range happenings {
				s := b.subject(t, "card-"+happening)
				for step := range strings.FieldsSeq(paths[cells[0]]) {
					require.NoError(t, s.happens(t, step), "on the way to %s: %s", cells[0], step)
				}
				require.Equal(t, strings.Replace(cells[0], "sold", "expired", 1), standing(b.order(t, s.id)))
				s.mustGo(t, cells[0], happening, cells[i+1])
			}
			b.requireAudit(t)
		})
	}
}

func (s *subject) mustGo(t *testing.T, from, happening, want string) {
	t.Helper()
	what := from + ": " + happening
	before := s.order(t, s.id)
	events := s.int(t, `select count(*) from outbox where aggregateid = $1`, s.id.String())
	err := s.happens(t, happening)
	after := s.order(t, s.id)
	told := s.int(t, `select count(*) from outbox where aggregateid = $1`, s.id.String()) - events
	timeline, timelineErr := s.orders.Timeline(t.Context(), s.id)
	require.NoError(t, timelineErr)
	require.Len(t, timeline, after.Sequence, what)
	require.Equal(t, after.Sequence-before.Sequence, told, "%s: each step is an event", what)

	codes := map[string]string{"!": "order_state_wrong", "!stock": "out_of_stock", "!units": "refund_exceeds_order"}
	if code := codes[want]; code != "" {
		require.Truef(t, fault.HasCode(err, code), "%s: want %s, got %v", what, code, err)
	} else {
		require.NoError(t, err, what)
	}
	if strings.HasPrefix(want, "!") || want == "=" {
		require.Equal(t, before.Sequence, after.Sequence, what)
		require.Equal(t, standing(before), standing(after), what)
		return
	}
	require.Equal(t, want, standing(after), what)
	last, expected := timeline[len(timeline)-1], whatHappens[happening]
	require.Equal(t, expected.actor, last.Actor, what)
	require.Equal(t, after.Status, last.Status, what)
	require.Equal(t, after.PaymentStatus, last.PaymentStatus, what)
	require.Equal(t, after.FulfillmentStatus, last.FulfillmentStatus, what)
	if expected.event != "" {
		require.Equal(t, expected.event, last.Event, what)
	}
	require.Equal(t, 1, s.int(t, `select count(*) from outbox where aggregateid = $1 and sequence = $2 and type = $3`,
		s.id.String(), after.Sequence, last.Event), what)
}

func (b *bundle) subject(t *testing.T, sku string) *subject {
	t.Helper()
	b.product(t, sku, inventory.KindCard, 2)
	id := b.place(t, ordering.Line{SKU: sku, Quantity: 2})
	return &subject{b, sku, id, []uuid.UUID{b.begin(t, id).ID, b.begin(t, id).ID}}
}

func (s *subject) happens(t *testing.T, what string) (err error) {
	t.Helper()
	ctx := t.Context()
	switch what {
	case "pay": // by the first attempt that has not
		used := s.int(t, `select count(*) from payments where order_id = $1 and status = 'succeeded'`, s.id)
		s.receive(t, s.attempts[used], 2*price)
	case "wrong":
		require.Equal(t, payments.WrongAmount, s.receive(t, s.attempts[1], 2*price-1-int64(s.int(t, `select count(*) from payment_events`))))
	case "deliver":
		err = s.box.InTx(ctx, func(tx *outbox.Tx) error {
			_, err := fulfillment.Deliver(ctx, tx, []uuid.UUID{s.id})
			return err
		})
	case "hold":
		_, err = s.orders.Hold(ctx, s.id, operator)
	case "release":
		_, err = s.orders.Release(ctx, s.id, operator)
	case "cancel":
		_, err = s.orders.Cancel(ctx, s.id, operator)
	case "reject":
		_, err = s.payments.Reject(ctx, s.orders, s.id, operator)
	case "refund":
		_, err = s.refund(s.id, "")
	case "refund1":
		_, err = s.refund(s.id, "", ordering.RefundLine{Line: 1, Quantity: 1})
	case "expire":
		s.clock.forward(ordering.HoldTTL)
		_, err = s.payments.ExpireDue(ctx)
	case "lose":
		require.Equal(t, 2, s.loseCards(t, s.sku, 2))
	case "sell":
		id := s.place(t, ordering.Line{SKU: s.sku, Quantity: 2})
		s.receive(t, s.begin(t, id).ID, 2*price)
	}
	return err
}

// standing names where an order stands, in the table's words.
func standing(o *ordering.Order) string {
	name := string(o.Status)
	switch {
	case o.Status == ordering.PendingPayment:
		name = "pending"
	case o.Status == ordering.OnHold:
		name = map[string]string{
			ordering.HoldManual: "held", ordering.HoldWrongAmount: "wrong", ordering.HoldCardShortage: "short",
			ordering.HoldLateNoStock: "late", ordering.HoldLateCanceled: "late_off",
		}[o.HoldReason]
		if o.PaymentStatus != ordering.Unpaid && slices.Contains([]string{"held", "wrong"}, name) {
			name += "_paid"
		}
	case o.Status == ordering.Canceled && o.PaymentStatus == ordering.Refunded:
		return "refunded"
	}
	if o.PaymentStatus == ordering.PartiallyRefunded {
		return name + "_part"
	}
	if o.PaymentStatus == ordering.Refunded {
		return name + "_back"
	}
	return name
}

func TestALimitedHoldIsNotShorterThanTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "count", inventory.KindCounted, 1)
	id := b.place(t, ordering.Line{SKU: "count", Quantity: 1})
	long := b.clock.now().Add(72 * time.Hour)
	b.exec(t, `update orders set expires_at = $1`, long)
	o, err := b.orders.Hold(t.Context(), id, operator)
	require.NoError(t, err)
	require.Equal(t, long, o.ExpiresAt.UTC())
}
