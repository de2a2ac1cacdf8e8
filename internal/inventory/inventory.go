// Package inventory is what is sold: products, the counted ones' stock, and the cards that come in by import.
//
// Stock is one number a product, available, which orders take from under a lock (ordering does that itself). What is
// reserved and delivered is derived: available + reserved + delivered + revoked = imported, where imported is the sum
// of the stock movements.
package inventory

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Service keeps the products and takes in the cards.
type Service struct {
	pool  *pgxpool.Pool
	vault *cardvault.Vault
	box   *outbox.Box
	now   func() time.Time
}

// NewService makes the service.
func NewService(pool *pgxpool.Pool, vault *cardvault.Vault, box *outbox.Box, now func() time.Time) *Service {
	return &Service{pool: pool, vault: vault, box: box, now: now}
}

// Kind says what one unit of a product is.
type Kind string

// The kinds.
const (
	KindCard    Kind = "card"    // a code of its own, imported; stock is the cards that are available
	KindCounted Kind = "counted" // a number; what is delivered is done elsewhere
)

// Status says whether a product can be ordered.
type Status string

// The statuses.
const (
	StatusActive   Status = "active"
	StatusDisabled Status = "disabled"
)

// Money is an amount with its currency.
type Money = money.Money

// Product is one thing that is sold.
type Product struct {
	ID         uuid.UUID
	SKU        string
	Name       string
	Kind       Kind
	Status     Status
	Price      Money
	OrderTTL   *int32 // seconds that an order with it can be paid; nil: the shop's own time
	LowStockAt *int64 // stock is low at this many and below; nil: never
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Available  int64  // units that can be ordered now
	Stock      *Stock // only from GetWithStock
}

// Stock is where the units of a product are. Available and these sum up to Imported.
type Stock struct {
	Reserved  int64 // by orders that are not delivered yet
	Delivered int64
	Revoked   int64 // delivered and refunded; never sold again
	Disabled  int64 // taken from the shelf unsold, because they have expired
	Imported  int64 // everything that came in, less what was taken out by hand
}

// now is the time as the database keeps it.
func (s *Service) timestamp() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
