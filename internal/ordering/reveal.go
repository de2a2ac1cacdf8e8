package ordering

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Card is a delivered card, in the clear.
type Card struct {
	Line      int
	Unit      int
	SKU       string
	Code      string
	ExpiresAt *time.Time
}

// Reveals shows delivered cards to those who may see them.
type Reveals struct {
	pool  *pgxpool.Pool
	vault *cardvault.Vault
	now   func() time.Time
}

// NewReveals makes it.
func NewReveals(pool *pgxpool.Pool, vault *cardvault.Vault, now func() time.Time) *Reveals {
	return &Reveals{pool: pool, vault: vault, now: now}
}

// OfOrder returns the codes of an order's delivered cards; none as long as nothing is delivered. Every look at codes is
// recorded with who looked, in the same transaction: no record, no codes. Fault: order_not_found.
func (r *Reveals) OfOrder(ctx context.Context, orderID uuid.UUID, actor, requestID string) ([]Card, error) {
	// Buyers ask again and again until the cards are there, so that question has to be cheap.
	rows, err := dbq.New(r.pool).CardsOfOrder(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, r.mustExist(ctx, orderID)
	}
	err = pgdb.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		var err error
		if rows, err = q.CardsOfOrder(ctx, orderID); err != nil || len(rows) == 0 {
			return err
		}
		return q.CardRevealInsert(ctx, dbq.CardRevealInsertParams{
			OrderID: orderID, Actor: actor, RequestID: requestID, Cards: int32(len(rows)), RevealedAt: r.now(),
		})
	})
	if err != nil {
		return nil, err
	}
	cards := make([]Card, len(rows))
	for i, row := range rows {
		code, err := r.vault.Unseal(ctx, cardvault.KindCard, row.ID, row.Sealed)
		if err != nil {
			return nil, fmt.Errorf("ordering: card %s: %w", row.ID, err)
		}
		cards[i] = Card{Line: int(row.Line), Unit: int(row.Unit), SKU: row.SKU, Code: string(code), ExpiresAt: row.ExpiresAt}
	}
	return cards, nil
}

func (r *Reveals) mustExist(ctx context.Context, orderID uuid.UUID) error {
	exists, err := dbq.New(r.pool).OrderExists(ctx, orderID)
	if err == nil && !exists {
		return fault.New(fault.NotFound, "order_not_found", "order_id", orderID)
	}
	return err
}
