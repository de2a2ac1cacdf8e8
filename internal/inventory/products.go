package inventory

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/paging"
)

// CreateParams of Create. The bounds are those of table products, and the caller's to check.
type CreateParams struct {
	SKU        string // 1–64 letters, digits, dots, underscores and hyphens; begins with a letter or digit
	Name       string
	Kind       Kind
	Price      Money
	OrderTTL   *int32 // seconds
	LowStockAt *int64
}

// Create makes an active product without stock. A SKU that another product has gives the fault sku_taken; another fault is
// currency_unknown.
func (s *Service) Create(ctx context.Context, p CreateParams) (Product, error) {
	if err := checkCurrency(p.Price); err != nil {
		return Product{}, err
	}
	made, err := dbq.New(s.pool).ProductInsert(ctx, dbq.ProductInsertParams{
		ID: uuid.Must(uuid.NewV7()), SKU: p.SKU, Name: p.Name, Kind: string(p.Kind),
		PriceAmount: p.Price.Amount, PriceCurrency: p.Price.Currency, LowStockAt: p.LowStockAt, OrderTtlSeconds: p.OrderTTL,
		Now: s.timestamp(),
	})
	if err != nil {
		return Product{}, fmt.Errorf("create product %s: %w", p.SKU, err)
	}
	if made == 0 {
		return Product{}, fault.New(fault.Conflict, "sku_taken", "sku", p.SKU)
	}
	return s.Get(ctx, p.SKU)
}

// Get returns a product without its Stock, or the fault product_not_found.
func (s *Service) Get(ctx context.Context, sku string) (Product, error) {
	return bySKU(ctx, dbq.New(s.pool), sku)
}

// GetWithStock is Get with the Stock. It counts the product's whole history, which takes longer year by year.
func (s *Service) GetWithStock(ctx context.Context, sku string) (Product, error) {
	var product Product
	// One snapshot, so that the numbers add up.
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error {
			q := dbq.New(tx)
			var err error
			if product, err = bySKU(ctx, q, sku); err != nil {
				return err
			}
			product.Stock, err = stockOf(ctx, q, product)
			return err
		})
	return product, err
}

// List returns a page of products without their Stock, the newest first, and the cursor of the next, empty on the last.
// Errors: cursor_invalid.
func (s *Service) List(ctx context.Context, cursor string, limit int) ([]Product, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := dbq.New(s.pool).ProductList(ctx, dbq.ProductListParams{Before: page.Before, MaxRows: page.MaxRows})
	if err != nil {
		return nil, "", fmt.Errorf("list products: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.ProductListRow) uuid.UUID { return row.ID })
	products := make([]Product, len(rows))
	for i, row := range rows {
		products[i] = fromRow(dbq.ProductBySKURow(row))
	}
	return products, next, nil
}

// Patch says what to change. A nil field stays as it is.
type Patch struct {
	Name       *string
	Price      *Money // for orders to come; those that exist keep theirs
	Status     *Status
	OrderTTL   **int32 // seconds; a pointer to nil takes it away
	LowStockAt **int64 // a pointer to nil takes it away
}

func checkCurrency(price Money) error {
	if money.IsCurrency(price.Currency) {
		return nil
	}
	return fault.New(fault.Invalid, "currency_unknown", "currency", price.Currency)
}

// Update changes a product and returns it, or the fault product_not_found or currency_unknown.
func (s *Service) Update(ctx context.Context, sku string, p Patch) (Product, error) {
	if p.Price != nil {
		if err := checkCurrency(*p.Price); err != nil {
			return Product{}, err
		}
	}
	err := s.box.InTxAgain(ctx, func(tx *outbox.Tx) error {
		q := dbq.New(tx)
		row, err := q.ProductLock(ctx, sku)
		if errors.Is(err, pgx.ErrNoRows) {
			return notFound(sku)
		}
		if err != nil {
			return fmt.Errorf("lock product %s: %w", sku, err)
		}
		save := dbq.ProductSaveParams{
			ID: row.ID, Name: row.Name, Status: row.Status, PriceAmount: row.PriceAmount,
			PriceCurrency: row.PriceCurrency, OrderTtlSeconds: row.OrderTtlSeconds, UpdatedAt: s.timestamp(),
		}
		p.apply(&save)
		if err := q.ProductSave(ctx, save); err != nil {
			return fmt.Errorf("save product %s: %w", sku, err)
		}
		if p.LowStockAt == nil {
			return nil
		}
		return setLowAt(ctx, tx, row.ID, sku, *p.LowStockAt)
	})
	if err != nil {
		return Product{}, err
	}
	return s.Get(ctx, sku)
}

func (p Patch) apply(row *dbq.ProductSaveParams) {
	if p.Name != nil {
		row.Name = *p.Name
	}
	if p.Price != nil {
		row.PriceAmount, row.PriceCurrency = p.Price.Amount, p.Price.Currency
	}
	if p.Status != nil {
		row.Status = string(*p.Status)
	}
	if p.OrderTTL != nil {
		row.OrderTtlSeconds = *p.OrderTTL
	}
}

// setLowAt changes what counts as low, which may be a crossing like any other.
func setLowAt(ctx context.Context, tx *outbox.Tx, id uuid.UUID, sku string, lowAt *int64) error {
	q := dbq.New(tx)
	locked, err := q.StockLock(ctx, []uuid.UUID{id})
	if err != nil {
		return fmt.Errorf("lock stock of %s: %w", sku, err)
	}
	if err := q.StockSaveLowAt(ctx, dbq.StockSaveLowAtParams{ProductID: id, LowStockAt: lowAt}); err != nil {
		return fmt.Errorf("save stock of %s: %w", sku, err)
	}
	available := locked[0].Available
	return AnnounceLevel(tx, id, sku, Level{available, locked[0].LowStockAt}, Level{available, lowAt})
}

// skuPattern is that of table products. What does not match is no product's, and may be no text that Postgres takes.
var skuPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func bySKU(ctx context.Context, q *dbq.Queries, sku string) (Product, error) {
	if !skuPattern.MatchString(sku) {
		return Product{}, notFound(sku)
	}
	row, err := q.ProductBySKU(ctx, sku)
	if errors.Is(err, pgx.ErrNoRows) {
		return Product{}, notFound(sku)
	}
	if err != nil {
		return Product{}, fmt.Errorf("read product %s: %w", sku, err)
	}
	return fromRow(row), nil
}

func fromRow(row dbq.ProductBySKURow) Product {
	return Product{
		ID: row.ID, SKU: row.SKU, Name: row.Name, Kind: Kind(row.Kind), Status: Status(row.Status),
		Price: Money{Amount: row.PriceAmount, Currency: row.PriceCurrency}, LowStockAt: row.LowStockAt, OrderTTL: row.OrderTtlSeconds,
		CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt.UTC(), Available: row.Available,
	}
}

func notFound(sku string) *fault.Error {
	return fault.New(fault.NotFound, "product_not_found", "sku", sku)
}
