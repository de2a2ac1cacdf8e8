// Package ordering is the life of an order: placed, paid, held, completed. Every operation here works on a set and runs
// in its caller's transaction; a single request is a set of one.
package ordering

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/money"
)

// Status is where an order stands as a whole.
type Status string

// The statuses of an order.
const (
	PendingPayment Status = "pending_payment"
	OnHold         Status = "on_hold" // a person has to decide; hold_reason says why
	Processing     Status = "processing"
	Completed      Status = "completed"
	Canceled       Status = "canceled"
	Expired        Status = "expired"
)

// PaymentStatus is what has become of the money.
type PaymentStatus string

// The payment statuses of an order.
const (
	Unpaid            PaymentStatus = "unpaid"
	Paid              PaymentStatus = "paid"
	PartiallyRefunded PaymentStatus = "partially_refunded"
	Refunded          PaymentStatus = "refunded"
)

// FulfillmentStatus is what has become of the goods.
type FulfillmentStatus string

// The fulfillment statuses of an order.
const (
	Unfulfilled        FulfillmentStatus = "unfulfilled"
	PartiallyFulfilled FulfillmentStatus = "partially_fulfilled"
	Fulfilled          FulfillmentStatus = "fulfilled"
)

// Why an order is on hold.
const (
	HoldWrongAmount  = "wrong_amount"          // a payment of another amount or currency was recorded
	HoldCardShortage = "card_shortage"         // paid, and the stock's cards are missing: goes on when there are cards
	HoldLateNoStock  = "late_payment_no_stock" // paid after it had expired; holds no stock, goes on when there is some
	HoldLateCanceled = "late_payment_canceled" // paid after it was canceled; holds no stock
	HoldManual       = "manual"                // an operator's
	HoldRisk         = "risk"                  // the risk rules', or the scorer's; the timeline says which
)

// Kind of a product.
const (
	KindCard    = "card"    // each unit is a card of its own
	KindCounted = "counted" // a number is enough (top-ups)
)

// Money is an amount with its currency.
type Money = money.Money

// Item is one line of an order, with the product's name and price as they were when it was placed.
type Item struct {
	Line              int
	ProductID         uuid.UUID
	SKU               string
	Name              string
	Kind              string
	Quantity          int
	FulfilledQuantity int
	RefundedQuantity  int
	ReturnedQuantity  int   // of the refunded: had not been delivered, and went back to the stock
	UnitPrice         int64 // minor units of the order's currency
}

// Order is an order as it is stored.
type Order struct {
	ID                uuid.UUID
	Number            string
	Status            Status
	PaymentStatus     PaymentStatus
	FulfillmentStatus FulfillmentStatus
	HoldReason        string // "" unless on hold
	ExceptionCode     string // what is wrong with its money, "" when nothing is
	Currency          string
	Total             int64 // minor units
	PaidAmount        int64 // minor units
	RefundedAmount    int64 // minor units
	ContactMasked     json.RawMessage
	Locale            string // "en" or "zh"
	Metadata          json.RawMessage
	Items             []Item
	Sequence          int    // counts the order's events
	Traceparent       string // of the request that placed it
	PlacedAt          time.Time
	ExpiresAt         time.Time
	PaidAt            time.Time // zero: not yet
	CompletedAt       time.Time // zero: not yet
	ClosedAt          time.Time // zero: neither canceled nor expired

	ttl    time.Duration // how long it could be paid when it was placed, as it is stored
	readAt int           // the sequence as it is stored
	story  []entry       // steps that Save will write
}

// OrderItem is an order line as callers and subscribers see it.
type OrderItem struct {
	Line              int    `json:"line" doc:"Position in the order, from 1." example:"1"`
	SKU               string `json:"sku" doc:"The product's SKU." example:"game-card-100"`
	Name              string `json:"name" doc:"The product's name when the order was placed." example:"Game card 100"`
	Kind              string `json:"kind" enum:"card,counted" doc:"card: each unit is a card code. counted: a number is enough." example:"card"`
	Quantity          int    `json:"quantity" doc:"Units ordered." example:"2"`
	FulfilledQuantity int    `json:"fulfilled_quantity" doc:"Units delivered so far." example:"0"`
	RefundedQuantity  int    `json:"refunded_quantity,omitempty" doc:"Units that were refunded. Cards of delivered ones are revoked." example:"1"`
	UnitPrice         Money  `json:"unit_price" doc:"Price of one unit when the order was placed."`
}

// View is an order as callers and subscribers see it. It holds no secret: the contact is masked.
type View struct {
	ID                uuid.UUID       `json:"id" doc:"UUIDv7." example:"019c5f6e-7c1a-7b60-9a54-1f0e8a2b3c4d"`
	Number            string          `json:"number" doc:"The number to tell a person." example:"261121-7K3M9XQ2WD"`
	Status            string          `json:"status" enum:"pending_payment,on_hold,processing,completed,canceled,expired" doc:"Where the order stands." example:"pending_payment"`
	PaymentStatus     string          `json:"payment_status" enum:"unpaid,paid,partially_refunded,refunded" doc:"What has become of the money." example:"unpaid"`
	FulfillmentStatus string          `json:"fulfillment_status" enum:"unfulfilled,partially_fulfilled,fulfilled" doc:"What has become of the goods." example:"unfulfilled"`
	HoldReason        string          `json:"hold_reason,omitempty" doc:"Why the order is on hold." example:"wrong_amount"`
	ExceptionCode     string          `json:"exception_code,omitempty" doc:"What is wrong with its payments." example:"second_payment"`
	Items             []OrderItem     `json:"items" doc:"The order's lines."`
	Total             Money           `json:"total" doc:"What the buyer has to pay."`
	Refunded          *Money          `json:"refunded,omitempty" doc:"What goes back, or has gone back, to the buyer."`
	Contact           json.RawMessage `json:"contact" doc:"The buyer's contact, masked."`
	Locale            string          `json:"locale" enum:"en,zh" doc:"Language of messages to the buyer." example:"zh"`
	Metadata          json.RawMessage `json:"metadata" doc:"The caller's own data, as it was sent."`
	Sequence          int             `json:"sequence" doc:"Counts the order's events from 1; a subscriber orders by it." example:"1"`
	PlacedAt          time.Time       `json:"placed_at" doc:"When the order was placed (UTC)."`
	ExpiresAt         time.Time       `json:"expires_at" doc:"Until when it can be paid (UTC)."`
	PaidAt            *time.Time      `json:"paid_at,omitempty" doc:"When it was paid (UTC)."`
	CompletedAt       *time.Time      `json:"completed_at,omitempty" doc:"When everything was delivered (UTC)."`
	ClosedAt          *time.Time      `json:"closed_at,omitempty" doc:"When it was canceled or expired (UTC)."`
}

// View is the order as it stands.
func (o *Order) View() View {
	v := View{
		ID: o.ID, Number: o.Number, Status: string(o.Status), PaymentStatus: string(o.PaymentStatus),
		FulfillmentStatus: string(o.FulfillmentStatus), HoldReason: o.HoldReason, ExceptionCode: o.ExceptionCode,
		Items: make([]OrderItem, len(o.Items)), Total: Money{Amount: o.Total, Currency: o.Currency}, Contact: o.ContactMasked,
		Locale: o.Locale, Metadata: o.Metadata, Sequence: o.Sequence, PlacedAt: o.PlacedAt.UTC(), ExpiresAt: o.ExpiresAt.UTC(),
		PaidAt: timeOrNil(o.PaidAt), CompletedAt: timeOrNil(o.CompletedAt), ClosedAt: timeOrNil(o.ClosedAt),
	}
	if o.RefundedAmount > 0 {
		v.Refunded = &Money{Amount: o.RefundedAmount, Currency: o.Currency}
	}
	for i, item := range o.Items {
		v.Items[i] = OrderItem{
			Line: item.Line, SKU: item.SKU, Name: item.Name, Kind: item.Kind, Quantity: item.Quantity,
			FulfilledQuantity: item.FulfilledQuantity, RefundedQuantity: item.RefundedQuantity,
			UnitPrice: Money{Amount: item.UnitPrice, Currency: o.Currency},
		}
	}
	return v
}

// ViewAsPlaced is the order as its first answer showed it, whatever has happened since: a repeated request gets the
// same response (promise I4). It is for what Place gave, which knows until when it first could be paid.
func (o *Order) ViewAsPlaced() View {
	first := *o
	first.Status, first.PaymentStatus, first.FulfillmentStatus = PendingPayment, Unpaid, Unfulfilled
	first.HoldReason, first.ExceptionCode, first.Sequence = "", "", 1
	first.PaidAt, first.CompletedAt, first.ClosedAt = time.Time{}, time.Time{}, time.Time{}
	first.RefundedAmount = 0
	first.Items = make([]Item, len(o.Items))
	copy(first.Items, o.Items)
	for i := range first.Items {
		first.Items[i].FulfilledQuantity, first.Items[i].RefundedQuantity = 0, 0
	}
	return first.View()
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
