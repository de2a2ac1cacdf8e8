package inventory

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Adjust adds delta units to a counted product, or takes them out where it is negative, and returns what is available
// then. reason (1–200 characters) and actor say why and who, in the stock movement that it leaves. A crossing is
// announced.
//
// Faults: stock_delta_zero; product_not_found; product_not_counted, since a card product's stock is its cards; stock_below_zero.
func (s *Service) Adjust(ctx context.Context, tx *outbox.Tx, sku string, delta int64, reason, actor string) (int64, error) {
	if delta == 0 {
		return 0, fault.New(fault.Invalid, "stock_delta_zero")
	}
	q := dbq.New(tx)
	product, err := bySKU(ctx, q, sku)
	if err != nil {
		return 0, err
	}
	if product.Kind != KindCounted {
		return 0, fault.New(fault.Conflict, "product_not_counted", "sku", sku)
	}
	stock, err := q.StockAdd(ctx, dbq.StockAddParams{ProductID: product.ID, Delta: delta})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, belowZero(ctx, q, product)
	}
	if err != nil {
		return 0, fmt.Errorf("adjust stock of %s: %w", sku, err)
	}
	err = q.StockMovementInsert(ctx, dbq.StockMovementInsertParams{
		ID: uuid.Must(uuid.NewV7()), ProductID: product.ID, Delta: delta, Reason: reason, Actor: actor,
		CreatedAt: s.timestamp(),
	})
	if err != nil {
		return 0, fmt.Errorf("stock movement of %s: %w", sku, err)
	}
	return stock.Available, announceAdded(tx, product, delta, Level(stock))
}

// AdjustStock is Adjust in a transaction of its own; it returns the product as it is then.
func (s *Service) AdjustStock(ctx context.Context, sku string, delta int64, reason, actor string) (Product, error) {
	err := s.box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		_, err := s.Adjust(ctx, tx, sku, delta, reason, actor)
		return err
	})
	if err != nil {
		return Product{}, err
	}
	return s.Get(ctx, sku)
}

func belowZero(ctx context.Context, q *dbq.Queries, product Product) error {
	available, err := q.StockAvailable(ctx, product.ID)
	if err != nil {
		return fmt.Errorf("stock of %s: %w", product.SKU, err)
	}
	return fault.New(fault.Conflict, "stock_below_zero", "sku", product.SKU, "available", available)
}

// stockOf derives where the units are. What can be counted in few rows is counted: a card product's delivered and
// revoked cards, a counted product's open orders. Promise I1 gives the rest, and `vendbox audit` proves it.
func stockOf(ctx context.Context, q *dbq.Queries, product Product) (*Stock, error) {
	imported, err := q.StockImported(ctx, product.ID)
	if err != nil {
		return nil, fmt.Errorf("stock movements of %s: %w", product.SKU, err)
	}
	stock := &Stock{Imported: imported}
	if product.Kind == KindCard {
		gone, err := q.CardCountGone(ctx, product.ID)
		if err != nil {
			return nil, fmt.Errorf("cards of %s: %w", product.SKU, err)
		}
		stock.Delivered, stock.Revoked, stock.Disabled = gone.Delivered, gone.Revoked, gone.Disabled
		stock.Reserved = imported - product.Available - gone.Delivered - gone.Revoked - gone.Disabled
		return stock, nil
	}
	if stock.Reserved, err = q.StockReservedByOpenOrders(ctx, product.ID); err != nil {
		return nil, fmt.Errorf("open orders of %s: %w", product.SKU, err)
	}
	stock.Delivered = imported - product.Available - stock.Reserved
	return stock, nil
}
