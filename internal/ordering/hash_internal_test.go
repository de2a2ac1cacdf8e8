package ordering

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// These hashes are in users' databases.
func TestRequestHashIsStable(t *testing.T) {
	t.Parallel()
	for want, request := range map[string]Request{
		"63153caaa86e6e0fc77eae081d1a1b382319def644987283dddfb28506e15552": {Lines: []Line{{SKU: "a", Quantity: 1}}},
		"cd1f56bff2960b6c1c31d48f4c7d165fb241c8a77ff2299565f64d945f2a3ed5": {
			Lines: []Line{{SKU: "a", Quantity: 2, Price: &Money{Amount: 1999, Currency: "CNY"}}, {SKU: "b", Quantity: 1}},
			Phone: "+8613800138000", Email: "ann@example.com", Locale: "zh", Metadata: json.RawMessage(`{"z": 1, "a": [true]}`),
		},
		"c4590e8899db0aa74903322bcaa1b829ece9e98c8f8860c72b84ab19a388e38a": {Lines: []Line{{SKU: "a", Quantity: 1}}, ClientIP: "203.0.113.7"},
	} {
		got, err := hashRequest(request)
		require.NoError(t, err)
		require.Equal(t, want, hex.EncodeToString(got))
	}
	spaced, err := hashRequest(Request{Metadata: json.RawMessage(`{ "a" : 1 }`)})
	require.NoError(t, err)
	compact, err := hashRequest(Request{Metadata: json.RawMessage(`{"a":1}`)})
	require.NoError(t, err)
	require.Equal(t, compact, spaced)
}
