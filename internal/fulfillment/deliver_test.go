package fulfillment_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	master cardvault.MasterKey
	box    *outbox.Box
	stock  *inventory.Service
	orders *ordering.Service
	cards  *ordering.Reveals
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := pgtest.New(t)
	master := cardvault.NewMasterKey()
	vault, err := cardvault.Open(t.Context(), pool, master)
	require.NoError(t, err)
	box := outbox.NewBox(pool, time.Now, nil)
	b := &bundle{
		t: t, pool: pool, master: master, box: box, stock: inventory.NewService(pool, vault, box, time.Now),
		orders: ordering.NewService(ordering.Config{}, pool, box, vault), cards: ordering.NewReveals(pool, vault, time.Now),
	}
	t.Cleanup(b.orders.Close)
	return b
}

func (b *bundle) product(sku string, kind inventory.Kind, codes ...string) {
	b.t.Helper()
	_, err := b.stock.Create(b.t.Context(), inventory.CreateParams{
		SKU: sku, Name: sku, Kind: kind, Price: inventory.Money{Amount: 100, Currency: "CNY"},
	})
	require.NoError(b.t, err)
	if kind == inventory.KindCounted {
		_, err := b.stock.AdjustStock(b.t.Context(), sku, 1000, "opening", "test")
		require.NoError(b.t, err)
		return
	}
	report, err := b.stock.Import(b.t.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatCSV, Actor: "test", Reader: strings.NewReader("pin,expires_at\n" + strings.Join(codes, "\n") + "\n"),
	})
	require.NoError(b.t, err)
	require.EqualValues(b.t, len(codes), report.Imported)
}

func codes(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%05d,", prefix, i)
	}
	return all
}

// paid places an order and marks it paid.
func (b *bundle) paid(lines ...ordering.Line) uuid.UUID {
	b.t.Helper()
	placed, err := b.orders.Place(b.t.Context(), ordering.Request{Lines: lines}, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(b.t, err)
	b.pay(placed.Order.ID)
	return placed.Order.ID
}

func (b *bundle) pay(ids ...uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		locked, err := ordering.Lock(b.t.Context(), tx, ids)
		if err != nil {
			return err
		}
		var changed []*ordering.Order
		for _, order := range locked {
			if err := order.MarkPaid(tx, ordering.By{Actor: "test"}); err != nil {
				return err
			}
			changed = append(changed, order)
		}
		return ordering.Save(b.t.Context(), tx, changed)
	}))
}

func (b *bundle) deliver(ids ...uuid.UUID) []fulfillment.Outcome {
	b.t.Helper()
	outcomes := make([]fulfillment.Outcome, len(ids))
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		results, err := fulfillment.Deliver(b.t.Context(), tx, ids)
		for i, result := range results {
			outcomes[i] = result.Value
		}
		return err
	}))
	return outcomes
}

func (b *bundle) int(query string, args ...any) int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

func (b *bundle) codesOf(id uuid.UUID) []string {
	b.t.Helper()
	cards, err := b.cards.OfOrder(b.t.Context(), id, "test", "request")
	require.NoError(b.t, err)
	all := make([]string, len(cards))
	for i, card := range cards {
		all[i] = card.Code
	}
	return all
}

func (b *bundle) order(id uuid.UUID) *ordering.Order {
	b.t.Helper()
	order, err := b.orders.Get(b.t.Context(), id)
	require.NoError(b.t, err)
	return order
}

// An order that was released before it was paid is not delivered for that: what comes between would be passed by.
func TestOnlyPaidOrdersAreEnlisted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("n", inventory.KindCounted)
	var events []outbox.Event
	b.box = outbox.NewBox(b.pool, time.Now, func(batch outbox.Batch) { events = append(events, batch.Events...) })
	vault, err := cardvault.Open(t.Context(), b.pool, b.master)
	require.NoError(t, err)
	b.orders = ordering.NewService(ordering.Config{}, b.pool, b.box, vault)
	t.Cleanup(b.orders.Close)
	placed, err := b.orders.Place(t.Context(), ordering.Request{Lines: []ordering.Line{line("n", 1)}}, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(t, err)
	unpaid, paid := placed.Order.ID, b.paid(line("n", 1))
	for _, id := range []uuid.UUID{unpaid, paid} {
		_, err := b.orders.Hold(t.Context(), id, ordering.By{Actor: "test"})
		require.NoError(t, err)
		_, err = b.orders.Release(t.Context(), id, ordering.By{Actor: "test"})
		require.NoError(t, err)
	}
	require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
		jobs, err := fulfillment.Enlist(t.Context(), tx, events)
		require.Len(t, jobs, 2) // of order.paid, and of its release
		for _, job := range jobs {
			require.Equal(t, fulfillment.Args{OrderID: paid}, job.Args)
		}
		return err
	}))
}

func line(sku string, n int) ordering.Line { return ordering.Line{SKU: sku, Quantity: n} }

func TestAPaidOrderGetsItsCardsAndCompletes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 10)...)
	b.product("b", inventory.KindCard, codes("B", 10)...)
	b.product("c", inventory.KindCounted)
	id := b.paid(line("a", 2), line("b", 1), line("c", 5), line("a", 1))
	require.Empty(t, b.codesOf(id), "nothing before the delivery")
	require.Zero(t, b.int(`select count(*) from card_reveals`))
	require.Equal(t, []fulfillment.Outcome{fulfillment.Delivered}, b.deliver(id))

	got := b.codesOf(id)
	require.ElementsMatch(t, []string{"A-00000", "A-00001", "A-00002", "B-00000"}, got)
	order := b.order(id)
	require.Equal(t, ordering.Completed, order.Status)
	require.Equal(t, ordering.Fulfilled, order.FulfillmentStatus)
	for _, item := range order.Items {
		require.Equal(t, item.Quantity, item.FulfilledQuantity)
	}
	require.Equal(t, 1, b.int(`select count(*) from outbox where type = 'order.completed'`))
	require.Equal(t, 3, order.Sequence)
	require.Equal(t, 1, b.int(`select count(*) from card_reveals where actor = 'test' and cards = 4`), "every look is recorded")

	require.Equal(t, []fulfillment.Outcome{fulfillment.Untouched}, b.deliver(id), "a second delivery does nothing")
	require.ElementsMatch(t, got, b.codesOf(id))
}

func TestCardsThatExpireFirstGoFirstAndExpiredOnesNever(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon, later := time.Now().AddDate(0, 0, 2).Format(time.DateOnly), time.Now().AddDate(1, 0, 0).Format(time.DateOnly)
	b.product("a", inventory.KindCard, "NEVER,", "LATER,"+later, "SOON,"+soon, "GONE,"+soon)
	_, err := b.pool.Exec(t.Context(), `update cards set expires_at = now() - interval '1 h'
		where id = (select id from cards where expires_at is not null order by id desc limit 1)`)
	require.NoError(t, err)
	var order []string
	for range 3 {
		id := b.paid(line("a", 1))
		b.deliver(id)
		order = append(order, b.codesOf(id)...)
	}
	require.Equal(t, []string{"SOON", "LATER", "NEVER"}, order)
	require.Equal(t, []fulfillment.Outcome{fulfillment.Shortage}, b.deliver(b.paid(line("a", 1))))
}

func TestAShortageHoldsTheOrderAndTakesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 5)...)
	b.product("b", inventory.KindCard, codes("B", 5)...)
	short := b.paid(line("a", 2), line("b", 3))
	fine := b.paid(line("a", 2))
	_, err := b.pool.Exec(t.Context(), `update cards set state = 'disabled' where product_id = (select id from products where sku = 'b')`)
	require.NoError(t, err)
	require.Equal(t, []fulfillment.Outcome{fulfillment.Shortage, fulfillment.Delivered}, b.deliver(short, fine))
	order := b.order(short)
	require.Equal(t, ordering.OnHold, order.Status)
	require.Equal(t, ordering.HoldCardShortage, order.HoldReason)
	require.Equal(t, ordering.Unfulfilled, order.FulfillmentStatus)
	require.Zero(t, b.int(`select count(*) from card_deliveries where order_id = $1`, short))
	require.Equal(t, 3, b.int(`select count(*) from cards where state = 'available'`))
	require.Equal(t, 1, b.int(`select count(*) from outbox where type = 'order.on_hold'`))
}

// Cards that another transaction holds are not a shortage: it may yet roll back.
func TestCardsInOtherHandsAreNotAShortage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 2)...)
	id := b.paid(line("a", 2))
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `select id from cards limit 1 for update`)
	require.NoError(t, err)
	require.Equal(t, []fulfillment.Outcome{fulfillment.Contended}, b.deliver(id))
	require.Equal(t, ordering.Processing, b.order(id).Status)
	require.NoError(t, other.Rollback(t.Context()))
	require.Equal(t, []fulfillment.Outcome{fulfillment.Delivered}, b.deliver(id))
}

func TestUnpaidHeldAndUnknownOrdersAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 5)...)
	unpaid, err := b.orders.Place(t.Context(), ordering.Request{Lines: []ordering.Line{line("a", 1)}}, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(t, err)
	held := b.paid(line("a", 1))
	_, err = b.pool.Exec(t.Context(), `update orders set status = 'on_hold', hold_reason = 'wrong_amount' where id = $1`, held)
	require.NoError(t, err)
	untouched := fulfillment.Untouched
	require.Equal(t, []fulfillment.Outcome{untouched, untouched, untouched}, b.deliver(unpaid.Order.ID, held, uuid.New()))
	require.Equal(t, 5, b.int(`select count(*) from cards where state = 'available'`))
}

// Several processes deliver the same orders, in sets that overlap: each order once, each card once.
func TestManyDeliverersDeliverEachOrderOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 300)...)
	ids := make([]uuid.UUID, 150)
	for i := range ids {
		ids[i] = b.paid(line("a", 2))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	delivered := map[uuid.UUID]int{}
	for worker := range 6 {
		wg.Go(func() {
			for start := worker * 10; start < len(ids); start += 25 {
				set := ids[start:min(start+40, len(ids))]
				for done := false; !done; {
					done = true
					err := b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
						results, err := fulfillment.Deliver(t.Context(), tx, set)
						mu.Lock()
						defer mu.Unlock()
						for i, result := range results {
							switch result.Value {
							case fulfillment.Delivered:
								delivered[set[i]]++
							case fulfillment.Contended:
								done = false
							case fulfillment.Shortage:
								t.Error("a shortage where there was none")
							case fulfillment.Untouched:
							}
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	b.deliver(ids...)
	for id, n := range delivered {
		require.Equal(t, 1, n, id)
	}
	require.Equal(t, 150, b.int(`select count(*) from orders where status = 'completed'`))
	require.Equal(t, 300, b.int(`select count(distinct card_id) from card_deliveries`))
	require.Equal(t, 150, b.int(`select count(*) from outbox where type = 'order.completed'`))
}

func TestEnlistTakesEachPaidOrderOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 5)...)
	id := b.paid(line("a", 1))
	events := []outbox.Event{
		{
			ID: uuid.New(), Type: ordering.EventPaid, AggregateType: "order", AggregateID: id.String(),
			Headers: outbox.Headers{Traceparent: "00-x"},
		},
		{ID: uuid.New(), Type: ordering.EventCreated, AggregateType: "order", AggregateID: id.String()},
		{ID: uuid.New(), Type: ordering.EventPaid, AggregateType: "thing", AggregateID: "1"},
	}
	enlist := func() (n int) {
		require.NoError(t, pgdb.InTx(t.Context(), b.pool, func(tx pgx.Tx) error {
			jobs, err := fulfillment.Enlist(t.Context(), tx, events)
			n = len(jobs)
			if n > 0 {
				require.Equal(t, fulfillment.Args{OrderID: id}, jobs[0].Args)
				require.JSONEq(t, `{"traceparent":"00-x"}`, string(jobs[0].InsertOpts.Metadata))
			}
			return err
		}))
		return n
	}
	require.Equal(t, 1, enlist())
	require.Zero(t, enlist(), "the ledger remembers")
}

// At a hundred thousand cards the claim reads its index from the front and looks at no more rows than it takes.
func TestClaimUsesItsIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product("a", inventory.KindCard, codes("A", 1)...)
	_, err := b.pool.Exec(t.Context(), `insert into cards (id, product_id, import_id, fingerprint, sealed)
		select uuid_v7(), c.product_id, c.import_id, decode(lpad(to_hex(i), 32, '0'), 'hex'), '\x00' from cards c, generate_series(1, 100000) i`)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `analyze cards`)
	require.NoError(t, err)
	rows, err := b.pool.Query(t.Context(), `explain select id from cards where product_id = (select id from products) and state = 'available'
		and (expires_at is null or expires_at > now()) order by expires_at nulls last, id limit 200 for update skip locked`)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	plan := strings.Join(lines, "\n")
	require.Contains(t, plan, "Index Scan using cards_claim", plan)
	require.NotContains(t, plan, "Sort", plan)
}
