package ordering_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
)

// shelf is one product whose stock goes up and down.
type shelf struct {
	*bundle

	stock *inventory.Service
	id    uuid.UUID
	sku   string

	mu     sync.Mutex
	placed []uuid.UUID // orders that may still be canceled
}

func (b *bundle) shelf(ctx context.Context, t require.TestingT, stock *inventory.Service) *shelf {
	sku := "shelf-" + uuid.NewString()
	product, err := stock.Create(ctx, inventory.CreateParams{
		SKU: sku, Name: "Shelf", Kind: inventory.KindCounted, Price: ordering.Money{Amount: 100, Currency: "CNY"},
	})
	require.NoError(t, err)
	return &shelf{bundle: b, stock: stock, id: product.ID, sku: sku}
}

// move is one change of a shelf: units ordered, the units of the latest order given back, units given or taken by hand, or
// another low mark (-1: none).
type move struct {
	kind  string
	units int64
}

var moves = rapid.Custom(func(t *rapid.T) move {
	kind := rapid.SampledFrom([]string{"order", "order", "cancel", "adjust", "low"}).Draw(t, "kind")
	switch kind {
	case "order":
		return move{kind, rapid.Int64Range(1, 4).Draw(t, "units")}
	case "cancel":
		return move{kind, 0}
	case "adjust":
		return move{kind, rapid.SampledFrom([]int64{-3, -1, 1, 2, 5, 9}).Draw(t, "delta")}
	default:
		return move{kind, rapid.Int64Range(-1, 5).Draw(t, "low mark")}
	}
})

// do makes a move. What the stock does not allow is refused, and no failure.
func (s *shelf) do(ctx context.Context, m move) error {
	var err error
	switch m.kind {
	case "order":
		var order ordering.Placed
		order, err = s.service.Place(ctx, ordering.Request{Lines: []ordering.Line{{SKU: s.sku, Quantity: int(m.units)}}}, s.caller)
		if err == nil {
			s.mu.Lock()
			s.placed = append(s.placed, order.Order.ID)
			s.mu.Unlock()
		}
	case "cancel":
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.placed) > 0 {
			last := len(s.placed) - 1
			_, err = s.service.Cancel(ctx, s.placed[last], ordering.By{Actor: "test"})
			s.placed = s.placed[:last]
		}
	case "adjust":
		_, err = s.stock.AdjustStock(ctx, s.sku, m.units, "count", "test")
	case "low":
		var lowAt *int64
		if m.units >= 0 {
			lowAt = &m.units
		}
		_, err = s.stock.Update(ctx, s.sku, inventory.Patch{LowStockAt: &lowAt})
	}
	if fault.HasCode(err, "out_of_stock") || fault.HasCode(err, "stock_below_zero") {
		return nil
	}
	return err
}

// levelOf is the rule once more, in the test's own words.
func levelOf(available int64, lowAt *int64) string {
	if available == 0 {
		return "stock.depleted"
	}
	if lowAt != nil && *lowAt >= available {
		return "stock.low"
	}
	return "stock.restocked"
}

type levelEvent struct {
	Type      string    `json:"-"`
	SKU       string    `json:"sku"`
	ProductID uuid.UUID `json:"product_id"`
	Available int64     `json:"available"`
	LowAt     *int64    `json:"low_stock_at"`
}

// told is every level event of the shelf. Their ids are made one after the other, while the stock row is locked.
func (s *shelf) told(ctx context.Context, t require.TestingT) []levelEvent {
	rows, err := s.pool.Query(ctx, `select type, payload from outbox where aggregateid = $1 and type like 'stock.%' order by id`,
		s.id.String())
	require.NoError(t, err)
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (levelEvent, error) {
		var event levelEvent
		var eventType string
		var payload []byte
		if err := row.Scan(&eventType, &payload); err != nil {
			return event, err
		}
		event.Type = eventType
		return event, json.Unmarshal(payload, &event)
	})
	require.NoError(t, err)
	return events
}

func (s *shelf) level(ctx context.Context, t require.TestingT) string {
	product, err := s.stock.Get(ctx, s.sku)
	require.NoError(t, err)
	return levelOf(product.Available, product.LowStockAt)
}

// One after the other, each move that changes the level is told once, and nothing else is.
func TestEveryCrossingIsToldOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stock := inventory.NewService(b.pool, b.vault, b.box, time.Now)
	rapid.Check(t, func(rt *rapid.T) {
		s := b.shelf(t.Context(), rt, stock)
		level := "stock.depleted"
		var want, got []string
		for _, m := range rapid.SliceOfN(moves, 1, 12).Draw(rt, "moves") {
			require.NoError(rt, s.do(t.Context(), m))
			if now := s.level(t.Context(), rt); now != level {
				level = now
				want = append(want, now)
			}
		}
		for _, event := range s.told(t.Context(), rt) {
			got = append(got, event.Type)
			require.Equal(rt, s.sku, event.SKU)
			require.Equal(rt, s.id, event.ProductID)
		}
		require.Equal(rt, want, got)
	})
}

// Side by side, orders, adjustments and new low marks tell a chain without a gap: each event is another level than the
// one before, and the last is the level that the stock has in the end.
func TestCrossingsAreAChainWhateverRunsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stock := inventory.NewService(b.pool, b.vault, b.box, time.Now)
	rapid.Check(t, func(rt *rapid.T) {
		s := b.shelf(t.Context(), rt, stock)
		require.NoError(rt, s.do(t.Context(), move{"adjust", rapid.Int64Range(1, 12).Draw(rt, "opening")}))
		hands := rapid.SliceOfN(rapid.SliceOfN(moves, 1, 6), 3, 3).Draw(rt, "hands")
		errs := make([]error, len(hands))
		var done sync.WaitGroup
		for i, hand := range hands {
			done.Go(func() {
				for _, m := range hand {
					if errs[i] = s.do(t.Context(), m); errs[i] != nil {
						return
					}
				}
			})
		}
		done.Wait()
		for _, err := range errs {
			require.NoError(rt, err)
		}
		level := "stock.depleted"
		for _, event := range s.told(t.Context(), rt) {
			require.NotEqual(rt, level, event.Type, "told twice")
			require.Equal(rt, levelOf(event.Available, event.LowAt), event.Type)
			level = event.Type
		}
		require.Equal(rt, s.level(t.Context(), rt), level, "a crossing was not told")
	})
}

// Many orders in one transaction are one crossing; a cart that is refused is none.
func TestABatchOfOrdersCrossesOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stock := inventory.NewService(b.pool, b.vault, b.box, time.Now)
	s := b.shelf(t.Context(), t, stock)
	require.NoError(t, s.do(t.Context(), move{"low", 5}))
	require.NoError(t, s.do(t.Context(), move{"adjust", 8}))
	requests, keys := make([]ordering.Request, 6), make([]string, 6)
	for i := range requests {
		requests[i], keys[i] = one(s.sku), fmt.Sprint("key-", i)
	}
	for range 2 { // the second time they are replays
		for _, result := range s.service.PlaceMany(t.Context(), requests, keys, s.caller) {
			require.NoError(t, result.Err)
		}
	}
	_, err := s.service.Place(t.Context(), ordering.Request{Lines: []ordering.Line{{SKU: s.sku, Quantity: 3}}}, s.caller)
	require.True(t, fault.HasCode(err, "out_of_stock"), "%v", err)
	var told []string
	for _, event := range s.told(t.Context(), t) {
		told = append(told, event.Type)
	}
	require.Equal(t, []string{"stock.restocked", "stock.low"}, told, "however many transactions it took")
}
