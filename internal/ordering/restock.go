package ordering

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

// waitingForGoods are the holds that end by themselves when there is stock again.
var waitingForGoods = []string{HoldCardShortage, HoldLateNoStock}

// ReleaseRestocked lets paid orders go on that wait for goods, those first that were placed first, and says how many did.
// Those for which there still are none stay as they are, and keep nobody behind them waiting. Upkeep calls it every few
// seconds.
func (s *Service) ReleaseRestocked(ctx context.Context) (released int, err error) {
	const atOnce = 200
	var after uuid.UUID
	for {
		ids, err := dbq.New(s.pool).OrderHeldFor(ctx, dbq.OrderHeldForParams{
			Reasons: waitingForGoods, After: after, Now: s.box.Now(), MaxRows: atOnce,
		})
		if err != nil || len(ids) == 0 {
			return released, err
		}
		n, err := s.releaseRestocked(ctx, ids)
		released += n
		if err != nil || len(ids) < atOnce {
			return released, err
		}
		after = ids[len(ids)-1]
	}
}

func (s *Service) releaseRestocked(ctx context.Context, ids []uuid.UUID) (released int, err error) {
	err = s.box.InTx(ctx, func(tx *outbox.Tx) error {
		shelf, err := LockStock(ctx, tx, ids)
		if err != nil {
			return err
		}
		orders, err := lockFree(ctx, tx, ids)
		if err != nil {
			return err
		}
		restocked, err := s.restocked(ctx, tx, orders, shelf)
		if err != nil {
			return err
		}
		released = len(restocked)
		if err := shelf.Save(ctx, tx); err != nil {
			return err
		}
		return Save(ctx, tx, restocked)
	})
	if err != nil {
		return 0, err
	}
	return released, nil
}

// WaitsForGoods says whether the order is on hold until there are goods, and then goes on by itself.
func (o *Order) WaitsForGoods() bool {
	return o.Status == OnHold && slices.Contains(waitingForGoods, o.HoldReason)
}

// restocked releases what can be delivered now. A card shortage holds reserved units that no card stood behind, so it
// goes on only when there are cards; the other waits for available stock.
func (s *Service) restocked(ctx context.Context, tx *outbox.Tx, orders []*Order, shelf *Shelf) ([]*Order, error) {
	cards, err := cardsOnShelf(ctx, tx, orders)
	if err != nil {
		return nil, err
	}
	var released []*Order
	for _, o := range orders {
		// Somebody may have released it meanwhile, and held it for a reason of theirs.
		if !o.WaitsForGoods() || !shelf.OnSale(o) || !cards.takeFor(o) {
			continue
		}
		err := release(tx, o, shelf, byRestock)
		if fault.HasCode(err, "out_of_stock") {
			cards.putBack(o.Items)
			continue
		}
		if err != nil {
			return nil, err
		}
		released = append(released, o)
	}
	return released, nil
}
