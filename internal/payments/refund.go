package payments

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/paging"
)

// The statuses of a refund, besides those of its gateway (RefundStatus).
const (
	RefundUnknown RefundStatus = "unknown" // the gateway was asked, and it is not known what it did
	RefundManual  RefundStatus = "manual"  // the channel cannot do it: a person gives the money back, and says so
)

// RefundRequest asks for units of an order to be taken back and their money to be returned.
type RefundRequest struct {
	Lines          []ordering.RefundLine // nil: everything that is left
	IdempotencyKey string                // "": a repetition is another refund
	By             ordering.By
}

// Refunding is a refund as it stands.
type Refunding struct {
	ID         uuid.UUID
	OrderID    uuid.UUID
	PaymentID  uuid.UUID
	Amount     ordering.Money
	Status     RefundStatus
	Reason     string
	Actor      string
	Reference  string // the gateway's
	Error      string
	Lines      []ordering.TakenLine
	CreatedAt  time.Time
	FinishedAt time.Time // zero: not yet
	Replayed   bool      // an earlier request with the same key made it
}

// Refund takes units back at once and has the money returned by a job: by the gateway that took it where its channel can,
// by a person where it cannot. Faults: order_not_found, order_state_wrong, refund_exceeds_order, refund_lines_invalid,
// reason_invalid, idempotency_key_invalid, idempotency_key_reused.
func (s *Service) Refund(ctx context.Context, orderID uuid.UUID, r RefundRequest) (Refunding, error) {
	return s.refund(ctx, orderID, r, func(*ordering.Order) error { return nil })
}

// refund is Refund for an order that allow has nothing against, once it is locked.
func (s *Service) refund(
	ctx context.Context, orderID uuid.UUID, r RefundRequest, allow func(*ordering.Order) error,
) (Refunding, error) {
	if err := ordering.CheckReason(r.By.Reason); err != nil {
		return Refunding{}, err
	}
	if err := ordering.CheckKey(r.IdempotencyKey); err != nil {
		return Refunding{}, err
	}
	id := uuid.Must(uuid.NewV7())
	err := s.box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		_, err := ordering.RefundOne(ctx, tx, orderID, r.Lines, r.By, func(o *ordering.Order) error {
			if err := checkRefundKey(ctx, tx, o, r); err != nil {
				return err
			}
			return allow(o)
		}, func(_ *ordering.Order, taken ordering.Taken) error {
			return s.insertRefund(ctx, tx, id, orderID, r, taken)
		})
		return err
	})
	if known, ok := errors.AsType[knownRefundError](err); ok {
		made, err := s.RefundByID(ctx, uuid.UUID(known))
		made.Replayed = true
		return made, err
	}
	if err != nil {
		return Refunding{}, err
	}
	return s.RefundByID(ctx, id)
}

// knownRefundError ends a transaction in which a repeated request found its refund.
type knownRefundError uuid.UUID

func (knownRefundError) Error() string { return "payments: the refund was made before" }

// checkRefundKey looks for an earlier refund with the request's key, under the order's lock.
func checkRefundKey(ctx context.Context, tx *outbox.Tx, o *ordering.Order, r RefundRequest) error {
	if r.IdempotencyKey == "" {
		return nil
	}
	q := dbq.New(tx)
	known, err := q.RefundByKey(ctx, dbq.RefundByKeyParams{OrderID: o.ID, IdempotencyKey: r.IdempotencyKey})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	same, err := isRepetition(ctx, q, o, dbq.RefundGetRow(known), r)
	if err != nil {
		return err
	}
	if !same {
		return fault.New(fault.Invalid, "idempotency_key_reused", "order_id", o.ID)
	}
	return knownRefundError(known.ID)
}

// isRepetition says whether a request asks for what an earlier refund took. One for everything that was left took the
// last unit, and nothing came after it.
func isRepetition(ctx context.Context, q *dbq.Queries, o *ordering.Order, known dbq.RefundGetRow, r RefundRequest) (bool, error) {
	if known.Reason != r.By.Reason {
		return false, nil
	}
	if r.Lines == nil {
		last, err := q.RefundListByOrder(ctx, dbq.RefundListByOrderParams{OrderID: o.ID, Before: uuid.Max, MaxRows: 1})
		return o.RefundedAmount == o.PaidAmount && len(last) == 1 && last[0].ID == known.ID, err
	}
	items, err := q.RefundItems(ctx, known.ID)
	if err != nil {
		return false, err
	}
	took, wanted := map[int]int{}, map[int]int{}
	for _, item := range items {
		took[int(item.Line)] = int(item.Quantity)
	}
	for _, line := range r.Lines { // in any order, and a line may stand twice
		wanted[line.Line] += line.Quantity
	}
	return maps.Equal(took, wanted), nil
}

func (s *Service) insertRefund(ctx context.Context, tx *outbox.Tx, id, orderID uuid.UUID, r RefundRequest, taken ordering.Taken) error {
	q := dbq.New(tx)
	payment, err := q.PaymentThatPaid(ctx, orderID)
	if err != nil {
		return fmt.Errorf("payments: what paid order %s: %w", orderID, err)
	}
	status := RefundManual
	if channel := s.channels[payment.Channel]; channel != nil {
		if _, ok := channel.Channel.(Refunder); ok {
			status = RefundPending
		}
	}
	err = q.RefundInsert(ctx, dbq.RefundInsertParams{
		ID: id, OrderID: orderID, PaymentID: payment.ID, Amount: taken.Amount.Amount, Currency: taken.Amount.Currency,
		Status: string(status), Reason: r.By.Reason, Actor: r.By.Actor, IdempotencyKey: r.IdempotencyKey, CreatedAt: tx.Now,
	})
	if err != nil {
		return err
	}
	items := dbq.RefundItemsInsertParams{RefundID: id}
	for _, line := range taken.Lines {
		items.Lines = append(items.Lines, int32(line.Line))
		items.Quantities = append(items.Quantities, int32(line.Quantity))
		items.Returned = append(items.Returned, int32(line.Returned))
	}
	return q.RefundItemsInsert(ctx, items)
}

// Reject ends a held order: an unpaid one is canceled, a paid one refunded as a whole. One that is released meanwhile is
// left alone. Faults as of Refund and Cancel.
func (s *Service) Reject(ctx context.Context, orders *ordering.Service, orderID uuid.UUID, by ordering.By) (*ordering.Order, error) {
	order, err := orders.Get(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if order.PaymentStatus == ordering.Unpaid {
		return orders.CancelHeld(ctx, orderID, by)
	}
	if _, err := s.refund(ctx, orderID, RefundRequest{By: by}, (*ordering.Order).MustBeHeld); err != nil {
		return nil, err
	}
	return orders.Get(ctx, orderID)
}

// RefundByID returns a refund, or the fault refund_not_found.
func (s *Service) RefundByID(ctx context.Context, id uuid.UUID) (Refunding, error) {
	q := dbq.New(s.pool)
	row, err := q.RefundGet(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return Refunding{}, fault.New(fault.NotFound, "refund_not_found", "refund_id", id)
	}
	if err != nil {
		return Refunding{}, err
	}
	r := refundOf(row)
	items, err := q.RefundItems(ctx, id)
	for _, item := range items {
		r.Lines = append(r.Lines, ordering.TakenLine{Line: int(item.Line), Quantity: int(item.Quantity), Returned: int(item.Returned)})
	}
	return r, err
}

func refundOf(row dbq.RefundGetRow) Refunding {
	r := Refunding{
		ID: row.ID, OrderID: row.OrderID, PaymentID: row.PaymentID, Amount: ordering.Money{Amount: row.Amount, Currency: row.Currency},
		Status: RefundStatus(row.Status), Reason: row.Reason, Actor: row.Actor, Reference: row.Reference, Error: row.Error,
		CreatedAt: row.CreatedAt,
	}
	if row.FinishedAt != nil {
		r.FinishedAt = *row.FinishedAt
	}
	return r
}

// RefundQuery narrows ListRefunds.
type RefundQuery struct {
	Status  string    // "": any
	OrderID uuid.UUID // uuid.Nil: any
	Cursor  string
	Limit   int
}

// ListRefunds returns a page of refunds without their lines, the newest first, and the next page's cursor.
func (s *Service) ListRefunds(ctx context.Context, query RefundQuery) ([]Refunding, string, error) {
	page, err := paging.Parse(query.Cursor, query.Limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := refundRows(ctx, dbq.New(s.pool), query, page)
	if err != nil {
		return nil, "", err
	}
	rows, next := paging.Cut(page, rows, func(row dbq.RefundGetRow) uuid.UUID { return row.ID })
	refunds := make([]Refunding, len(rows))
	for i, row := range rows {
		refunds[i] = refundOf(row)
	}
	return refunds, next, nil
}

func refundRows(ctx context.Context, q *dbq.Queries, query RefundQuery, page paging.Page) (rows []dbq.RefundGetRow, err error) {
	switch {
	case query.OrderID != uuid.Nil:
		found, err := q.RefundListByOrder(ctx, dbq.RefundListByOrderParams{
			OrderID: query.OrderID, Before: page.Before, Status: query.Status, MaxRows: page.MaxRows,
		})
		return asRefunds(found), err
	case query.Status != "":
		found, err := q.RefundListByStatus(ctx, dbq.RefundListByStatusParams{Status: query.Status, Before: page.Before, MaxRows: page.MaxRows})
		return asRefunds(found), err
	default:
		found, err := q.RefundList(ctx, dbq.RefundListParams{Before: page.Before, MaxRows: page.MaxRows})
		return asRefunds(found), err
	}
}

func asRefunds[R dbq.RefundListByOrderRow | dbq.RefundListByStatusRow | dbq.RefundListRow](found []R) []dbq.RefundGetRow {
	rows := make([]dbq.RefundGetRow, len(found))
	for i, row := range found {
		rows[i] = dbq.RefundGetRow(row)
	}
	return rows
}
