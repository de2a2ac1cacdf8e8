package payments

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// EventException tells subscribers of money that needs a person. Its payload names the notice, the order and the outcome.
const EventException = "payment.exception"

// Application is a notice's outcome and its order, if it had one.
type Application struct {
	Outcome Outcome
	OrderID uuid.UUID // uuid.Nil: unmatched
}

// Apply records verified notices of one channel and applies those that succeeded: each once, however often and however
// many at a time it comes. Orders are locked before payments. A notice never moves an order's status backwards. deliver, unless
// nil, is given the orders that were changed before they are saved.
func Apply(
	ctx context.Context, tx *outbox.Tx, channel string, notices []Notice, deliver Deliver,
) ([]groupcommit.Result[Application], error) {
	b := &application{
		channel: channel, tx: tx, deliver: deliver, q: dbq.New(tx), known: map[noticeKey]Application{},
		changed: map[uuid.UUID]*ordering.Order{}, changedPayments: map[uuid.UUID]*dbq.PaymentLockByIDsRow{},
	}
	if err := b.load(ctx, notices); err != nil {
		return nil, err
	}
	results := make([]groupcommit.Result[Application], len(notices))
	for i := range notices {
		if results[i].Err = b.refuse(&notices[i]); results[i].Err != nil {
			continue
		}
		var err error
		if results[i].Value, err = b.apply(&notices[i]); err != nil {
			return nil, err
		}
	}
	return results, b.save(ctx)
}

// Deliver may complete locked orders, in memory.
type Deliver func(tx *outbox.Tx, orders []*ordering.Order) error

// application is the state of one Apply: everything it locked, and what it will write.
type application struct {
	channel  string
	deliver  Deliver // nil: jobs do
	tx       *outbox.Tx
	q        *dbq.Queries
	known    map[noticeKey]Application // in the inbox already, or earlier in this batch
	payments map[uuid.UUID]*dbq.PaymentLockByIDsRow
	shelf    *ordering.Shelf // the stock of orders that had expired
	orders   map[uuid.UUID]*ordering.Order
	inDoubt  []dbq.PaymentsInDoubtOfRow // attempts of the orders, as they were stored; only where a person confirms something

	changed         map[uuid.UUID]*ordering.Order
	changedPayments map[uuid.UUID]*dbq.PaymentLockByIDsRow
	inbox           []inboxRow
}

// noticeKey is what the repeats of a notice have in common.
type noticeKey struct{ account, eventID string }

func keyOf(notice *Notice) noticeKey { return noticeKey{notice.Account, notice.EventID} }

type inboxRow struct {
	Application

	notice  *Notice
	matched bool
}

func (b *application) load(ctx context.Context, notices []Notice) error {
	paymentIDs := make([]uuid.UUID, len(notices))
	ask := dbq.PaymentEventsKnownParams{Channel: b.channel}
	for i, notice := range notices {
		paymentIDs[i] = notice.PaymentID
		ask.Accounts, ask.EventIds = append(ask.Accounts, notice.Account), append(ask.EventIds, notice.EventID)
	}
	matches, err := b.q.PaymentOrderIDs(ctx, dbq.PaymentOrderIDsParams{IDs: paymentIDs, Channel: b.channel})
	if err != nil {
		return err
	}
	var matchedIDs, orderIDs []uuid.UUID
	for _, match := range matches {
		matchedIDs, orderIDs = append(matchedIDs, match.ID), append(orderIDs, match.OrderID)
	}
	expired, err := ordering.ExpiredOf(ctx, b.tx, orderIDs)
	if err != nil {
		return err
	}
	if b.shelf, err = ordering.LockStock(ctx, b.tx, expired); err != nil {
		return err
	}
	if b.orders, err = ordering.Lock(ctx, b.tx, orderIDs); err != nil {
		return err
	}
	var locked []dbq.PaymentLockByIDsRow
	var earlier []dbq.PaymentEventsKnownRow
	err = pgdb.Together(ctx, b.tx,
		func(db pgdb.DB) (err error) { locked, err = dbq.New(db).PaymentLockByIDs(ctx, matchedIDs); return err },
		// Read after the locks: a repeat that waited for them finds here what the first one did.
		func(db pgdb.DB) (err error) { earlier, err = dbq.New(db).PaymentEventsKnown(ctx, ask); return err })
	if err != nil {
		return err
	}
	b.payments = make(map[uuid.UUID]*dbq.PaymentLockByIDsRow, len(locked))
	for i := range locked {
		b.payments[locked[i].ID] = &locked[i]
	}
	for _, row := range earlier {
		b.known[noticeKey{row.Account, row.EventID}] = Application{Outcome: Repeated, OrderID: deref(row.OrderID)}
	}
	return b.loadDoubts(ctx, notices, orderIDs)
}

func (b *application) apply(notice *Notice) (Application, error) {
	if known, ok := b.known[keyOf(notice)]; ok {
		return known, nil
	}
	payment := b.payments[notice.PaymentID]
	if payment != nil && payment.Account != notice.Account {
		payment = nil // what one account's key signs says nothing about another's money
	}
	result := Application{Outcome: Unmatched}
	if notice.Type != TypeSucceeded {
		result.Outcome = Ignored // no money: nobody has to look for whose it is
	}
	if payment != nil {
		result.OrderID = payment.OrderID
		var err error
		order, had := b.orders[payment.OrderID], payment.Status
		result.Outcome = judge(notice, payment, order)
		if sameDoubt(notice, payment, order, result.Outcome) {
			result.Outcome = Repeated
		}
		if result.Outcome, err = b.effect(notice, payment, result.Outcome); err != nil {
			return Application{}, err
		}
		b.remember(notice, payment, had)
	}
	b.known[keyOf(notice)] = Application{Outcome: Repeated, OrderID: result.OrderID}
	b.inbox = append(b.inbox, inboxRow{result, notice, payment != nil})
	return result, b.announce(notice, result)
}

// effect does what an outcome means, and gives the outcome that it came to.
func (b *application) effect(notice *Notice, payment *dbq.PaymentLockByIDsRow, outcome Outcome) (Outcome, error) {
	order := b.orders[payment.OrderID]
	by := ordering.By{Actor: "gateway:" + b.channel, Reason: "payment " + payment.ID.String()}
	if notice.isConfirmation() {
		by = *notice.confirmedBy
	}
	switch {
	case outcome == Applied || outcome == LatePayment:
		if notice.isConfirmation() {
			if err := b.confirm(payment, order, by); err != nil {
				return "", err
			}
		}
		b.setStatus(payment, "succeeded")
		b.changed[order.ID] = order
		if outcome == LatePayment {
			return b.late(notice, order, by)
		}
		return outcome, order.MarkPaid(b.tx, by)
	case outcome.isException():
		if payment.Status != "succeeded" {
			b.setStatus(payment, "exception")
		}
		order.ExceptionCode = string(outcome)
		b.changed[order.ID] = order
		if outcome == WrongAmount && order.Status == ordering.PendingPayment {
			return outcome, order.Hold(b.tx, ordering.HoldWrongAmount, by)
		}
	}
	return outcome, nil
}

func (b *application) setStatus(payment *dbq.PaymentLockByIDsRow, status string) {
	payment.Status = status
	b.changedPayments[payment.ID] = payment
}

// remember keeps what the gateway calls the money that paid or may pay an attempt: for refunds, and to know it again. had is the
// attempt's status before the notice; of one that had succeeded that is known, unless only a person had told of it.
func (b *application) remember(notice *Notice, payment *dbq.PaymentLockByIDsRow, had string) {
	switch {
	case notice.Type != TypeSucceeded || notice.isConfirmation():
		return
	case had != "succeeded":
	case Confirmation(payment.Confirmation) == LostNotice && notice.Amount == amountOf(payment):
		payment.Confirmation = string(LateNotice)
		b.changedPayments[payment.ID] = payment
	default:
		return
	}
	if notice.Reference != "" {
		payment.Reference = notice.Reference
	}
}

// late takes money for an order that has ended. One that had expired goes on as if it had not, if its units can be had
// once more and are still sold; otherwise it waits for stock. What somebody had canceled waits for a person.
func (b *application) late(notice *Notice, order *ordering.Order, by ordering.By) (Outcome, error) {
	reason := ordering.HoldLateCanceled
	if order.Status == ordering.Expired {
		if !b.shelf.Has(order) {
			return "", errEndedMeanwhile
		}
		reserved, err := b.reserveOnceMore(order)
		if err != nil {
			return "", err
		}
		if reserved {
			if !notice.isConfirmation() { // a person's reason stays theirs
				by.Reason += ", after the order had expired"
			}
			return Applied, order.MarkPaid(b.tx, by)
		}
		reason = ordering.HoldLateNoStock
	}
	order.ExceptionCode = string(LatePayment)
	return LatePayment, order.HoldLate(b.tx, reason, by)
}

// reserveOnceMore takes an expired order's units again, if they are there and still sold.
func (b *application) reserveOnceMore(order *ordering.Order) (bool, error) {
	if !b.shelf.OnSale(order) {
		return false, nil
	}
	err := b.shelf.Reserve(order)
	if fault.HasCode(err, "out_of_stock") {
		return false, nil
	}
	return err == nil, err
}

func (b *application) announce(notice *Notice, result Application) error {
	if !result.Outcome.isException() {
		return nil
	}
	payload, err := json.Marshal(map[string]any{
		"channel": b.channel, "account": notice.Account, "event_id": notice.EventID, "payment_id": notice.PaymentID,
		"order_id": result.OrderID, "outcome": result.Outcome, "amount": notice.Amount, "occurred_at": notice.OccurredAt.UTC(),
	})
	if err != nil {
		return fmt.Errorf("payments: event payload: %w", err)
	}
	event := outbox.Event{AggregateType: "payment", AggregateID: notice.PaymentID.String(), Type: EventException, Payload: payload}
	if order := b.orders[result.OrderID]; order != nil {
		event.Headers = outbox.Headers{Traceparent: order.Traceparent, Locale: order.Locale}
	}
	b.tx.Append(event)
	return nil
}

func (b *application) save(ctx context.Context) error {
	if len(b.inbox) == 0 {
		return nil
	}
	slices.SortFunc(b.inbox, func(x, y inboxRow) int {
		return cmp.Or(cmp.Compare(x.notice.Account, y.notice.Account), cmp.Compare(x.notice.EventID, y.notice.EventID))
	})
	if err := dbq.New(b.tx.AtEnd()).PaymentEventInsert(ctx, b.inboxColumns()); err != nil {
		return err
	}
	payments := dbq.PaymentSaveParams{Now: b.tx.Now}
	for id, payment := range b.changedPayments {
		payments.IDs, payments.Statuses = append(payments.IDs, id), append(payments.Statuses, payment.Status)
		payments.Refs = append(payments.Refs, payment.Reference)
		payments.Confirmations = append(payments.Confirmations, payment.Confirmation)
	}
	if len(payments.IDs) > 0 {
		if err := dbq.New(b.tx.AtEnd()).PaymentSave(ctx, payments); err != nil {
			return err
		}
	}
	if err := b.shelf.Save(ctx, b.tx); err != nil {
		return err
	}
	orders := slices.SortedFunc(maps.Values(b.changed), func(x, y *ordering.Order) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	if b.deliver != nil {
		if err := b.deliver(b.tx, orders); err != nil {
			return err
		}
	}
	return ordering.Save(ctx, b.tx, orders)
}

func (b *application) inboxColumns() dbq.PaymentEventInsertParams {
	p := dbq.PaymentEventInsertParams{Channel: b.channel, ReceivedAt: b.tx.Now}
	for _, row := range b.inbox {
		var paymentID uuid.UUID
		if row.matched {
			paymentID = row.notice.PaymentID
		}
		p.IDs = append(p.IDs, uuid.Must(uuid.NewV7()))
		p.Accounts = append(p.Accounts, row.notice.Account)
		p.EventIds = append(p.EventIds, row.notice.EventID)
		p.PaymentIds = append(p.PaymentIds, paymentID)
		p.OrderIds = append(p.OrderIds, row.OrderID)
		p.Types = append(p.Types, row.notice.Type)
		p.Amounts = append(p.Amounts, row.notice.Amount.Amount)
		p.Currencies = append(p.Currencies, row.notice.Amount.Currency)
		p.Outcomes = append(p.Outcomes, string(row.Outcome))
		p.Bodies = append(p.Bodies, row.notice.Body)
		p.OccurredAt = append(p.OccurredAt, row.notice.OccurredAt)
	}
	return p
}

func deref(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
