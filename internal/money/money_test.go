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

func TestParseDecimal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]money.Money{
		"19.99": {Amount: 1999, Currency: "CNY"}, "-2.5": {Amount: -250, Currency: "CNY"}, "7": {Amount: 700, Currency: "CNY"},
		"1.500": {Amount: 150, Currency: "USD"}, "1999": {Amount: 1999, Currency: "JPY"}, "1.234": {Amount: 1234, Currency: "KWD"},
		".5": {Amount: 50, Currency: "EUR"},
	} {
		got, err := money.ParseDecimal(text, want.Currency)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", ".", "-", "--1", "1e3", "1.999", "1,000", "99999999999999999999", "１"} {
		_, err := money.ParseDecimal(text, "CNY")
		require.Error(t, err, text)
	}
	_, err := money.ParseDecimal("1.5", "JPY")
	require.Error(t, err)
}

func TestIsCurrency(t *testing.T) {
	t.Parallel()
	for code, is := range map[string]bool{
		"CNY": true, "VES": true, "SLE": true, "UYW": true, "ZWG": true, "RMB": false, "cny": false, "XXX": false, "DEM": false, "": false,
		"CNY ": false, "AED AFN": false,
	} {
		require.Equal(t, is, money.IsCurrency(code), "%q", code)
	}
}
