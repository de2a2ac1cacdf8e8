package payments

import (
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Outcome is what was done about a notice.
type Outcome string

// The outcomes. All but Applied, Repeated and Ignored are exceptions: money that a person has to look at.
const (
	Applied       Outcome = "applied"
	Repeated      Outcome = "repeated"       // the same payment succeeded before, under this or another event id
	WrongAmount   Outcome = "wrong_amount"   // amount or currency is not the attempt's
	SecondPayment Outcome = "second_payment" // the order was paid by other money
	LatePayment   Outcome = "late_payment"   // the order had ended: it is paid now, and on hold
	Unmatched     Outcome = "unmatched"      // there is no such attempt, or it was made for another account
	Ignored       Outcome = "ignored"        // a type that has no effect
)

func (o Outcome) isException() bool {
	return o != Applied && o != Repeated && o != Ignored
}

// judge decides what a notice means for an order, before anything is changed.
func judge(notice *Notice, payment *dbq.PaymentLockByIDsRow, order *ordering.Order) Outcome {
	switch {
	case notice.Type != TypeSucceeded:
		return Ignored
	case notice.Amount != amountOf(payment):
		return WrongAmount
	case payment.Status == "succeeded" && !isMoreMoney(notice, payment):
		return Repeated
	case order.PaymentStatus != ordering.Unpaid:
		return SecondPayment
	case order.Status == ordering.Canceled || order.Status == ordering.Expired:
		return LatePayment
	default:
		return Applied
	}
}

func amountOf(payment *dbq.PaymentLockByIDsRow) ordering.Money {
	return ordering.Money{Amount: payment.Amount, Currency: payment.Currency}
}

// sameDoubt says whether a notice tells, under another id, of money that is or was in doubt already: an answer to our question and
// then the callback, or a gateway's two words for one payment.
func sameDoubt(notice *Notice, payment *dbq.PaymentLockByIDsRow, order *ordering.Order, outcome Outcome) bool {
	return outcome.isException() && (payment.Status == "exception" || payment.Confirmation != "") &&
		order.ExceptionCode == string(outcome) && sameMoney(notice, payment)
}

// sameMoney says whether the gateway calls the money what it called that of the attempt before.
func sameMoney(notice *Notice, payment *dbq.PaymentLockByIDsRow) bool {
	return notice.Reference != "" && notice.Reference == payment.Reference
}

// isMoreMoney says whether a notice over the right amount tells of other money than what paid its attempt: where a person has taken
// another amount for the whole, the whole is a second payment.
func isMoreMoney(notice *Notice, payment *dbq.PaymentLockByIDsRow) bool {
	return Confirmation(payment.Confirmation) == OtherAmount && !notice.isConfirmation() && !sameMoney(notice, payment)
}
