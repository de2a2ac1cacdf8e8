package ordering

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

type madeOrder struct {
	order  *Order
	params *PlaceParams
}

// insert writes the admitted orders, set-wise.
func insert(ctx context.Context, tx *outbox.Tx, made []madeOrder) error {
	if len(made) == 0 {
		return nil
	}
	// Two processes that insert the same keys in different orders would wait for each other.
	sorted := slices.SortedFunc(slices.Values(made), func(a, b madeOrder) int {
		return cmp.Or(bytes.Compare(a.params.APIKeyID[:], b.params.APIKeyID[:]),
			cmp.Compare(a.params.IdempotencyKey, b.params.IdempotencyKey))
	})
	q := dbq.New(tx.AtEnd())
	if err := q.OrderInsert(ctx, orderColumns(sorted)); err != nil {
		return err
	}
	items, taken := itemColumns(made)
	if err := q.OrderItemInsert(ctx, items); err != nil {
		return err
	}
	if err := q.OrderTakeStock(ctx, taken); err != nil {
		return err
	}
	for _, m := range made {
		if err := appendEvent(tx, m.order, EventCreated); err != nil {
			return err
		}
	}
	return nil
}

func orderColumns(made []madeOrder) dbq.OrderInsertParams {
	p := dbq.OrderInsertParams{PlacedAt: made[0].order.PlacedAt}
	for _, m := range made {
		p.IDs = append(p.IDs, m.order.ID)
		p.Numbers = append(p.Numbers, m.order.Number)
		p.Currencies = append(p.Currencies, m.order.Currency)
		p.TotalAmounts = append(p.TotalAmounts, m.order.Total)
		p.ContactsSealed = append(p.ContactsSealed, m.params.ContactSealed)
		p.ContactsMasked = append(p.ContactsMasked, m.params.ContactMasked)
		p.PhoneFingerprints = append(p.PhoneFingerprints, m.params.PhoneFingerprint)
		p.EmailFingerprints = append(p.EmailFingerprints, m.params.EmailFingerprint)
		p.IPFingerprints = append(p.IPFingerprints, m.params.IPFingerprint)
		p.Locales = append(p.Locales, m.order.Locale)
		p.Metadata = append(p.Metadata, m.order.Metadata)
		p.APIKeyIds = append(p.APIKeyIds, m.params.APIKeyID)
		p.IdempotencyKeys = append(p.IdempotencyKeys, m.params.IdempotencyKey)
		p.RequestHashes = append(p.RequestHashes, m.params.RequestHash)
		p.Traceparents = append(p.Traceparents, m.order.Traceparent)
		p.ExpiresAt = append(p.ExpiresAt, m.order.ExpiresAt)
	}
	return p
}

func itemColumns(made []madeOrder) (dbq.OrderItemInsertParams, dbq.OrderTakeStockParams) {
	var items dbq.OrderItemInsertParams
	quantities := map[uuid.UUID]int64{}
	for _, m := range made {
		for _, item := range m.order.Items {
			items.OrderIds = append(items.OrderIds, m.order.ID)
			items.Lines = append(items.Lines, int32(item.Line))
			items.ProductIds = append(items.ProductIds, item.ProductID)
			items.Skus = append(items.Skus, item.SKU)
			items.Names = append(items.Names, item.Name)
			items.Kinds = append(items.Kinds, item.Kind)
			items.Quantities = append(items.Quantities, int32(item.Quantity))
			items.UnitPriceAmounts = append(items.UnitPriceAmounts, item.UnitPrice)
			quantities[item.ProductID] += int64(item.Quantity)
		}
	}
	var taken dbq.OrderTakeStockParams
	for id, quantity := range quantities {
		taken.ProductIds = append(taken.ProductIds, id)
		taken.Quantities = append(taken.Quantities, quantity)
	}
	return items, taken
}
