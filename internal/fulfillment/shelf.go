package fulfillment

import (
	"context"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// shelf holds the cards that a delivery has claimed, by product.
type shelf struct {
	cards map[uuid.UUID][]uuid.UUID
	// contended are products of which cards are missing only because another transaction has its hands on them. If that
	// one rolls back they are there again, so nobody may call it a shortage yet.
	contended map[uuid.UUID]bool
}

// claim locks as many available cards as the orders need, and finds out why there are less.
func claim(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) (*shelf, error) {
	wanted := wantedCards(orders...)
	s, err := claimAvailable(ctx, tx, wanted)
	if err != nil {
		return nil, err
	}
	return s, s.findContended(ctx, dbq.New(tx), wanted, tx)
}

// claimAvailable locks as many available cards as are wanted, all products in one statement.
func claimAvailable(ctx context.Context, tx *outbox.Tx, wanted map[uuid.UUID]int64) (*shelf, error) {
	s := &shelf{cards: map[uuid.UUID][]uuid.UUID{}, contended: map[uuid.UUID]bool{}}
	if len(wanted) == 0 {
		return s, nil
	}
	p := dbq.CardClaimParams{Now: tx.Now}
	for productID, quantity := range wanted {
		p.ProductIds = append(p.ProductIds, productID)
		p.Quantities = append(p.Quantities, quantity)
	}
	rows, err := dbq.New(tx).CardClaim(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		s.cards[row.ProductID] = append(s.cards[row.ProductID], row.ID)
	}
	return s, nil
}

func (s *shelf) findContended(ctx context.Context, q *dbq.Queries, wanted map[uuid.UUID]int64, tx *outbox.Tx) error {
	p := dbq.CardCountParams{Now: tx.Now}
	for productID, quantity := range wanted {
		if int64(len(s.cards[productID])) < quantity {
			p.ProductIds = append(p.ProductIds, productID)
			p.Quantities = append(p.Quantities, quantity)
		}
	}
	if len(p.ProductIds) == 0 {
		return nil
	}
	counts, err := q.CardCount(ctx, p)
	if err != nil {
		return err
	}
	for _, count := range counts {
		s.contended[count.ProductID] = count.Available > int64(len(s.cards[count.ProductID]))
	}
	return nil
}

func (s *shelf) covers(order *ordering.Order) bool {
	for productID, quantity := range wantedCards(order) {
		if int64(len(s.cards[productID])) < quantity {
			return false
		}
	}
	return true
}

func (s *shelf) contendedFor(order *ordering.Order) bool {
	for productID := range wantedCards(order) {
		if s.contended[productID] {
			return true
		}
	}
	return false
}

func (s *shelf) take(productID uuid.UUID, n int) []uuid.UUID {
	taken := s.cards[productID][:n]
	s.cards[productID] = s.cards[productID][n:]
	return taken
}

// wantedCards counts the cards that orders need, by product.
func wantedCards(orders ...*ordering.Order) map[uuid.UUID]int64 {
	wanted := map[uuid.UUID]int64{}
	for _, order := range orders {
		for _, item := range order.Items {
			if item.Kind == ordering.KindCard {
				wanted[item.ProductID] += int64(item.Due())
			}
		}
	}
	return wanted
}
