package ordering_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Whoever saves an order as it was, after it has moved on, changes nothing: neither it nor anything else of the transaction.
func TestAnOrderThatHasMovedOnIsNotSaved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 10)
	placed, err := b.service.Place(t.Context(), ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 1}}}, b.caller)
	require.NoError(t, err)
	id := placed.Order.ID
	err = b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		locked, err := ordering.Lock(t.Context(), tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `update orders set sequence = sequence + 1 where id = $1`, id); err != nil {
			return err
		}
		return errors.Join(locked[id].MarkPaid(tx, ordering.By{Actor: "test"}), ordering.Save(t.Context(), tx, []*ordering.Order{locked[id]}))
	})
	failure, ok := errors.AsType[*pgconn.PgError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "a statement touched 0 rows of 1", failure.Message)
	require.False(t, pgdb.IsRetryable(err), "it is the program's fault, and would be again")
	order, err := b.service.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, ordering.PendingPayment, order.Status)
	require.Equal(t, 1, order.Sequence)
}
