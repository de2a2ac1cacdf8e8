package ordering_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Somebody has left a transaction open in psql. What it holds is one product's, and costs that product's buyers only.
func TestALockedProductHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	service := ordering.NewService(ordering.Config{Committers: 1}, b.pool, b.box, b.vault)
	t.Cleanup(service.Close)
	locked := b.product(t, "locked", 10)
	b.product(t, "free", 10)
	holder, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `select from stock where product_id = $1 for update`, locked)
	require.NoError(t, err)

	requests := []ordering.Request{one("free"), one("locked"), one("free"), one("free"), one("locked"), one("free")}
	began := time.Now()
	for i, result := range service.PlaceMany(t.Context(), requests, make([]string, len(requests)), b.caller) {
		if requests[i].Lines[0].SKU == "locked" {
			require.True(t, pgdb.IsLockTimeout(result.Err), "%v", result.Err)
		} else {
			require.NoError(t, result.Err)
		}
	}
	require.Less(t, time.Since(began), 12*time.Second, "nobody waits for a flush to run out of time")
	require.NoError(t, holder.Rollback(t.Context()))
	_, err = service.Place(t.Context(), one("locked"), b.caller)
	require.NoError(t, err)
	require.Equal(t, 5, b.int(t, `select count(*) from orders`))
}

func TestAnOrderIsNotOfMoreThanOneTransactionCanDeliver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.product(t, "a", 100_000)
	request := ordering.Request{}
	for range ordering.MaxUnits / ordering.MaxQuantity {
		request.Lines = append(request.Lines, ordering.Line{SKU: "a", Quantity: ordering.MaxQuantity})
	}
	_, err := b.service.Place(t.Context(), request, b.caller)
	require.NoError(t, err)
	request.Lines = append(request.Lines, ordering.Line{SKU: "a", Quantity: 1})
	_, err = b.service.Place(t.Context(), request, b.caller)
	require.True(t, fault.HasCode(err, "order_units_out_of_range"), "%v", err)
}
