package inventory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

// TakeOutExpired takes cards from the shelf that have expired unsold, so that they are not offered any more, and says how many.
// A crossing of the stock's level is announced. Units that orders hold are not touched, whether or not their cards are still
// good: they are delivered from what is, and what is then missing holds the order.
func (s *Service) TakeOutExpired(ctx context.Context) (taken int64, err error) {
	products, err := dbq.New(s.pool).CardProductsWithExpired(ctx, s.timestamp())
	if err != nil {
		return 0, fmt.Errorf("find expired cards: %w", err)
	}
	var errs []error
	for _, product := range products {
		n, err := s.takeOutAll(ctx, product)
		taken += n
		if err != nil { // somebody holds its stock, say: the others' expired cards are offered meanwhile
			errs = append(errs, fmt.Errorf("take out expired cards of product %s: %w", product, err))
		}
	}
	return taken, errors.Join(errs...)
}

const (
	// expiredAtOnce bounds one transaction: it holds up the orders of its product.
	expiredAtOnce = 1000
	// expiredLockWait is little: the next run comes soon.
	expiredLockWait = time.Second
)

func (s *Service) takeOutAll(ctx context.Context, product uuid.UUID) (taken int64, err error) {
	for {
		var n int64
		err := s.box.InTxWaiting(ctx, expiredLockWait, func(tx *outbox.Tx) (err error) {
			n, err = takeOutExpired(ctx, tx, product)
			return err
		})
		if err != nil {
			return taken, err
		}
		if taken += n; n < expiredAtOnce {
			return taken, nil
		}
	}
}

func takeOutExpired(ctx context.Context, tx *outbox.Tx, product uuid.UUID) (int64, error) {
	q := dbq.New(tx)
	locked, err := q.StockLock(ctx, []uuid.UUID{product})
	if err != nil || len(locked) == 0 {
		return 0, err
	}
	stock := locked[0]
	taken, err := q.CardDisableExpired(ctx, dbq.CardDisableExpiredParams{
		ProductID: product, Now: tx.Now, MaxRows: int32(min(stock.Available, expiredAtOnce)),
	})
	if err != nil || taken == 0 {
		return 0, err
	}
	if err := q.StockGive(ctx, dbq.StockGiveParams{ProductIds: []uuid.UUID{product}, Quantities: []int64{-taken}}); err != nil {
		return 0, err
	}
	before := Level{stock.Available, stock.LowStockAt}
	return taken, AnnounceLevel(tx, product, stock.SKU, before, Level{stock.Available - taken, stock.LowStockAt})
}
