package ordering

import (
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

// move is one step that an order may take: what happens to it in a status, and the status after.
type move struct {
	event string
	from  Status
	to    Status
	when  func(*Order) bool // nil: always
}

// machine is every step there is; the first that fits is taken. A step that is not here is refused, whoever asks for it.
var machine = []move{
	{EventPaid, PendingPayment, Processing, nil},
	{EventPaid, OnHold, OnHold, nil},      // the money is in, and a person decides
	{EventPaid, Expired, Processing, nil}, // late, and there was stock

	{EventCompleted, Processing, Completed, nil},

	{EventOnHold, PendingPayment, OnHold, nil},
	{EventOnHold, Processing, OnHold, nil},
	{EventOnHold, OnHold, OnHold, isShort}, // it would go on by itself, and a person does not want that
	{EventOnHold, Expired, OnHold, nil},    // late money, no stock
	{EventOnHold, Canceled, OnHold, nil},   // late money for what somebody had canceled

	{EventReleased, OnHold, PendingPayment, isUnpaid},
	{EventReleased, OnHold, Processing, isPaid},

	{EventExpired, PendingPayment, Expired, isUnpaid},
	{EventExpired, OnHold, Expired, isUnpaid},

	{EventCanceled, PendingPayment, Canceled, isUnpaid},
	{EventCanceled, OnHold, Canceled, isUnpaid},

	{EventRefunded, Processing, Canceled, isAllRefunded},
	{EventRefunded, OnHold, Canceled, isAllRefunded},
	{EventRefunded, Processing, Processing, isPaid},
	{EventRefunded, OnHold, OnHold, isPaid},
	{EventRefunded, Completed, Completed, isPaid},
}

func isShort(o *Order) bool       { return o.HoldReason == HoldCardShortage }
func isUnpaid(o *Order) bool      { return o.PaymentStatus == Unpaid }
func isPaid(o *Order) bool        { return o.PaymentStatus != Unpaid }
func isAllRefunded(o *Order) bool { return o.PaymentStatus == Refunded }

// By says who takes a step, and why.
type By struct {
	Actor       string // "key:ab12cd34", "buyer", "gateway:stripe", "system:expiry"
	Reason      string // in their words; may be empty
	Traceparent string // of the request or job that does it
}

// The actors that are no person.
var (
	byDelivery = By{Actor: "system:delivery"}
	byExpiry   = By{Actor: "system:expiry"}
	byRestock  = By{Actor: "system:restock"}
)

// entry is a step on an order's timeline.
type entry struct {
	sequence int
	event    string
	status   Status
	payment  PaymentStatus
	units    FulfillmentStatus
	by       By
}

// CanStep says whether an order may take a step as it stands.
func (o *Order) CanStep(event string) bool { return o.find(event) != nil }

func (o *Order) find(event string) *move {
	for i := range machine {
		if m := &machine[i]; m.event == event && m.from == o.Status && (m.when == nil || m.when(o)) {
			return m
		}
	}
	return nil
}

// MustBeHeld refuses an order that is not on hold. Fault: order_state_wrong.
func (o *Order) MustBeHeld() error {
	if o.Status != OnHold {
		return o.refuse()
	}
	return nil
}

func (o *Order) refuse() error {
	return fault.New(fault.Conflict, "order_state_wrong", "order_id", o.ID, "status", o.Status, "payment_status", o.PaymentStatus)
}

// step moves a locked order along the machine, in memory: Save writes it. set makes the changes that come with it, after
// the status. Fault: order_state_wrong.
func (o *Order) step(tx *outbox.Tx, event string, by By, set func()) error {
	m := o.find(event)
	if m == nil {
		return o.refuse()
	}
	o.Status = m.to
	if m.to != OnHold {
		o.HoldReason = ""
	}
	if set != nil {
		set()
	}
	o.Sequence++
	o.story = append(o.story, entry{o.Sequence, event, o.Status, o.PaymentStatus, o.FulfillmentStatus, by})
	return appendEvent(tx, o, event)
}
