package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// PaymentRecord is a payment as it is looked at afterwards.
type PaymentRecord struct {
	ID           uuid.UUID          `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The attempt's id. Money that came without an attempt has an id of its own."`
	Order        *PaymentOrder      `json:"order,omitempty" doc:"The order as it stands now; none for money that belongs to no attempt."`
	Channel      string             `json:"channel" example:"sandbox" doc:"The payment channel."`
	Account      string             `json:"account" example:"default" doc:"The channel's account that the attempt was made for, or that the notice came from."`
	Status       string             `json:"status" enum:"pending,succeeded,exception" example:"exception" doc:"exception: money came, and was not applied to the order."`
	Amount       money              `json:"amount" doc:"What was to be paid; of money without an attempt, what came."`
	CreatedAt    time.Time          `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When the attempt began, or the notice came."`
	SucceededAt  *time.Time         `json:"succeeded_at" nullable:"true" example:"2025-01-02T03:05:05Z" doc:"When it paid the order; null when it did not."`
	Confirmation string             `json:"confirmation,omitempty" enum:"lost_notice,late_notice,other_amount" example:"lost_notice" doc:"That a person confirmed it: lost_notice, nothing had come from the gateway; late_notice, nothing had, and its notice came after all; other_amount, what had come was taken for the whole."`
	Exceptions   []PaymentException `json:"exceptions" doc:"The notices that a person has to look at, oldest first."`
}

// PaymentOrder is what a payment's order has to do with it.
type PaymentOrder struct {
	ID            uuid.UUID       `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The order's id."`
	Number        string          `json:"number" example:"261121-7K3M9XQ2WD" doc:"The order's number."`
	Status        string          `json:"status" enum:"pending_payment,on_hold,processing,completed,canceled,expired" example:"on_hold" doc:"Where the order stands."`
	PaymentStatus string          `json:"payment_status" enum:"unpaid,paid,partially_refunded,refunded" example:"unpaid" doc:"What has become of its money."`
	HoldReason    string          `json:"hold_reason,omitempty" example:"wrong_amount" doc:"Why it is on hold."`
	Contact       json.RawMessage `json:"contact" doc:"The buyer's contact, masked."`
}

// PaymentException is a notice that a person has to look at. What the gateway sent is kept, and not shown.
type PaymentException struct {
	EventID    string    `json:"event_id" example:"evt_1" doc:"The gateway's id of the notice; confirmed:… is a person's word (confirm-payment)."`
	Type       string    `json:"type" example:"payment.succeeded" doc:"What it says."`
	Outcome    string    `json:"outcome" enum:"wrong_amount,second_payment,late_payment,unmatched" example:"wrong_amount" doc:"wrong_amount: not what was to be paid; an unpaid order went on hold. second_payment: the order had been paid by another attempt, or another amount of this one had been taken for the whole. late_payment: it had been canceled, or had expired and its stock was gone; it is paid and on hold. unmatched: there is no such attempt for this account."`
	Amount     money     `json:"amount" doc:"What came."`
	OccurredAt time.Time `json:"occurred_at" example:"2025-01-02T03:04:05Z" doc:"When it was paid, as the gateway says; when it was confirmed."`
	ReceivedAt time.Time `json:"received_at" example:"2025-01-02T03:04:06Z" doc:"When the notice came."`
}

func (s *Server) registerPaymentRecords() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-payments", Method: http.MethodGet, Path: "/v1/payments", Tags: []string{tagPayments},
			Summary: "List payments",
			Description: "Newest first, attempts as well as money that came without one. With exception, only what needs a person, the one " +
				"whose latest such notice came last first, however old the attempt is. The conditions can be combined.",
		},
		Auth: needs(access.PaymentsRead), Faults: []string{"cursor_invalid"},
	}, s.listPayments)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-payment", Method: http.MethodGet, Path: "/v1/payments/{id}", Tags: []string{tagPayments},
			Summary: "Get a payment", Description: "One payment with its order and the notices that a person has to look at.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.PaymentsRead), Faults: []string{"payment_not_found"},
	}, s.getPayment)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "confirm-payment", Method: http.MethodPost, Path: "/v1/payments/{id}/confirm", Tags: []string{tagPayments},
			Summary: "Confirm a payment by hand",
			Description: "You have made sure that the attempt was paid: its notice is lost and the gateway cannot be asked, or it was another " +
				"amount and you take it for the whole. The order goes on as by the gateway's own notice: it is assessed where there are risk " +
				"rules, reserves its units once more if it had expired, and waits for a person if it had been canceled. On hold for this " +
				"payment's wrong amount, it is released. The attempt counts as paid in full, and its refunds go to its gateway. The notice that " +
				"comes after all finds it paid. Repeated, it answers with the payment as it stands.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.PaymentsManage), Faults: []string{
			"payment_not_found", "payment_without_order", "payment_channel_unknown", "order_paid_already", "reason_invalid",
		},
	}, s.confirmPayment)
}

type confirmPaymentInput struct {
	UUIDPath

	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"500" pattern:"\\S" example:"Alipay shows it as paid, trade 2026112622001" doc:"How you know; it stays on the order's timeline, with your key."`
	}
}

func (s *Server) confirmPayment(ctx context.Context, in *confirmPaymentInput) (*getPaymentOutput, error) {
	record, err := s.deps.Payments.Confirm(ctx, in.ID, ordering.By{
		Actor: principalOf(ctx).Actor(), Reason: in.Body.Reason, Traceparent: telemetry.Traceparent(ctx),
	})
	if err != nil {
		return nil, err
	}
	return &getPaymentOutput{viewPaymentRecord(&record)}, nil
}

type listPaymentsInput struct {
	PageQuery

	OrderID   uuid.UUID `query:"order_id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"Only attempts to pay this order."`
	Exception string    `query:"exception" enum:"any,wrong_amount,second_payment,late_payment,unmatched" example:"any" doc:"Only payments with a notice of this outcome; any for all of them."`
	Channel   string    `query:"channel" pattern:"^[a-z][a-z0-9_]{0,31}$" example:"sandbox" doc:"Only payments through this channel."`
	Status    string    `query:"status" enum:"pending,succeeded,exception" example:"exception" doc:"Only payments with this status."`
}

type listPaymentsOutput struct{ Body listBody[PaymentRecord] }

func (s *Server) listPayments(ctx context.Context, in *listPaymentsInput) (*listPaymentsOutput, error) {
	filter := payments.Filter{Channel: in.Channel, Status: in.Status, OrderID: in.OrderID}
	switch in.Exception {
	case "":
	case "any":
		filter.Exceptions = payments.Exceptions()
	default:
		filter.Exceptions = []payments.Outcome{payments.Outcome(in.Exception)}
	}
	records, next, err := s.deps.Payments.List(ctx, filter, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]PaymentRecord, len(records))
	for i := range records {
		views[i] = viewPaymentRecord(&records[i])
	}
	return &listPaymentsOutput{list(views, next)}, nil
}

type getPaymentOutput struct{ Body PaymentRecord }

func (s *Server) getPayment(ctx context.Context, in *UUIDPath) (*getPaymentOutput, error) {
	record, err := s.deps.Payments.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &getPaymentOutput{viewPaymentRecord(&record)}, nil
}

func viewPaymentRecord(r *payments.Record) PaymentRecord {
	view := PaymentRecord{
		ID: r.ID, Order: viewPaymentOrder(r.Order), Channel: r.Channel, Account: r.Account, Status: r.Status, Amount: r.Amount,
		CreatedAt: utc(r.CreatedAt), SucceededAt: utcPtr(nullIfZero(r.SucceededAt)), Confirmation: string(r.Confirmation),
		Exceptions: make([]PaymentException, len(r.Exceptions)),
	}
	for i, e := range r.Exceptions {
		view.Exceptions[i] = PaymentException{
			EventID: e.EventID, Type: e.Type, Outcome: string(e.Outcome), Amount: e.Amount,
			OccurredAt: utc(e.OccurredAt), ReceivedAt: utc(e.ReceivedAt),
		}
	}
	return view
}

func viewPaymentOrder(o *ordering.Order) *PaymentOrder {
	if o == nil {
		return nil
	}
	return &PaymentOrder{
		ID: o.ID, Number: o.Number, Status: string(o.Status), PaymentStatus: string(o.PaymentStatus), HoldReason: o.HoldReason,
		Contact: o.ContactMasked,
	}
}
