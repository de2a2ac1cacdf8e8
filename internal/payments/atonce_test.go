package payments_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
)

// deliverAtOnce has orders delivered by deliver, and counts what it is told.
func (b *bundle) deliverAtOnce(deliver func(*outbox.Tx, []*ordering.Order) error) (delivered *int, failures *[]error) {
	delivered, failures = new(int), &[]error{}
	var mu sync.Mutex // suspects are flushed beside fresh batches
	b.payments.DeliverAtOnce(payments.AtOnce{
		Deliver: func(_ context.Context, tx *outbox.Tx, orders []*ordering.Order) ([]*ordering.Order, error) {
			return orders, deliver(tx, orders)
		},
		Delivered: func(_ context.Context, orders []*ordering.Order) {
			mu.Lock()
			defer mu.Unlock()
			*delivered += len(orders)
		},
		Failed: func(_ context.Context, err error) {
			mu.Lock()
			defer mu.Unlock()
			*failures = append(*failures, err)
		},
	})
	return delivered, failures
}

func TestAPaymentDeliversAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	delivered, failures := b.deliverAtOnce(func(tx *outbox.Tx, orders []*ordering.Order) error {
		for _, order := range orders {
			if err := order.Complete(tx); err != nil {
				return err
			}
		}
		return nil
	})
	payment := b.attempt(t)
	require.Equal(t, payments.Applied, b.receive(t, succeeded(payment)))
	require.Equal(t, ordering.Completed, b.order(t, payment.OrderID).Status)
	require.Equal(t, 2, b.int(t, `select count(*) from order_timeline where order_id = $1`, payment.OrderID))
	require.Equal(t, 1, *delivered)
	require.Empty(t, *failures)
}

// Whatever is wrong with a delivery, the money is recorded: the delivery's job meets the trouble again, where it can be seen.
func TestAPaymentIsRecordedThoughItsDeliveryFails(t *testing.T) {
	t.Parallel()
	for name, deliver := range map[string]func(*outbox.Tx, []*ordering.Order) error{
		"a check":  func(*outbox.Tx, []*ordering.Order) error { return &pgconn.PgError{Severity: "ERROR", Code: "23514"} },
		"a bug":    func(*outbox.Tx, []*ordering.Order) error { return errors.New("nobody thought of this") },
		"a panic":  func(*outbox.Tx, []*ordering.Order) error { panic("nor of this") },
		"no table": func(*outbox.Tx, []*ordering.Order) error { return &pgconn.PgError{Severity: "ERROR", Code: "42P01"} },
		"a statement at the end": func(tx *outbox.Tx, orders []*ordering.Order) error {
			return dbq.New(tx.AtEnd()).CardDeliveryInsert(t.Context(), dbq.CardDeliveryInsertParams{
				OrderIds: []uuid.UUID{orders[0].ID}, Lines: []int32{1}, Units: []int32{1}, CardIds: []uuid.UUID{uuid.New()}, DeliveredAt: tx.Now,
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			delivered, failures := b.deliverAtOnce(deliver)
			payment := b.attempt(t)
			require.Equal(t, payments.Applied, b.receive(t, succeeded(payment)))
			require.Equal(t, ordering.Processing, b.order(t, payment.OrderID).Status)
			require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
			require.Zero(t, *delivered)
			require.Len(t, *failures, 1)
		})
	}
}
