package ordering

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Shelf is stock that a transaction has locked, before any order: what is taken from it and given back, until it is saved.
type Shelf struct {
	rows   map[uuid.UUID]*dbq.StockLockRow
	change map[uuid.UUID]int64
}

// LockStock locks the stock of everything that the orders are of, in product order. It comes before Lock.
func LockStock(ctx context.Context, tx *outbox.Tx, orderIDs []uuid.UUID) (*Shelf, error) {
	q := dbq.New(tx)
	s := &Shelf{rows: map[uuid.UUID]*dbq.StockLockRow{}, change: map[uuid.UUID]int64{}}
	products, err := q.OrderProducts(ctx, orderIDs)
	if err != nil || len(products) == 0 {
		return s, err
	}
	rows, err := q.StockLock(ctx, products)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		s.rows[rows[i].ProductID] = &rows[i]
	}
	return s, nil
}

// Has says whether the stock of all the order's lines is locked here.
func (s *Shelf) Has(o *Order) bool {
	for _, item := range o.Items {
		if s.rows[item.ProductID] == nil {
			return false
		}
	}
	return true
}

// onSale is a product's status while it is sold.
const onSale = "active"

// OnSale says whether everything that an order has still to get is sold. Where it is not, no order gets units without a person.
func (s *Shelf) OnSale(o *Order) bool {
	for _, item := range o.Items {
		if row := s.rows[item.ProductID]; item.Due() > 0 && (row == nil || row.Status != onSale) {
			return false
		}
	}
	return true
}

// Reserve takes the units that an order has still to get, all or none. Fault: out_of_stock.
func (s *Shelf) Reserve(o *Order) error {
	for i, item := range o.Items {
		row := s.rows[item.ProductID]
		if row.Available < int64(item.Due()) {
			for _, taken := range o.Items[:i] {
				s.move(taken.ProductID, int64(taken.Due()))
			}
			return fault.New(fault.Conflict, "out_of_stock", "sku", item.SKU, "available", row.Available)
		}
		s.move(item.ProductID, -int64(item.Due()))
	}
	return nil
}

// giveBack returns everything that an order has reserved.
func (s *Shelf) giveBack(o *Order) {
	if !o.HoldsStock() {
		return
	}
	for _, item := range o.Items {
		s.move(item.ProductID, int64(item.Due()))
	}
}

func (s *Shelf) move(product uuid.UUID, units int64) {
	s.rows[product].Available += units
	s.change[product] += units
}

// Save writes what was taken and given, at the transaction's end, and announces the crossings.
func (s *Shelf) Save(ctx context.Context, tx *outbox.Tx) error {
	var p dbq.StockGiveParams
	for product, units := range s.change {
		if units != 0 {
			p.ProductIds = append(p.ProductIds, product)
		}
	}
	if len(p.ProductIds) == 0 {
		return nil
	}
	slices.SortFunc(p.ProductIds, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	for _, product := range p.ProductIds {
		p.Quantities = append(p.Quantities, s.change[product])
		row := s.rows[product]
		if err := announceLevel(tx, product, row.SKU, row.Available-s.change[product], row.Available, row.LowStockAt); err != nil {
			return err
		}
	}
	return dbq.New(tx.AtEnd()).StockGive(ctx, p)
}

// announceLevel says whether a locked stock that goes from one number to another crosses its low mark, or is gone or back.
func announceLevel(tx *outbox.Tx, product uuid.UUID, sku string, before, after int64, lowAt *int64) error {
	return inventory.AnnounceLevel(tx, product, sku,
		inventory.Level{Available: before, LowStockAt: lowAt}, inventory.Level{Available: after, LowStockAt: lowAt})
}

// Due is how many units of a line have still to be delivered.
func (i *Item) Due() int { return i.Quantity - i.FulfilledQuantity - i.ReturnedQuantity }

// HoldsStock says whether the units that the order has still to get are reserved for it.
func (o *Order) HoldsStock() bool {
	switch o.Status {
	case PendingPayment, Processing:
		return true
	case OnHold:
		return o.HoldReason != HoldLateNoStock && o.HoldReason != HoldLateCanceled
	default:
		return false
	}
}

// manyCards bounds the count of a product's cards: above what one page of orders wants and those before it were promised.
const manyCards = 20_000

// onShelf counts the cards that could be delivered at this moment, by product, as far as somebody wants them.
type onShelf map[uuid.UUID]int64

func cardsOnShelf(ctx context.Context, tx *outbox.Tx, orders []*Order) (onShelf, error) {
	wanted := map[uuid.UUID]int64{}
	for _, o := range orders {
		for _, item := range o.Items {
			if item.Kind == KindCard {
				wanted[item.ProductID] += int64(item.Due())
			}
		}
	}
	cards := onShelf{}
	if len(wanted) == 0 {
		return cards, nil
	}
	p := dbq.CardCountParams{Now: tx.Now}
	for product := range wanted {
		p.ProductIds, p.Quantities = append(p.ProductIds, product), append(p.Quantities, manyCards)
	}
	rows, err := dbq.New(tx).CardCount(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		cards[row.ProductID] = row.Available
	}
	// Orders that were released a moment ago have not taken theirs yet.
	promised, err := dbq.New(tx).OrderCardsPromised(ctx, p.ProductIds)
	if err != nil {
		return nil, err
	}
	for _, row := range promised {
		cards[row.ProductID] -= row.Due
	}
	return cards, nil
}

// takeFor counts an order's cards off, all or none, and says whether they were there.
func (s onShelf) takeFor(o *Order) bool {
	for i, item := range o.Items {
		if item.Kind != KindCard {
			continue
		}
		if s[item.ProductID] -= int64(item.Due()); s[item.ProductID] < 0 {
			s.putBack(o.Items[:i+1])
			return false
		}
	}
	return true
}

func (s onShelf) putBack(items []Item) {
	for _, item := range items {
		if item.Kind == KindCard {
			s[item.ProductID] += int64(item.Due())
		}
	}
}
