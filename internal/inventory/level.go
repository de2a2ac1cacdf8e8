package inventory

import (
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/outbox"
)

// The events of a stock's level: each is told when the level becomes that one, whichever it was before. So the last of
// a product's events says where it stands, and no two that follow each other are the same.
const (
	EventLow       = "stock.low"       // at low_stock_at or below, and not nothing
	EventDepleted  = "stock.depleted"  // nothing is available
	EventRestocked = "stock.restocked" // above low_stock_at (above nothing, without one)
)

// Level is what a stock row says, read or written while the row is locked.
type Level struct {
	Available  int64
	LowStockAt *int64 // low at this many and below; nil: never
}

func (l Level) event() string {
	switch {
	case l.Available <= 0:
		return EventDepleted
	case l.LowStockAt != nil && l.Available <= *l.LowStockAt:
		return EventLow
	default:
		return EventRestocked
	}
}

// levelChanged is the payload of the three events.
type levelChanged struct {
	SKU        string    `json:"sku"`
	ProductID  uuid.UUID `json:"product_id"`
	Available  int64     `json:"available"`
	LowStockAt *int64    `json:"low_stock_at"`
}

// AnnounceLevel appends the event of a crossing, if there is one between before and after. Everybody who changes a stock
// row calls it in the transaction that does, once for each row, with what the row said when that transaction had locked
// it and with what it will say at its commit. Then each transaction's before is the after of the one that had the lock
// before it, so every crossing is told once, and nothing has to be remembered about what was told.
func AnnounceLevel(tx *outbox.Tx, productID uuid.UUID, sku string, before, after Level) error {
	event := after.event()
	if event == before.event() {
		return nil
	}
	payload, err := json.Marshal(levelChanged{sku, productID, after.Available, after.LowStockAt})
	if err != nil {
		return fmt.Errorf("inventory: event payload: %w", err)
	}
	tx.Append(outbox.Event{AggregateType: "product", AggregateID: productID.String(), Type: event, Payload: payload})
	return nil
}

// announceAdded is AnnounceLevel for stock that this transaction has added delta units to.
func announceAdded(tx *outbox.Tx, product Product, delta int64, after Level) error {
	before := Level{after.Available - delta, after.LowStockAt}
	return AnnounceLevel(tx, product.ID, product.SKU, before, after)
}
