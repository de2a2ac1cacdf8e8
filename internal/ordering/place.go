package ordering

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Line asks for units of a product.
type Line struct {
	SKU      string
	Quantity int
	// Price, when given, is what the buyer was shown for one unit; another price refuses the order.
	Price *Money
}

// PlaceParams is one order to place, checked and sealed by Prepare.
type PlaceParams struct {
	ID               uuid.UUID
	Lines            []Line
	ContactSealed    []byte // nil: none
	ContactMasked    json.RawMessage
	PhoneFingerprint []byte // nil: none
	EmailFingerprint []byte // nil: none
	IPFingerprint    []byte // nil: not known
	Locale           string
	Metadata         json.RawMessage
	TTL              time.Duration
	OwnTTL           bool // TTL is the request's: no product shortens it
	APIKeyID         uuid.UUID
	IdempotencyKey   string // "": none
	RequestHash      []byte // SHA-256 of the request; nil without a key
	Traceparent      string
	// Judge may refuse the order as it would be placed, with a fault, from what it knows already: the stock is locked. nil:
	// nobody judges.
	Judge func(*Order) error
}

// Placed is an order that exists: made by this call, or by an earlier one with the same key. It then expires when it first
// would have.
type Placed struct {
	Order    Order
	Replayed bool
}

type product struct {
	dbq.OrderLockStockRow

	before int64 // available when it was locked
}

// Place places a set of orders: each as a whole or not at all, first come first served while stock lasts. It locks the
// stock rows, so that nothing is sold twice, and appends order.created for each order made, and
// what stock has crossed its low mark or is gone.
//
// A member's fault is its own: product_not_found, product_disabled, currency_mixed, price_changed, out_of_stock,
// idempotency_key_reused, and those of Judge. What a key has placed before is given again, whatever Judge would say now.
func Place(ctx context.Context, tx *outbox.Tx, batch []PlaceParams) ([]groupcommit.Result[Placed], error) {
	products, earlier, err := lockAndLookUp(ctx, tx, batch)
	if err != nil {
		return nil, err
	}

	results := make([]groupcommit.Result[Placed], len(batch))
	var made []madeOrder
	firstWithKey := map[idempotencyKey]int{}
	for i := range batch {
		p := &batch[i]
		key := idempotencyKey{p.APIKeyID, p.IdempotencyKey}
		if known, ok := earlier[key]; ok {
			results[i] = replay(known, p.RequestHash)
			continue
		}
		if j, ok := firstWithKey[key]; ok && p.IdempotencyKey != "" {
			results[i] = replay(earlierOrder{results[j].Value.Order, batch[j].RequestHash}, p.RequestHash)
			continue
		}
		order, err := admit(p, products, tx.Now)
		if err != nil {
			results[i].Err = err
			continue
		}
		results[i].Value.Order = order
		made = append(made, madeOrder{&results[i].Value.Order, p})
		firstWithKey[key] = i
	}
	if err := insert(ctx, tx, made); err != nil {
		return nil, err
	}
	return results, announceLevels(tx, products)
}

// lockAndLookUp locks the stock of every product that the batch names, in product order, and finds the orders that its
// idempotency keys have made. The keys are asked for after the stock is locked: of two requests with one key and one body the
// second waits there, and then finds the first's order.
func lockAndLookUp(ctx context.Context, tx *outbox.Tx, batch []PlaceParams) (map[string]*product, map[idempotencyKey]earlierOrder, error) {
	skus, keys := skusOf(batch), keysOf(batch)
	var stock []dbq.OrderLockStockRow
	var known []dbq.OrderIDsByIdempotencyKeyRow
	err := pgdb.Together(ctx, tx,
		func(db pgdb.DB) (err error) { stock, err = dbq.New(db).OrderLockStock(ctx, skus); return err },
		func(db pgdb.DB) (err error) {
			if len(keys.Keys) > 0 {
				known, err = dbq.New(db).OrderIDsByIdempotencyKey(ctx, keys)
			}
			return err
		})
	if err != nil {
		return nil, nil, err
	}
	earlier, err := earlierOrders(ctx, dbq.New(tx), known)
	return productsOf(stock), earlier, err
}

func skusOf(batch []PlaceParams) []string {
	var skus []string
	for i := range batch {
		for _, line := range batch[i].Lines {
			skus = append(skus, line.SKU)
		}
	}
	slices.Sort(skus)
	return slices.Compact(skus)
}

// productsOf gives what was locked by SKU.
func productsOf(rows []dbq.OrderLockStockRow) map[string]*product {
	locked := make([]product, len(rows))
	products := make(map[string]*product, len(rows))
	for i, row := range rows {
		locked[i] = product{row, row.Available}
		products[row.SKU] = &locked[i]
	}
	return products
}

// announceLevels says of the products taken from whose stock is low or gone now and was not before. It asks nothing of
// the database: both numbers are in memory, and the rows are locked until the commit.
func announceLevels(tx *outbox.Tx, products map[string]*product) error {
	for _, p := range products {
		if err := announceLevel(tx, p.ID, p.SKU, p.before, p.Available, p.LowStockAt); err != nil {
			return err
		}
	}
	return nil
}

// admit takes the order's units from the stock in memory, all of them or none.
func admit(p *PlaceParams, products map[string]*product, now time.Time) (Order, error) {
	order := Order{
		ID: p.ID, Number: numberOf(p.ID, now), Status: PendingPayment, PaymentStatus: Unpaid, FulfillmentStatus: Unfulfilled,
		ContactMasked: p.ContactMasked, Locale: p.Locale, Metadata: p.Metadata, Sequence: 1, Traceparent: p.Traceparent,
		PlacedAt: now, ExpiresAt: now.Add(p.ttl(products)), Items: make([]Item, len(p.Lines)),
	}
	for i, line := range p.Lines {
		product, err := sellable(line, products)
		if err != nil {
			return Order{}, err
		}
		if order.Currency != "" && order.Currency != product.PriceCurrency {
			return Order{}, fault.New(fault.Invalid, "currency_mixed", "currencies", []string{order.Currency, product.PriceCurrency})
		}
		order.Currency = product.PriceCurrency
		order.Total += int64(line.Quantity) * product.PriceAmount
		order.Items[i] = Item{
			Line: i + 1, ProductID: product.ID, SKU: product.SKU, Name: product.Name, Kind: product.Kind,
			Quantity: line.Quantity, UnitPrice: product.PriceAmount,
		}
	}
	if p.Judge != nil {
		if err := p.Judge(&order); err != nil {
			return Order{}, err
		}
	}
	return order, takeStock(p.Lines, products)
}

// ttl is how long the order can be paid.
func (p *PlaceParams) ttl(products map[string]*product) time.Duration {
	if p.OwnTTL {
		return p.TTL
	}
	least := time.Duration(0)
	for _, line := range p.Lines {
		known, ok := products[line.SKU]
		if !ok || known.OrderTtlSeconds == nil {
			continue
		}
		if own := time.Duration(*known.OrderTtlSeconds) * time.Second; least == 0 || own < least {
			least = own
		}
	}
	return cmp.Or(least, p.TTL)
}

func sellable(line Line, products map[string]*product) (*product, error) {
	product, ok := products[line.SKU]
	if !ok {
		return nil, fault.New(fault.NotFound, "product_not_found", "sku", line.SKU)
	}
	if product.Status != onSale {
		return nil, fault.New(fault.Conflict, "product_disabled", "sku", line.SKU)
	}
	price := Money{Amount: product.PriceAmount, Currency: product.PriceCurrency}
	if line.Price != nil && *line.Price != price {
		return nil, fault.New(fault.Conflict, "price_changed", "sku", line.SKU, "price", price)
	}
	return product, nil
}

// takeStock subtracts line by line, which also counts right a cart that names one SKU twice, and puts everything back
// when a line cannot be had.
func takeStock(lines []Line, products map[string]*product) error {
	for i, line := range lines {
		product := products[line.SKU]
		if product.Available < int64(line.Quantity) {
			for _, taken := range lines[:i] {
				products[taken.SKU].Available += int64(taken.Quantity)
			}
			return fault.New(fault.Conflict, "out_of_stock", "sku", line.SKU, "available", product.Available)
		}
		product.Available -= int64(line.Quantity)
	}
	return nil
}

type idempotencyKey struct {
	apiKey uuid.UUID
	key    string
}

type earlierOrder struct {
	order       Order
	requestHash []byte
}

func keysOf(batch []PlaceParams) (p dbq.OrderIDsByIdempotencyKeyParams) {
	for i := range batch {
		if batch[i].IdempotencyKey != "" {
			p.APIKeyIds = append(p.APIKeyIds, batch[i].APIKeyID)
			p.Keys = append(p.Keys, batch[i].IdempotencyKey)
		}
	}
	return p
}

// earlierOrders reads the orders that earlier requests with the batch's idempotency keys have made.
func earlierOrders(
	ctx context.Context, q *dbq.Queries, rows []dbq.OrderIDsByIdempotencyKeyRow,
) (map[idempotencyKey]earlierOrder, error) {
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // no earlier orders is no error, and a nil map reads as one
	}
	ids := make([]uuid.UUID, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	orders, err := load(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	earlier := make(map[idempotencyKey]earlierOrder, len(rows))
	for _, row := range rows {
		order := *orders[row.ID]
		order.ExpiresAt = row.FirstExpiresAt // see ViewAsPlaced
		earlier[idempotencyKey{row.APIKeyID, row.IdempotencyKey}] = earlierOrder{order, row.RequestHash}
	}
	return earlier, nil
}

func replay(known earlierOrder, requestHash []byte) groupcommit.Result[Placed] {
	if !bytes.Equal(known.requestHash, requestHash) {
		return groupcommit.Result[Placed]{Err: fault.New(fault.Invalid, "idempotency_key_reused", "order_id", known.order.ID)}
	}
	return groupcommit.Result[Placed]{Value: Placed{Order: known.order, Replayed: true}}
}
