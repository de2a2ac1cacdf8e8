package life

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	raceRounds   = 10
	racesAtOnce  = 100
	racingOrders = raceRounds * racesAtOnce
)

// At the very moment at which orders expire, they are paid, by two processes that both also expire them, while others buy
// what is given back. Each order ends as paid and delivered, or as paid and held for want of stock.
func TestPaymentsRaceWithExpiry(t *testing.T) {
	t.Parallel()
	t.Run("cards by jobs", func(t *testing.T) {
		t.Parallel()
		setup(t).race(t)
	})
	t.Run("cards with their payment", func(t *testing.T) {
		t.Parallel()
		b, failed := setupAtOnce(t)
		b.race(t)
		requireRetryable(t, *failed)
	})
}

func (b *bundle) race(t *testing.T) {
	t.Helper()
	other := b.start(t)
	t.Cleanup(other.close)
	var failed []error
	if b.atOnce {
		other.deliverAtOnce(&failed)
	}
	b.product(t, "scarce", inventory.KindCard, racesAtOnce)
	ends := map[string]int{}
	for range raceRounds {
		b.raceRound(t, other, ends)
	}
	t.Logf("%d races: %v", racingOrders, ends)
	requireRetryable(t, failed)
	require.Equal(t, racingOrders, ends["completed"]+ends["on_hold late_payment_no_stock"], "%v", ends)
	require.NotZero(t, ends["on_hold late_payment_no_stock"], "no order ever lost the race: %v", ends)
	require.NotZero(t, ends["completed"], "no order ever won the race: %v", ends)
}

// requireRetryable: two processes may meet in a deadlock or in the inbox, and then jobs deliver.
func requireRetryable(t *testing.T, failures []error) {
	t.Helper()
	for _, err := range failures {
		require.True(t, pgdb.IsRetryable(err), "%v", err)
	}
}

func (b *bundle) raceRound(t *testing.T, other *process, ends map[string]int) {
	t.Helper()
	ctx := t.Context()
	ids, attempts := make([]uuid.UUID, racesAtOnce), make([]uuid.UUID, racesAtOnce)
	var buyers sync.WaitGroup
	for i := range ids {
		buyers.Go(func() {
			ids[i] = b.place(t, ordering.Line{SKU: "scarce", Quantity: 1})
			attempts[i] = b.begin(t, ids[i]).ID
		})
	}
	buyers.Wait()
	b.clock.forward(30 * time.Minute)
	processes := []*process{b.process, other}
	start := make(chan struct{})
	var racers sync.WaitGroup
	for i, attempt := range attempts {
		callback := b.callback(t, attempt, price, "evt_"+attempt.String())
		racers.Go(func() {
			<-start
			_, _, err := processes[i%2].payments.Receive(ctx, "sandbox", callback)
			noError(t, err)
		})
	}
	for _, p := range processes {
		racers.Go(func() {
			<-start
			_, err := p.payments.ExpireDue(ctx)
			noError(t, err)
		})
		racers.Go(func() { // whoever gets something of what was given back has it
			<-start
			for range racesAtOnce / 5 {
				_, _ = p.orders.Place(context.WithoutCancel(ctx), ordering.Request{Lines: []ordering.Line{{SKU: "scarce", Quantity: 1}}},
					ordering.Caller{APIKeyID: uuid.New()})
			}
		})
	}
	close(start)
	racers.Wait()
	b.work(t)
	for _, id := range ids {
		o := b.order(t, id)
		ends[strings.TrimSpace(string(o.Status)+" "+o.HoldReason)]++
		require.Equal(t, ordering.Paid, o.PaymentStatus, "the money is recorded, and applied")
	}
	b.requireAudit(t)
	b.clearShelf(t)
}

// clearShelf ends what is open and fills the shelf again for the next round.
func (b *bundle) clearShelf(t *testing.T) {
	t.Helper()
	b.clock.forward(time.Hour)
	_, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	available := b.int(t, `select available from stock`)
	b.importCards(t, "scarce", racesAtOnce-available)
}

// noError is for goroutines, which must not end their test.
func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("want no error, got %v", err)
	}
}
