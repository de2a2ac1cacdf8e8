package payments_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
)

func TestAPaymentDeliversAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.payments.DeliverAtOnce(func(_ context.Context, tx *outbox.Tx, orders []*ordering.Order) error {
		for _, order := range orders {
			if err := order.Complete(tx); err != nil {
				return err
			}
		}
		return nil
	})
	payment := b.attempt(t)
	_, applied, err := b.payments.Receive(t.Context(), "sandbox", succeeded(payment).signed(t, secret, time.Now()))
	require.NoError(t, err)
	require.Equal(t, payments.Applied, applied.Outcome)
	require.Equal(t, ordering.Completed, b.order(t, payment.OrderID).Status)
	require.Equal(t, 2, b.int(t, `select count(*) from order_timeline where order_id = $1`, payment.OrderID))
}

// Whatever is wrong with a delivery, the money is recorded: the delivery's job meets the trouble again, where it can be seen.
func TestAPaymentIsRecordedThoughItsDeliveryFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := 0
	b.payments.DeliverAtOnce(func(context.Context, *outbox.Tx, []*ordering.Order) error {
		asked++
		return &pgconn.PgError{Severity: "ERROR", Code: "23514", Message: "a row that no check lets through"}
	})
	payment := b.attempt(t)
	_, applied, err := b.payments.Receive(t.Context(), "sandbox", succeeded(payment).signed(t, secret, time.Now()))
	require.NoError(t, err)
	require.Equal(t, payments.Applied, applied.Outcome)
	require.Equal(t, 1, asked)
	require.Equal(t, ordering.Processing, b.order(t, payment.OrderID).Status)
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
}
