package money_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/money"
)

func TestDecimal(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]money.Money{
		"19.99": {Amount: 1999, Currency: "CNY"}, "0.05": {Amount: 5, Currency: "USD"}, "0.00": {Currency: "USD"},
		"1999": {Amount: 1999, Currency: "JPY"}, "1.999": {Amount: 1999, Currency: "KWD"}, "0.0001": {Amount: 1, Currency: "CLF"},
		"92233720368547758.07": {Amount: 1<<63 - 1, Currency: "CNY"},
	} {
		require.Equal(t, want, m.Decimal())
	}
}
