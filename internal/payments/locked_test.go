package payments_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Somebody has left a transaction open that holds one order. Its notice is refused, and the gateway repeats it; all others are
// applied meanwhile.
func TestALockedOrderHoldsUpNoOtherPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	delivered, failures := b.deliverAtOnce(func(*outbox.Tx, []*ordering.Order) error { return nil })
	var attempts []payments.Payment
	for range 8 {
		attempts = append(attempts, b.attempt(t))
	}
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `select from orders where id = $1 for update`, attempts[0].OrderID)
	require.NoError(t, err)

	receive := func(p payments.Payment) error {
		_, applied, err := b.payments.Receive(t.Context(), "sandbox", succeeded(p).signed(t, secret, time.Now()))
		if err == nil && applied.Outcome != payments.Applied {
			err = errors.New(string(applied.Outcome))
		}
		return err
	}
	errs := make([]error, len(attempts))
	var gateways sync.WaitGroup
	for i := range attempts {
		gateways.Go(func() { errs[i] = receive(attempts[i]) })
	}
	gateways.Wait()
	require.True(t, pgdb.IsLockTimeout(errs[0]), "%v", errs[0])
	for _, err := range errs[1:] {
		require.NoError(t, err)
	}
	require.NoError(t, holder.Rollback(t.Context()))
	require.NoError(t, receive(attempts[0]))
	require.Equal(t, 8, *delivered)
	require.Empty(t, *failures, "a lock on an order has nothing to do with deliveries")
}

// What expires gives its stock back, and somebody holds one product's: its orders wait, and nobody else's.
func TestALockedProductHoldsUpNoOtherExpiry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := uuid.Must(uuid.NewV7())
	exec := func(sql string, args ...any) {
		_, err := b.pool.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	exec(`insert into products (id, sku, name, kind, price_amount, price_currency) values ($1, 'b', 'B', 'counted', 500, 'CNY')`, other)
	exec(`insert into stock values ($1, 100)`, other)
	for i := range 9 {
		sku := "b"
		if i == 4 {
			sku = "a"
		}
		request := ordering.Request{Lines: []ordering.Line{{SKU: sku, Quantity: 1}}}
		_, err := b.orders.Place(t.Context(), request, ordering.Caller{APIKeyID: uuid.New()})
		require.NoError(t, err)
	}
	exec(`update orders set placed_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'`)
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `select from stock where product_id <> $1 for update`, other)
	require.NoError(t, err)
	expired, err := b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 8, expired)
	require.NoError(t, holder.Rollback(t.Context()))
	expired, err = b.payments.ExpireDue(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, expired)
}
