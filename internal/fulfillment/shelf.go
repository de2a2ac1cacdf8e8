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

func newShelf() *shelf {
	return &shelf{cards: map[uuid.UUID][]uuid.UUID{}, contended: map[uuid.UUID]bool{}}
}

// claim locks as many available cards as the orders need, all products in one statement, and finds out why there are less.
func claim(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) (*shelf, error) {
	s, wanted := newShelf(), wantedCards(orders...)
	if len(wanted) == 0 {
		return s, nil
	}
	q := dbq.New(tx)
	rows, err := q.CardClaim(ctx, cardsWanted(tx, wanted))
	if err != nil {
		return nil, err
	}
	s.put(rows)
	return s, s.findContended(ctx, q, wanted, tx)
}

func cardsWanted(tx *outbox.Tx, wanted map[uuid.UUID]int64) dbq.CardClaimParams {
	p := dbq.CardClaimParams{Now: tx.Now}
	for productID, quantity := range wanted {
		p.ProductIds = append(p.ProductIds, productID)
		p.Quantities = append(p.Quantities, quantity)
	}
	return p
}

func (s *shelf) put(rows []dbq.CardClaimRow) {
	for _, row := range rows {
		s.cards[row.ProductID] = append(s.cards[row.ProductID], row.ID)
	}
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
