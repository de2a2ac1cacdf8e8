package gateways

import (
	"math"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestYuanIsExact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"0": 0, "0.01": 1, "0.1": 10, "1": 100, "1.1": 110, "88.88": 8888, "0.29": 29, "1.15": 115, "4.35": 435,
		"999999999999.99": 99999999999999,
	} {
		fen, ok := parseYuan(text)
		require.True(t, ok, text)
		require.Equal(t, want, fen, text)
	}
	for _, text := range []string{
		"", ".", "1.", ".5", "01", "-1", "+1", "1.001", "1e2", "1,00", " 1", "1 ", "0x1", "NaN", "1.0.0", "１", "1000000000000", "1\n",
	} {
		_, ok := parseYuan(text)
		require.False(t, ok, "%q", text)
	}
	rapid.Check(t, func(t *rapid.T) {
		fen := rapid.Int64Range(0, 99999999999999).Draw(t, "fen")
		back, ok := parseYuan(formatYuan(fen))
		require.True(t, ok)
		require.Equal(t, fen, back)
	})
}

func TestTradeNoIsThePaymentsID(t *testing.T) {
	t.Parallel()
	id := uuid.Must(uuid.NewV7())
	require.Len(t, tradeNo(id), 32)
	require.Equal(t, id, paymentOf(tradeNo(id)))
	for _, other := range []string{"", "1", id.String(), strings.ToUpper(tradeNo(id)), tradeNo(id) + "00", strings.Repeat("g", 32)} {
		if strings.ToUpper(other) == other && strings.ToLower(other) == other {
			continue // digits only have no case
		}
		require.Equal(t, uuid.Nil, paymentOf(other), other)
	}
}

func TestScalarsAreTextOrNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]scalar{`1`: "1", `"1"`: "1", `1.50`: "1.50", `null`: ""} {
		var s scalar
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		require.Equal(t, want, s)
	}
	for _, text := range []string{`true`, `false`, `[]`, `{}`, `["1"]`} {
		var s scalar
		require.Error(t, json.Unmarshal([]byte(text), &s), text)
	}
}

func FuzzParseForm(f *testing.F) {
	f.Add("a=1&b=%E8%AE%A2+%26")
	f.Add("a=1&a=2")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := parseForm(text)
		if err == nil && len(form) != strings.Count(text, "&")+1 {
			t.Fatalf("%q has become %q", text, form)
		}
	})
}

func FuzzParseYuan(f *testing.F) {
	f.Add("88.88")
	f.Add("1e2")
	f.Fuzz(func(t *testing.T, text string) {
		fen, ok := parseYuan(text)
		if !ok {
			return
		}
		if fen < 0 || fen > math.MaxInt64/2 {
			t.Fatalf("%q is %d", text, fen)
		}
		if again, ok := parseYuan(formatYuan(fen)); !ok || again != fen {
			t.Fatalf("%q is %d and then %d", text, fen, again)
		}
	})
}
