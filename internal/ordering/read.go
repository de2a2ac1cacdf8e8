package ordering

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
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
	Status           string    // "": any
	PhoneFingerprint []byte    // nil: any
	EmailFingerprint []byte    // nil: any
	Before           uuid.UUID // orders older than this one; uuid.Max for the newest
	Limit            int
}

// List returns a page of orders, the newest first.
func List(ctx context.Context, db dbq.DBTX, p ListParams) ([]*Order, error) {
	q := dbq.New(db)
	rows, err := listRows(ctx, q, p)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]*Order, len(rows))
	page := make([]*Order, len(rows))
	for i, row := range rows {
		page[i] = fromRow(row)
		byID[row.ID] = page[i]
	}
	return page, loadItems(ctx, q, byID)
}

func listRows(ctx context.Context, q *dbq.Queries, p ListParams) ([]dbq.OrderByIDsRow, error) {
	limit := int32(p.Limit)
	switch {
	case p.PhoneFingerprint != nil:
		rows, err := q.OrderListByPhone(ctx, dbq.OrderListByPhoneParams{
			Fingerprint: p.PhoneFingerprint, Before: p.Before, Status: p.Status, MaxRows: limit,
		})
		return convertRows(rows, err)
	case p.EmailFingerprint != nil:
		rows, err := q.OrderListByEmail(ctx, dbq.OrderListByEmailParams{
			Fingerprint: p.EmailFingerprint, Before: p.Before, Status: p.Status, MaxRows: limit,
		})
		return convertRows(rows, err)
	case p.Status != "":
		rows, err := q.OrderListByStatus(ctx, dbq.OrderListByStatusParams{Status: p.Status, Before: p.Before, MaxRows: limit})
		return convertRows(rows, err)
	default:
		rows, err := q.OrderList(ctx, dbq.OrderListParams{Before: p.Before, MaxRows: limit})
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
			Quantity: int(row.Quantity), FulfilledQuantity: int(row.FulfilledQuantity), UnitPrice: row.UnitPriceAmount,
		})
	}
	return nil
}

func fromRow(row dbq.OrderByIDsRow) *Order {
	return &Order{
		ID: row.ID, Number: row.Number, Status: Status(row.Status), PaymentStatus: PaymentStatus(row.PaymentStatus),
		FulfillmentStatus: FulfillmentStatus(row.FulfillmentStatus), HoldReason: orEmpty(row.HoldReason),
		ExceptionCode: orEmpty(row.ExceptionCode), Currency: row.Currency, Total: row.TotalAmount, PaidAmount: row.PaidAmount,
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
