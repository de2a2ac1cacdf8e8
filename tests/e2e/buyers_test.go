package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// crowd is buyers who order and pay. What is not acknowledged they try again, with the same Idempotency-Key and the same
// notice, as a browser and a payment gateway do.
type crowd struct {
	site  *site
	sku   string
	total int
	// patient buyers try again until it works; the others take the first failure for the end of the shop.
	patient bool

	begun    atomic.Int64
	acked    atomic.Int64 // answers with 2xx, of any sort
	strayed  atomic.Int64 // attempts that were not answered, or with 5xx
	mu       sync.Mutex
	bought   []purchase
	mistakes []string // answers that nobody should get
	done     chan struct{}
}

// purchase is how far a buyer got, by what was acknowledged.
type purchase struct {
	order    order
	quantity int
	paid     bool
}

// enter sends in the buyers; they are all gone when done is closed.
func enter(ctx context.Context, site *site, sku string, buyers, total int, patient bool) *crowd {
	c := &crowd{site: site, sku: sku, total: total, patient: patient, done: make(chan struct{})}
	var all sync.WaitGroup
	for range buyers {
		all.Go(func() {
			for n := int(c.begun.Add(1)); n <= c.total && ctx.Err() == nil; n = int(c.begun.Add(1)) {
				if !c.buy(ctx, 1+n%2) {
					return
				}
			}
		})
	}
	go func() {
		defer close(c.done)
		all.Wait()
	}()
	return c
}

// buy is one purchase; false when the buyer has given up.
func (c *crowd) buy(ctx context.Context, quantity int) bool {
	p := purchase{quantity: quantity}
	key := rand.Text()
	ok := c.insist(ctx, http.StatusCreated, &p.order, func() (answer, error) {
		return c.site.call(ctx, http.MethodPost, "/v1/orders", cart(c.sku, quantity), "Idempotency-Key", key)
	})
	if !ok {
		return false
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bought = append(c.bought, p)
	}()
	var attempt struct{ ID string }
	ok = c.insist(ctx, http.StatusCreated, &attempt, func() (answer, error) {
		return c.site.call(ctx, http.MethodPost, "/v1/orders/"+p.order.ID+"/payments", map[string]string{"channel": "sandbox"})
	})
	if !ok {
		return false
	}
	p.paid = c.insist(ctx, http.StatusOK, new(any), func() (answer, error) { return c.site.notice(ctx, attempt.ID, p.order) })
	return p.paid
}

// insist sends a request until it is answered with the status, or gives up.
func (c *crowd) insist(ctx context.Context, status int, into any, send func() (answer, error)) bool {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		got, err := send()
		switch {
		case err == nil && got.status == status:
			if err := json.Unmarshal(got.body, into); err != nil {
				c.mistakef("%v in %s", err, got.body)
			}
			c.acked.Add(1)
			return true
		case err == nil && got.status < http.StatusInternalServerError:
			c.mistakef("status %d: %s", got.status, got.body)
			return false
		}
		c.strayed.Add(1)
		if !c.patient {
			return false
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
	return false
}

func (c *crowd) mistakef(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mistakes = append(c.mistakes, fmt.Sprintf(format, args...))
}

// awaitAcked waits until so many answers have come.
func (c *crowd) awaitAcked(t *testing.T, n int64) {
	t.Helper()
	await(t, time.Minute, fmt.Sprintf("%d answers", n), func() error {
		if got := c.acked.Load(); got < n {
			return fmt.Errorf("%d so far", got)
		}
		return nil
	})
}

// gone waits for the last buyer and gives what they bought.
func (c *crowd) gone(t *testing.T) []purchase {
	t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		require.Failf(t, "buyers are still waiting", "%d answers, %d attempts in vain", c.acked.Load(), c.strayed.Load())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(t, c.mistakes)
	return c.bought
}

// keptPromises checks that what was acknowledged has come true: the orders exist, those paid are completed with exactly
// their cards, no card is sold twice, every event arrived under one webhook-id and every message was sent, or may have been.
func (s *site) keptPromises(t *testing.T, bought []purchase) {
	t.Helper()
	owners := map[string]string{}
	for _, p := range bought {
		if !p.paid {
			require.Equal(t, 1, s.count(t, "select count(*) from vendbox.orders where id = $1", p.order.ID))
			continue
		}
		s.awaitCompleted(t, p.order, 30*time.Second)
		codes := s.codes(t, p.order)
		require.Lenf(t, codes, p.quantity, "cards of order %s", p.order.ID)
		for _, code := range codes {
			require.Emptyf(t, owners[code], "card %s was sold twice", code)
			owners[code] = p.order.ID
		}
	}
	s.awaitQuiet(t)
	s.everythingArrived(t)
	s.audited(t)
}

// awaitQuiet waits until no work is left.
func (s *site) awaitQuiet(t *testing.T) {
	t.Helper()
	await(t, 45*time.Second, "the end of all work", func() error {
		var what string
		var n int
		err := s.pool.QueryRow(t.Context(), `select what, n from (
			select 'jobs', count(*) from vendbox.river_job
			 where state not in ('completed', 'cancelled', 'discarded') and queue in ('relay', 'cards', 'sms', 'webhooks')
			union all select 'messages', count(*) from vendbox.sms_messages where status in ('pending', 'sending')
			union all select 'webhooks', count(*) from vendbox.webhook_deliveries where status = 'pending'
			) open (what, n) order by n desc limit 1`).Scan(&what, &n)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d %s are open", n, what)
		}
		return err
	})
}

// everythingArrived checks the sink against the outbox and the message ledger.
func (s *site) everythingArrived(t *testing.T) {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), "select id, type from vendbox.outbox where type like 'order.%'")
	require.NoError(t, err)
	events := 0
	for rows.Next() {
		var id uuid.UUID
		var kind string
		require.NoError(t, rows.Scan(&id, &kind))
		arrived := s.sink.webhook("msg_" + id.String())
		require.NotNilf(t, arrived, "%s %s never arrived", kind, id)
		require.Equal(t, kind, arrived.kind)
		events++
	}
	require.NoError(t, rows.Err())
	_, distinct := s.sink.counts()
	require.Equal(t, events, distinct, "webhook-ids and events")
	s.sink.nothingWrong(t)

	completed := s.count(t, "select count(*) from vendbox.orders where status = 'completed'")
	rows, err = s.pool.Query(t.Context(), "select id, status from vendbox.sms_messages")
	require.NoError(t, err)
	messages := 0
	for rows.Next() {
		var id uuid.UUID
		var status string
		require.NoError(t, rows.Scan(&id, &status))
		messages++
		if status == "unknown" { // its outcome was lost with a process; it is a person's to decide
			continue
		}
		require.Equalf(t, "sent", status, "message %s", id)
		require.NotZerof(t, s.sink.messaged(id.String()), "message %s never came", id)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, completed, messages, "completed orders and messages")
}
