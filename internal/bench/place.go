package bench

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Placer places one order, in the stead of ordering's group commit (ordering.Config.Place).
type Placer func(ctx context.Context, p ordering.PlaceParams) (ordering.Placed, error)

// product is what an order needs to know of one.
type product struct {
	id        uuid.UUID
	name      string
	kind      string
	status    string
	price     ordering.Money
	available int64
}

// NoDatabasePlacer answers every order as if it had been placed, and touches nothing: what the door and the machine
// would do at best. SKUs are not checked.
func NoDatabasePlacer() Placer {
	all := product{
		id: uuid.Must(uuid.NewV7()), name: productName, kind: ordering.KindCard, status: "active",
		price: ordering.Money{Amount: productPrice, Currency: productCurrency},
	}
	return func(_ context.Context, p ordering.PlaceParams) (ordering.Placed, error) {
		products := make(map[string]*product, len(p.Lines))
		for _, line := range p.Lines {
			products[line.SKU] = &all
		}
		return ordering.Placed{Order: draft(&p, products, time.Now().UTC().Truncate(time.Microsecond))}, nil
	}
}

// NaivePlacer places each order in a transaction of its own, a statement and a round trip after the other, as one would write it
// first: begin, lock the stock, look for the idempotency key, insert order, items, event and relay job, take the stock, commit. It
// writes the rows that vendbox writes and keeps the same promises; it is correct, and made no slower than it has to be. handOff
// gives its events to the same relay.
func NaivePlacer(pool *pgxpool.Pool, now func() time.Time, handOff func(outbox.Batch)) Placer {
	const tries = 4
	return func(ctx context.Context, p ordering.PlaceParams) (placed ordering.Placed, err error) {
		for range tries {
			var batch outbox.Batch
			if placed, batch, err = placeInOwnTx(ctx, pool, now().UTC().Truncate(time.Microsecond), &p); err == nil {
				if len(batch.Events) > 0 {
					handOff(batch)
				}
				return placed, nil
			}
			if !pgdb.IsRetryable(err) && !pgdb.IsUniqueViolation(err, "orders_idempotency_key") {
				break
			}
		}
		return ordering.Placed{}, err
	}
}

func placeInOwnTx(
	ctx context.Context, pool *pgxpool.Pool, now time.Time, p *ordering.PlaceParams,
) (placed ordering.Placed, batch outbox.Batch, err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return placed, batch, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // does nothing after the commit
	if placed, batch, err = placeAlone(ctx, tx, now, p); err != nil {
		return placed, batch, err
	}
	return placed, batch, tx.Commit(ctx)
}

func placeAlone(
	ctx context.Context, tx pgx.Tx, now time.Time, p *ordering.PlaceParams,
) (placed ordering.Placed, batch outbox.Batch, err error) {
	products, err := lockProducts(ctx, tx, p.Lines)
	if err != nil {
		return placed, batch, err
	}
	if p.IdempotencyKey != "" {
		earlier, err := findEarlier(ctx, tx, p)
		if err != nil || earlier != nil {
			return ordering.Placed{Order: orZero(earlier), Replayed: earlier != nil}, batch, err
		}
	}
	if err := admit(p.Lines, products); err != nil {
		return placed, batch, err
	}
	order := draft(p, products, now)
	if err := insertOrder(ctx, tx, p, &order); err != nil {
		return placed, batch, err
	}
	batch, err = insertEvent(ctx, tx, now, &order)
	return ordering.Placed{Order: order}, batch, err
}

// insertEvent appends order.created, and the job that relays it if this process does not live to.
func insertEvent(ctx context.Context, tx pgx.Tx, now time.Time, order *ordering.Order) (batch outbox.Batch, err error) {
	payload, err := json.Marshal(order.View())
	if err != nil {
		return batch, fmt.Errorf("bench: event payload: %w", err)
	}
	event := outbox.Event{
		ID: uuid.Must(uuid.NewV7()), AggregateType: ordering.AggregateType, AggregateID: order.ID.String(), Type: ordering.EventCreated,
		Payload: payload, Headers: outbox.Headers{Traceparent: order.Traceparent, Locale: order.Locale}, Sequence: order.Sequence,
		OccurredAt: now,
	}
	var epoch int
	err = tx.QueryRow(ctx, `insert into outbox (id, aggregatetype, aggregateid, type, payload, headers, sequence, occurred_at, epoch)
		values ($1, $2, $3, $4, $5, $6, $7, $8, outbox_epoch()) returning epoch`, event.ID, event.AggregateType, event.AggregateID,
		event.Type, event.Payload, event.Headers, event.Sequence, event.OccurredAt).Scan(&epoch)
	if err != nil {
		return batch, err
	}
	batch.Events = []outbox.Event{event}
	err = tx.QueryRow(ctx, `insert into river_job (kind, queue, args, max_attempts, state, scheduled_at)
		values ('relay', 'relay', jsonb_build_object('epoch', $1::int, 'txid', pg_current_xact_id()::text, 'day', $2::text), 25, 'scheduled',
			now() + interval '10 seconds') returning id`, epoch, now.Format(time.DateOnly)).Scan(&batch.SafetyJobID)
	return batch, err
}

// lockProducts locks the stock of the order's products. One product, the usual order, is one row by its SKU.
func lockProducts(ctx context.Context, tx pgx.Tx, lines []ordering.Line) (map[string]*product, error) {
	skus := make([]string, len(lines))
	for i, line := range lines {
		skus[i] = line.SKU
	}
	rows, err := tx.Query(ctx, `select p.sku, p.id, p.name, p.kind, p.status, p.price_amount, p.price_currency, s.available
		from stock s join products p on p.id = s.product_id
		where p.sku = any($1) order by s.product_id for update of s`, skus)
	if err != nil {
		return nil, err
	}
	products := make(map[string]*product, len(lines))
	for rows.Next() {
		var sku string
		var one product
		err := rows.Scan(&sku, &one.id, &one.name, &one.kind, &one.status, &one.price.Amount, &one.price.Currency, &one.available)
		if err != nil {
			return nil, err
		}
		products[sku] = &one
	}
	return products, rows.Err()
}

// findEarlier returns the order that a request with the same key has made, or nil.
func findEarlier(ctx context.Context, tx pgx.Tx, p *ordering.PlaceParams) (*ordering.Order, error) {
	var id uuid.UUID
	var hash []byte
	err := tx.QueryRow(ctx, `select id, request_hash from orders where api_key_id = $1 and idempotency_key = $2`,
		p.APIKeyID, p.IdempotencyKey).Scan(&id, &hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil //nolint:nilnil // "none" is an answer here, and the caller's next step
	case err != nil:
		return nil, err
	case !bytes.Equal(hash, p.RequestHash):
		return nil, fault.New(fault.Invalid, "idempotency_key_reused", "order_id", id)
	}
	return ordering.Get(ctx, tx, id)
}

func orZero(order *ordering.Order) ordering.Order {
	if order == nil {
		return ordering.Order{}
	}
	return *order
}

// admit checks the lines and takes their units from what was read under the lock.
func admit(lines []ordering.Line, products map[string]*product) error {
	for _, line := range lines {
		one, ok := products[line.SKU]
		switch {
		case !ok:
			return fault.New(fault.NotFound, "product_not_found", "sku", line.SKU)
		case one.status != "active":
			return fault.New(fault.Conflict, "product_disabled", "sku", line.SKU)
		case line.Price != nil && *line.Price != one.price:
			return fault.New(fault.Conflict, "price_changed", "sku", line.SKU, "price", one.price)
		case one.price.Currency != products[lines[0].SKU].price.Currency:
			return fault.New(fault.Invalid, "currency_mixed", "sku", line.SKU)
		case one.available < int64(line.Quantity):
			return fault.New(fault.Conflict, "out_of_stock", "sku", line.SKU, "available", one.available)
		}
		one.available -= int64(line.Quantity)
	}
	return nil
}

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// draft makes the order as it stands when it is placed.
func draft(p *ordering.PlaceParams, products map[string]*product, now time.Time) ordering.Order {
	order := ordering.Order{
		ID: p.ID, Number: now.Format("060102") + "-" + crockford.EncodeToString(p.ID[8:])[3:13],
		Status: ordering.PendingPayment, PaymentStatus: ordering.Unpaid, FulfillmentStatus: ordering.Unfulfilled,
		ContactMasked: p.ContactMasked, Locale: p.Locale, Metadata: p.Metadata, Sequence: 1, Traceparent: p.Traceparent,
		PlacedAt: now, ExpiresAt: now.Add(p.TTL), Items: make([]ordering.Item, len(p.Lines)),
	}
	for i, line := range p.Lines {
		one := products[line.SKU]
		order.Currency = one.price.Currency
		order.Total += int64(line.Quantity) * one.price.Amount
		order.Items[i] = ordering.Item{
			Line: i + 1, ProductID: one.id, SKU: line.SKU, Name: one.name, Kind: one.kind, Quantity: line.Quantity,
			UnitPrice: one.price.Amount,
		}
	}
	return order
}

func insertOrder(ctx context.Context, tx pgx.Tx, p *ordering.PlaceParams, o *ordering.Order) error {
	var key *string
	if p.IdempotencyKey != "" {
		key = &p.IdempotencyKey
	}
	_, err := tx.Exec(ctx, `insert into orders (id, number, currency, total_amount, contact_sealed, contact_masked,
			phone_fingerprint, email_fingerprint, locale, metadata, api_key_id, idempotency_key, request_hash, traceparent,
			placed_at, expires_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		o.ID, o.Number, o.Currency, o.Total, p.ContactSealed, p.ContactMasked, p.PhoneFingerprint, p.EmailFingerprint,
		o.Locale, p.Metadata, p.APIKeyID, key, p.RequestHash, o.Traceparent, o.PlacedAt, o.ExpiresAt)
	if err != nil {
		return err
	}
	for _, item := range o.Items {
		_, err := tx.Exec(ctx, `insert into order_items (order_id, line, product_id, sku, name, kind, quantity, unit_price_amount)
			values ($1, $2, $3, $4, $5, $6, $7, $8)`,
			o.ID, item.Line, item.ProductID, item.SKU, item.Name, item.Kind, item.Quantity, item.UnitPrice)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update stock set available = available - $2 where product_id = $1`, item.ProductID, item.Quantity)
		if err != nil {
			return err
		}
	}
	return nil
}
