package ordering_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type bundle struct {
	pool    *pgxpool.Pool
	box     *outbox.Box
	vault   *cardvault.Vault
	service *ordering.Service
	caller  ordering.Caller
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b := &bundle{
		pool: pool, vault: vault, box: outbox.NewBox(pool, time.Now, nil),
		caller: ordering.Caller{APIKeyID: uuid.New()},
	}
	b.service = b.anotherProcess(t)
	return b
}

// anotherProcess is a second service on the same database: it gathers for itself.
func (b *bundle) anotherProcess(t *testing.T) *ordering.Service {
	t.Helper()
	service := ordering.NewService(ordering.Config{Region: "CN", Committers: 2}, b.pool, b.box, b.vault)
	t.Cleanup(service.Close)
	return service
}

func (b *bundle) product(t *testing.T, sku string, available int, change ...string) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	_, err := b.pool.Exec(t.Context(), `insert into products (id, sku, name, kind, price_amount, price_currency)
		values ($1, $2, 'Game card', 'card', 1999, 'CNY')`, id, sku)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `insert into stock values ($1, $2)`, id, available)
	require.NoError(t, err)
	for _, set := range change {
		_, err = b.pool.Exec(t.Context(), `update products set `+set+` where id = $1`, id)
		require.NoError(t, err)
	}
	return id
}

func (b *bundle) withKey(key string) ordering.Caller {
	caller := b.caller
	caller.IdempotencyKey = key
	return caller
}

func (b *bundle) int(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func one(sku string) ordering.Request {
	return ordering.Request{Lines: []ordering.Line{{SKU: sku, Quantity: 1}}}
}

func TestPlaceWritesOrderStockAndEventTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	productID := b.product(t, "a", 10)

	placed, err := b.service.Place(t.Context(), ordering.Request{
		Lines: []ordering.Line{{SKU: "a", Quantity: 3}}, Phone: "13800138000", Email: "ann@example.com", Locale: "zh",
		Metadata: json.RawMessage(`{"z":1,"a":2}`),
	}, b.caller)
	require.NoError(t, err)
	require.False(t, placed.Replayed)
	require.EqualValues(t, 3*1999, placed.Order.Total)
	require.Equal(t, ordering.PendingPayment, placed.Order.Status)
	require.Regexp(t, `^\d{6}-[0-9A-HJKMNP-TV-Z]{10}$`, placed.Order.Number)
	require.Equal(t, 30*time.Minute, placed.Order.ExpiresAt.Sub(placed.Order.PlacedAt))

	require.Equal(t, 7, b.int(t, `select available from stock where product_id = $1`, productID))
	stored, err := b.service.Get(t.Context(), placed.Order.ID)
	require.NoError(t, err)
	require.Equal(t, placed.Order.View(), stored.View())

	var events []outbox.Event
	require.Eventually(t, func() bool { // other tests' open transactions hold the feed back
		events, _, err = b.box.Feed(t.Context(), "", nil, 10)
		return err != nil || len(events) > 0
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "order.created", events[0].Type)
	view, err := json.Marshal(placed.Order.View())
	require.NoError(t, err)
	require.JSONEq(t, string(view), string(events[0].Payload))
	require.Equal(t, 1, b.int(t, `select count(*) from river_job where kind = 'relay' and state = 'scheduled'`))
}

func TestPlaceKeepsTheContactSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 10)
	request := one("a")
	request.Phone, request.Email = "+8613800138000", "ann.lee@example.com"
	placed, err := b.service.Place(t.Context(), request, b.caller)
	require.NoError(t, err)

	var row, events string
	require.NoError(t, b.pool.QueryRow(t.Context(), `select o::text from orders o`).Scan(&row))
	require.NoError(t, b.pool.QueryRow(t.Context(), `select e::text from outbox e`).Scan(&events))
	for _, secret := range []string{"13800138000", "ann.lee@example.com"} {
		require.NotContains(t, row, secret)
		require.NotContains(t, events, secret)
	}
	found, _, err := b.service.List(t.Context(), ordering.ListParams{}, "13800138000")
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, placed.Order.ID, found[0].ID)
	found, _, err = b.service.List(t.Context(), ordering.ListParams{}, "Ann.Lee@Example.com")
	require.NoError(t, err)
	require.Len(t, found, 1)
	none, _, err := b.service.List(t.Context(), ordering.ListParams{}, "13800138001")
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestPlaceFaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 5)
	b.product(t, "off", 5, "status = 'disabled'")
	b.product(t, "usd", 5, "price_currency = 'USD'")
	line := func(sku string, n int) ordering.Line { return ordering.Line{SKU: sku, Quantity: n} }
	many := make([]ordering.Line, 101)
	for i := range many {
		many[i] = line("a", 1)
	}
	for _, test := range []struct {
		code  string
		lines []ordering.Line
	}{
		{"product_not_found", []ordering.Line{line("nope", 1)}},
		{"product_not_found", []ordering.Line{line("a", 1), line("nope", 1)}},
		{"product_disabled", []ordering.Line{line("a", 1), line("off", 1)}},
		{"currency_mixed", []ordering.Line{line("a", 1), line("usd", 1)}},
		{"price_changed", []ordering.Line{{SKU: "a", Quantity: 1, Price: &ordering.Money{Amount: 1, Currency: "CNY"}}}},
		{"out_of_stock", []ordering.Line{line("a", 6)}},
		{"out_of_stock", []ordering.Line{line("a", 3), line("a", 3)}},
		{"out_of_stock", []ordering.Line{line("usd", 5), line("a", 6)}[1:]},
		{"quantity_out_of_range", []ordering.Line{line("a", 0)}},
		{"quantity_out_of_range", []ordering.Line{line("a", -1)}},
		{"quantity_out_of_range", []ordering.Line{line("a", 1001)}},
		{"order_lines_out_of_range", nil},
		{"order_lines_out_of_range", many},
	} {
		_, err := b.service.Place(t.Context(), ordering.Request{Lines: test.lines}, b.caller)
		require.Truef(t, fault.HasCode(err, test.code), "want %s for %v, got %v", test.code, test.lines, err)
	}
	require.Zero(t, b.int(t, `select count(*) from orders`))
	require.Equal(t, 15, b.int(t, `select sum(available) from stock`))
}

func TestPlaceCountsOneSKUInTwoLines(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.product(t, "a", 5)
	request := ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 2}, {SKU: "a", Quantity: 3}}}
	placed, err := b.service.Place(t.Context(), request, b.caller)
	require.NoError(t, err)
	require.Len(t, placed.Order.Items, 2)
	require.Zero(t, b.int(t, `select available from stock where product_id = $1`, id))
}

func TestPlaceNeverOversells(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ buyers, stock, perLine, lines int }{
		{200, 10, 1, 1}, {1000, 500, 1, 1}, {300, 100, 1, 2},
	} {
		t.Run(fmt.Sprintf("%d buyers, %d in stock, %d lines", test.buyers, test.stock, test.lines), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.product(t, "hot", test.stock)
			processes := []*ordering.Service{b.service, b.anotherProcess(t)}
			request := ordering.Request{}
			for range test.lines {
				request.Lines = append(request.Lines, ordering.Line{SKU: "hot", Quantity: test.perLine})
			}
			var mu sync.Mutex
			var wg sync.WaitGroup
			sold, soldOut := 0, 0
			for i := range test.buyers {
				wg.Go(func() {
					_, err := processes[i%2].Place(t.Context(), request, b.caller)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						sold++
					case fault.HasCode(err, "out_of_stock"):
						soldOut++
					default:
						t.Errorf("place: %v", err)
					}
				})
			}
			wg.Wait()
			perOrder := test.perLine * test.lines
			require.Equal(t, test.stock/perOrder, sold)
			require.Equal(t, test.buyers-sold, soldOut)
			require.Zero(t, b.int(t, `select available from stock where product_id = $1`, id))
			require.Equal(t, test.stock, b.int(t, `select sum(quantity) from order_items`))
		})
	}
}

func TestIdempotencyKeyMakesOneOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 100)
	other := b.anotherProcess(t)
	caller := b.withKey("k1")
	views := make([]ordering.View, 50)
	var wg sync.WaitGroup
	for i := range views {
		wg.Go(func() {
			service := b.service
			if i%2 == 1 {
				service = other
			}
			placed, err := service.Place(t.Context(), one("a"), caller)
			if err != nil {
				t.Errorf("place: %v", err)
			}
			views[i] = placed.Order.ViewAsPlaced()
		})
	}
	wg.Wait()
	for _, view := range views {
		require.Equal(t, views[0], view)
	}
	require.Equal(t, 1, b.int(t, `select count(*) from orders`))
	require.Equal(t, 99, b.int(t, `select available from stock`))
	require.Equal(t, 1, b.int(t, `select count(*) from outbox`))

	_, err := b.service.Place(t.Context(), ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 2}}}, caller)
	require.True(t, fault.HasCode(err, "idempotency_key_reused"), "%v", err)

	stranger := ordering.Caller{APIKeyID: uuid.New(), IdempotencyKey: "k1"}
	placed, err := b.service.Place(t.Context(), one("a"), stranger)
	require.NoError(t, err)
	require.False(t, placed.Replayed, "another API key's keys are its own")
}

// Different bodies under one key lock different stock rows, so only the unique index sees that they collide.
func TestIdempotencyKeyRaceOfTwoProcessesWithTwoBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 1000)
	b.product(t, "b", 1000)
	other := b.anotherProcess(t)
	for round := range 30 {
		caller := b.withKey(fmt.Sprintf("k%d", round))
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { _, errs[0] = b.service.Place(t.Context(), one("a"), caller) })
		wg.Go(func() { _, errs[1] = other.Place(t.Context(), one("b"), caller) })
		wg.Wait()
		won, lost := errs[0], errs[1]
		if won != nil {
			won, lost = lost, won
		}
		require.NoError(t, won)
		require.True(t, fault.HasCode(lost, "idempotency_key_reused"), "%v", lost)
	}
	require.Equal(t, 30, b.int(t, `select count(*) from orders`))
	require.Equal(t, 1970, b.int(t, `select sum(available) from stock`))
}

// What a replay answers is the first answer, to the byte, whatever has become of the order.
func TestReplayIsTheFirstResponse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 10)
	request := one("a")
	request.Metadata = json.RawMessage(`{"z": 1, "a": [1.50, "é"]}`)
	first, err := b.service.Place(t.Context(), request, b.withKey("k"))
	require.NoError(t, err)
	firstJSON, err := json.Marshal(first.Order.ViewAsPlaced())
	require.NoError(t, err)

	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		orders, err := ordering.Lock(t.Context(), tx, []uuid.UUID{first.Order.ID})
		if err != nil {
			return err
		}
		if err := orders[first.Order.ID].MarkPaid(tx, ordering.By{Actor: "test"}); err != nil {
			return err
		}
		return ordering.Save(t.Context(), tx, []*ordering.Order{orders[first.Order.ID]})
	}))
	again, err := b.service.Place(t.Context(), request, b.withKey("k"))
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, ordering.Processing, again.Order.Status)
	againJSON, err := json.Marshal(again.Order.ViewAsPlaced())
	require.NoError(t, err)
	require.Equal(t, string(firstJSON), string(againJSON)) //nolint:testifylint // to the byte
}

// A member that the database refuses fails alone.
func TestPoisonMemberFailsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 1000)
	requests := make([]ordering.Request, 40)
	for i := range requests {
		requests[i] = one("a")
	}
	requests[17].Metadata = json.RawMessage(`{"nul":"\u0000"}`)
	results := b.service.PlaceMany(t.Context(), requests, make([]string, 40), b.caller)
	for i, result := range results {
		if i == 17 {
			require.True(t, fault.HasCode(result.Err, "order_not_storable"), "%v", result.Err)
			continue
		}
		require.NoError(t, result.Err)
	}
	require.Equal(t, 39, b.int(t, `select count(*) from orders`))
	require.Equal(t, 961, b.int(t, `select available from stock`))
}

func TestPlaceManyAnswersInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 2)
	results := b.service.PlaceMany(t.Context(), []ordering.Request{one("a"), one("nope"), one("a"), one("a"), {}},
		make([]string, 5), b.caller)
	codes := make([]string, len(results))
	for i, result := range results {
		if f, ok := fault.As(result.Err); ok {
			codes[i] = f.Code
		}
	}
	require.Equal(t, []string{"", "product_not_found", "", "out_of_stock", "order_lines_out_of_range"}, codes)
}

func TestListPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 100)
	for range 6 {
		_, err := b.service.Place(t.Context(), one("a"), b.caller)
		require.NoError(t, err)
	}
	seen := map[uuid.UUID]bool{}
	last, pages, cursor := uuid.Max, 0, ""
	for pages == 0 || cursor != "" {
		page, next, err := b.service.List(t.Context(), ordering.ListParams{Cursor: cursor, Limit: 2}, "")
		require.NoError(t, err)
		for _, order := range page {
			require.Len(t, order.Items, 1)
			require.Less(t, order.ID.String(), last.String())
			last = order.ID
			seen[order.ID] = true
		}
		cursor = next
		pages++
	}
	require.Len(t, seen, 6)
	require.Equal(t, 3, pages, "the last page is full, and is the last")
	completed, next, err := b.service.List(t.Context(), ordering.ListParams{Status: "completed"}, "")
	require.NoError(t, err)
	require.Empty(t, completed)
	require.Empty(t, next)
	_, _, err = b.service.List(t.Context(), ordering.ListParams{Cursor: last.String()}, "")
	require.True(t, fault.HasCode(err, "cursor_invalid"), "%v", err)
}
