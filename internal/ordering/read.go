package ordering

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// Get returns an order, or the fault order_not_found.
func Get(ctx context.Context, db dbq.DBTX, id uuid.UUID) (*Order, error) {
	orders, err := load(ctx, dbq.New(db), []uuid.UUID{id})
	if err != nil {
		return nil, err
	}
	order, ok := orders[id]
	if !ok {
		return nil, fault.New(fault.NotFound, "order_not_found", "order_id", id)
	}
	return order, nil
}

// GetMany returns those of the orders that exist.
func GetMany(ctx context.Context, db dbq.DBTX, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	return load(ctx, dbq.New(db), ids)
}

// ListParams of List. At most one of the two fingerprints is given.
type ListParams struct {
	Status           string // "": any
	PhoneFingerprint []byte // nil: any
	EmailFingerprint []byte // nil: any
	Cursor           string // "": the first page
	Limit            int
}

// List returns a page of orders, the newest first, and the cursor of the next, empty on the last. Errors: cursor_invalid.
func List(ctx context.Context, db dbq.DBTX, p ListParams) ([]*Order, string, error) {
	page, err := paging.Parse(p.Cursor, p.Limit)
	if err != nil {
		return nil, "", err
	}
	q := dbq.New(db)
	rows, err := listRows(ctx, q, p, page)
	if err != nil {
		return nil, "", err
	}
	rows, next := paging.Cut(page, rows, func(row dbq.OrderByIDsRow) uuid.UUID { return row.ID })
	byID := make(map[uuid.UUID]*Order, len(rows))
	orders := make([]*Order, len(rows))
	for i, row := range rows {
		orders[i] = fromRow(row)
		byID[row.ID] = orders[i]
	}
	return orders, next, loadItems(ctx, q, byID)
}

func listRows(ctx context.Context, q *dbq.Queries, p ListParams, page paging.Page) ([]dbq.OrderByIDsRow, error) {
	switch {
	case p.PhoneFingerprint != nil:
		rows, err := q.OrderListByPhone(ctx, dbq.OrderListByPhoneParams{
			Fingerprint: p.PhoneFingerprint, Before: page.Before, Status: p.Status, MaxRows: page.MaxRows,
		})
		return convertRows(rows, err)
	case p.EmailFingerprint != nil:
		rows, err := q.OrderListByEmail(ctx, dbq.OrderListByEmailParams{
			Fingerprint: p.EmailFingerprint, Before: page.Before, Status: p.Status, MaxRows: page.MaxRows,
		})
		return convertRows(rows, err)
	case p.Status != "":
		rows, err := q.OrderListByStatus(ctx, dbq.OrderListByStatusParams{Status: p.Status, Before: page.Before, MaxRows: page.MaxRows})
		return convertRows(rows, err)
	default:
		rows, err := q.OrderList(ctx, dbq.OrderListParams{Before: page.Before, MaxRows: page.MaxRows})
		return convertRows(rows, err)
	}
}

// The queries select the same columns, so sqlc's row types convert into each other.
type orderRow interface {
	dbq.OrderListByPhoneRow | dbq.OrderListByEmailRow | dbq.OrderListByStatusRow | dbq.OrderListRow
}

func convertRows[R orderRow](rows []R, err error) ([]dbq.OrderByIDsRow, error) {
	if err != nil {
		return nil, err
	}
	converted := make([]dbq.OrderByIDsRow, len(rows))
	for i, row := range rows {
		converted[i] = dbq.OrderByIDsRow(row)
	}
	return converted, nil
}

func load(ctx context.Context, q *dbq.Queries, ids []uuid.UUID) (map[uuid.UUID]*Order, error) {
	rows, err := q.OrderByIDs(ctx, ids)
	if err != nil {
		return nil, err
	}
	orders := make(map[uuid.UUID]*Order, len(rows))
	for _, row := range rows {
		orders[row.ID] = fromRow(row)
	}
	return orders, loadItems(ctx, q, orders)
}

func loadItems(ctx context.Context, q *dbq.Queries, orders map[uuid.UUID]*Order) error {
	if len(orders) == 0 {
		return nil
	}
	ids := make([]uuid.UUID, 0, len(orders))
	for id := range orders {
		ids = append(ids, id)
	}
	rows, err := q.OrderItemsByOrderIDs(ctx, ids)
	if err != nil {
		return err
	}
	for _, row := range rows {
		order := orders[row.OrderID]
		order.Items = append(order.Items, Item{
			Line: int(row.Line), ProductID: row.ProductID, SKU: row.SKU, Name: row.Name, Kind: row.Kind,
			Quantity: int(row.Quantity), FulfilledQuantity: int(row.FulfilledQuantity), RefundedQuantity: int(row.RefundedQuantity),
			ReturnedQuantity: int(row.ReturnedQuantity), UnitPrice: row.UnitPriceAmount,
		})
	}
	return nil
}

func fromRow(row dbq.OrderByIDsRow) *Order {
	return &Order{
		ID: row.ID, Number: row.Number, Status: Status(row.Status), PaymentStatus: PaymentStatus(row.PaymentStatus),
		FulfillmentStatus: FulfillmentStatus(row.FulfillmentStatus), HoldReason: orEmpty(row.HoldReason),
		ExceptionCode: orEmpty(row.ExceptionCode), Currency: row.Currency, Total: row.TotalAmount, PaidAmount: row.PaidAmount,
		RefundedAmount: row.RefundedAmount, readAt: int(row.Sequence), ClosedAt: orZero(row.ClosedAt),
		ContactMasked: row.ContactMasked, Locale: row.Locale, Metadata: row.Metadata, Sequence: int(row.Sequence),
		Traceparent: row.Traceparent, PlacedAt: row.PlacedAt, ExpiresAt: row.ExpiresAt,
		PaidAt: orZero(row.PaidAt), CompletedAt: orZero(row.CompletedAt),
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
