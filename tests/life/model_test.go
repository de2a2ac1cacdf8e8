package life

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// model is what the rooms should come to, said as simply as it goes: no locks, no batches, no database.
type model struct {
	shelf    map[string]*modelStock
	orders   []*modelOrder
	attempts []*modelAttempt
	queue    []*modelOrder // deliveries, in the order in which they will be worked
	owed     int64         // what gateways give back
	atOnce   bool          // cards that are there come with their payment
}

type modelStock struct {
	card      bool
	available int
	cards     int // on the shelf and good
}

type modelItem struct {
	SKU                                     string
	Quantity, Fulfilled, Refunded, Returned int
}

func (i *modelItem) due() int { return i.Quantity - i.Fulfilled - i.Returned }

type modelOrder struct {
	ID        uuid.UUID
	Status    ordering.Status
	Payment   ordering.PaymentStatus
	Units     ordering.FulfillmentStatus
	Hold      string
	Exception string
	Items     []modelItem
	Total     int64
	Refunded  int64
	Sequence  int
	Expires   time.Time
	Paid      time.Time
}

type modelAttempt struct {
	id        uuid.UUID
	order     *modelOrder
	begun     time.Time
	succeeded bool
	pending   bool
	accepted  bool // a person has taken another amount for the whole
	askable   bool
	quiet     bool            // the money is at the gateway, and no notice came
	seen      map[string]bool // event ids
}

func (o *modelOrder) unpaid() bool { return o.Payment == ordering.Unpaid }

func (o *modelOrder) step(to ordering.Status) {
	o.Status = to
	o.Sequence++
	if to != ordering.OnHold {
		o.Hold = ""
	}
}

func (o *modelOrder) holdsStock() bool {
	return o.Status == ordering.PendingPayment || o.Status == ordering.Processing ||
		o.Status == ordering.OnHold && o.Hold != ordering.HoldLateNoStock && o.Hold != ordering.HoldLateCanceled
}

// wants sums the order's lines by SKU.
func (o *modelOrder) wants() map[string]int {
	sum := map[string]int{}
	for i := range o.Items {
		sum[o.Items[i].SKU] += o.Items[i].due()
	}
	return sum
}

func (m *model) place(id uuid.UUID, items []modelItem, now time.Time) *modelOrder {
	o := &modelOrder{
		ID: id, Status: ordering.PendingPayment, Payment: ordering.Unpaid, Units: ordering.Unfulfilled, Items: items, Sequence: 1,
		Expires: now.Add(30 * time.Minute),
	}
	for _, item := range items {
		o.Total += int64(item.Quantity) * price
	}
	m.move(o.wants(), -1)
	m.orders = append(m.orders, o)
	return o
}

func (m *model) move(units map[string]int, sign int) {
	for sku, n := range units {
		m.shelf[sku].available += sign * n
	}
}

func (m *model) canReserve(units map[string]int) bool {
	for sku, n := range units {
		if m.shelf[sku].available < n {
			return false
		}
	}
	return true
}

func (m *model) hasCards(units map[string]int) bool {
	for sku, n := range units {
		if m.shelf[sku].card && m.shelf[sku].cards < n {
			return false
		}
	}
	return true
}

func (m *model) takeCards(units map[string]int) {
	for sku, n := range units {
		if m.shelf[sku].card {
			m.shelf[sku].cards -= n
		}
	}
}

// notice is what a notice over an amount should come to.
func (m *model) notice(a *modelAttempt, amount int64, eventID string, now time.Time) payments.Outcome {
	if a.seen[eventID] {
		return payments.Repeated
	}
	a.seen[eventID] = true
	o := a.order
	switch {
	case amount != o.Total:
		if !a.succeeded {
			a.pending = false
		}
		o.Exception = "wrong_amount"
		if o.Status == ordering.PendingPayment {
			o.step(ordering.OnHold)
			o.Hold, o.Expires = ordering.HoldWrongAmount, now.Add(24*time.Hour)
		}
		return payments.WrongAmount
	case a.succeeded && !a.accepted:
		return payments.Repeated
	case !o.unpaid():
		a.pending = false
		o.Exception = "second_payment"
		return payments.SecondPayment
	}
	a.succeeded, a.pending = true, false
	return m.pay(o, now)
}

func (m *model) pay(o *modelOrder, now time.Time) payments.Outcome {
	outcome := m.markPaid(o)
	m.deliverOrQueue(o, now)
	return outcome
}

// confirm takes a person's word for an attempt. It gives the fault's code, or nothing.
func (m *model) confirm(a *modelAttempt, now time.Time) string {
	o := a.order
	switch {
	case a.succeeded:
		return ""
	case !o.unpaid():
		return "order_paid_already"
	}
	a.accepted = !a.pending
	if a.accepted && o.Hold == ordering.HoldWrongAmount && !m.isOtherInDoubt(a) {
		o.Expires = now.Add(30 * time.Minute)
		o.step(ordering.PendingPayment)
	}
	a.succeeded, a.pending = true, false
	m.markPaid(o)
	m.deliverOrQueue(o, now)
	return ""
}

func (m *model) isOtherInDoubt(a *modelAttempt) bool {
	return slices.ContainsFunc(m.attempts, func(other *modelAttempt) bool {
		return other != a && other.order == a.order && !other.pending && !other.succeeded
	})
}

func (m *model) deliverOrQueue(o *modelOrder, now time.Time) {
	o.Paid = now
	if m.atOnce && o.Status == ordering.Processing && m.hasCards(o.wants()) && !m.owesBefore(o) {
		m.deliver(o)
		return
	}
	m.queue = append(m.queue, o)
}

// owesBefore says whether an order that has waited for longer will get cards that this one wants.
func (m *model) owesBefore(o *modelOrder) bool {
	return slices.ContainsFunc(m.orders, func(other *modelOrder) bool {
		return other.Status == ordering.Processing && other.Paid.Before(o.Paid.Add(-2*time.Second)) &&
			slices.ContainsFunc(o.Items, func(item modelItem) bool { return m.shelf[item.SKU].card && other.has(item.SKU) })
	})
}

func (o *modelOrder) has(sku string) bool {
	return slices.ContainsFunc(o.Items, func(item modelItem) bool { return item.SKU == sku })
}

func (m *model) deliver(o *modelOrder) {
	m.takeCards(o.wants())
	for i := range o.Items {
		o.Items[i].Fulfilled += o.Items[i].due()
	}
	o.step(ordering.Completed)
	o.Units = ordering.Fulfilled
}

func (m *model) markPaid(o *modelOrder) payments.Outcome {
	hold := ordering.HoldLateCanceled
	if o.Status == ordering.Expired {
		hold = ordering.HoldLateNoStock
	}
	revived := o.Status == ordering.Expired && m.canReserve(o.wants())
	switch {
	case revived:
		m.move(o.wants(), -1)
	case o.Status == ordering.Expired || o.Status == ordering.Canceled:
		o.step(ordering.OnHold)
		o.step(ordering.OnHold)
		o.Hold, o.Payment, o.Exception = hold, ordering.Paid, "late_payment"
		return payments.LatePayment
	case o.Status == ordering.OnHold:
		o.step(ordering.OnHold)
		o.Payment = ordering.Paid
		return payments.Applied
	}
	o.step(ordering.Processing)
	o.Payment = ordering.Paid
	return payments.Applied
}

// expireDue asks about the attempts of what is due, and ends what nobody has paid.
func (m *model) expireDue(now time.Time) {
	due := m.due(now)
	for _, a := range m.attempts {
		if slices.Contains(due, a.order) {
			m.ask(a, now)
		}
	}
	for _, o := range due {
		if (o.Status == ordering.PendingPayment || o.Status == ordering.OnHold) && o.unpaid() && !o.Expires.After(now) {
			m.move(o.wants(), 1)
			o.step(ordering.Expired)
		}
	}
}

func (m *model) due(now time.Time) (due []*modelOrder) {
	for _, o := range m.orders {
		if (o.Status == ordering.PendingPayment || o.Status == ordering.OnHold) && o.unpaid() && !o.Expires.After(now) {
			due = append(due, o)
		}
	}
	return due
}

func (m *model) ask(a *modelAttempt, now time.Time) {
	if a.pending && a.askable && a.quiet {
		m.notice(a, a.order.Total, "query", now)
	}
}

func (m *model) askAll(now time.Time) {
	for _, a := range m.attempts {
		if a.pending && a.askable {
			m.ask(a, now)
			a.askable = a.begun.After(now.Add(-48 * time.Hour))
		}
	}
}

func (m *model) canHold(o *modelOrder) bool {
	return o.Status == ordering.PendingPayment || o.Status == ordering.Processing ||
		o.Status == ordering.OnHold && o.Hold == ordering.HoldCardShortage
}

func (m *model) hold(o *modelOrder, now time.Time) {
	if o.unpaid() {
		o.Expires = now.Add(24 * time.Hour)
	}
	o.step(ordering.OnHold)
	o.Hold = ordering.HoldManual
}

// release gives the fault's code, or nothing.
func (m *model) release(o *modelOrder, now time.Time) string {
	if o.Status != ordering.OnHold {
		return "order_state_wrong"
	}
	if !o.holdsStock() {
		if !m.canReserve(o.wants()) {
			return "out_of_stock"
		}
		m.move(o.wants(), -1)
	}
	if o.unpaid() {
		o.Expires = now.Add(30 * time.Minute)
		o.step(ordering.PendingPayment)
	} else {
		o.step(ordering.Processing)
	}
	m.queue = append(m.queue, o)
	return ""
}

func (m *model) cancel(o *modelOrder) string {
	if !o.unpaid() || o.Status != ordering.PendingPayment && o.Status != ordering.OnHold {
		return "order_state_wrong"
	}
	m.move(o.wants(), 1)
	o.step(ordering.Canceled)
	return ""
}

func (m *model) reject(o *modelOrder) string {
	switch {
	case o.Status != ordering.OnHold:
		return "order_state_wrong"
	case o.unpaid():
		return m.cancel(o)
	default:
		return m.refund(o, nil)
	}
}

// refund takes so many units of each line, all that are left when quantities is nil.
func (m *model) refund(o *modelOrder, quantities []int) string {
	if o.unpaid() || o.Status != ordering.Processing && o.Status != ordering.OnHold && o.Status != ordering.Completed {
		return "order_state_wrong"
	}
	units := 0
	for i := range o.Items {
		left := o.Items[i].Quantity - o.Items[i].Refunded
		switch {
		case quantities == nil:
			units += left
		case quantities[i] > left:
			return "refund_exceeds_order"
		default:
			units += quantities[i]
		}
	}
	if units == 0 {
		return "refund_exceeds_order"
	}
	holds := o.holdsStock()
	for i := range o.Items {
		item := &o.Items[i]
		n := item.Quantity - item.Refunded
		if quantities != nil {
			n = quantities[i]
		}
		returned := min(n, item.due())
		if holds {
			m.shelf[item.SKU].available += returned
		}
		item.Refunded += n
		item.Returned += returned
	}
	o.Refunded += int64(units) * price
	m.owed += int64(units) * price
	o.Payment = ordering.PartiallyRefunded
	to := o.Status
	if o.Refunded == o.Total {
		o.Payment = ordering.Refunded
		if o.Status != ordering.Completed {
			to = ordering.Canceled
		}
	}
	o.step(to)
	return ""
}

// work delivers what is to be delivered, one after the other.
