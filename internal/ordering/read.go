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
	addItems(orders, rows)
	return nil
}

// addItems leaves out items of orders that were not found: one may commit between the statements for orders and for items.
func addItems(orders map[uuid.UUID]*Order, rows []dbq.OrderItemsByOrderIDsRow) {
	for _, row := range rows {
		order := orders[row.OrderID]
		if order == nil {
			continue
		}
		order.Items = append(order.Items, Item{
			Line: int(row.Line), ProductID: row.ProductID, SKU: row.SKU, Name: row.Name, Kind: row.Kind,
			Quantity: int(row.Quantity), FulfilledQuantity: int(row.FulfilledQuantity), RefundedQuantity: int(row.RefundedQuantity),
			ReturnedQuantity: int(row.ReturnedQuantity), UnitPrice: row.UnitPriceAmount,
		})
	}
}

func fromRow(row dbq.OrderByIDsRow) *Order {
	return &Order{
		ID: row.ID, Number: row.Number, Status: Status(row.Status), PaymentStatus: PaymentStatus(row.PaymentStatus),
		FulfillmentStatus: FulfillmentStatus(row.FulfillmentStatus), HoldReason: orEmpty(row.HoldReason),
		ExceptionCode: orEmpty(row.ExceptionCode), Currency: row.Currency, Total: row.TotalAmount, PaidAmount: row.PaidAmount,
		RefundedAmount: row.RefundedAmount, readAt: int(row.Sequence), ClosedAt: orZero(row.ClosedAt),
		ContactMasked: row.ContactMasked, Locale: row.Locale, Metadata: row.Metadata, Sequence: int(row.Sequence),
		Traceparent: row.Traceparent, PlacedAt: row.PlacedAt, ExpiresAt: row.ExpiresAt, ttl: row.FirstExpiresAt.Sub(row.PlacedAt),
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
