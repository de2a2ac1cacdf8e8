package sms

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
)

func TestCheckBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, eventType, body string
		reason, variable      string // of the fault; "" for none
	}{
		{"plain", "order.completed", "Hello", "", ""},
		{"all variables", "order.completed", "{{order_number}}{{total}} {{items}} {{ url }}", "", ""},
		{"single braces are text", "order.completed", "{a} } {", "", ""},
		{"created may say until when", "order.created", "{{expires_at}}", "", ""},
		{"completed may not", "order.completed", "{{expires_at}}", "unknown_variable", "expires_at"},
		{"unknown", "order.completed", "{{phone}}", "unknown_variable", "phone"},
		{"ours has no data", "order.completed", "{{data.id}}", "unknown_variable", "data.id"},
		{"theirs has", "shop.reminded", "{{data.Code}} {{order_number}}", "", ""},
		{"and nothing deeper", "shop.reminded", "{{data.a.b}}", "variable_malformed", "data.a.b"},
		{"nor unknown ones", "shop.reminded", "{{code}}", "unknown_variable", "code"},
		{"not closed", "order.paid", "x {{url", "unbalanced_braces", ""},
		{"closed by one", "order.paid", "x {{url} y", "unbalanced_braces", ""},
		{"not opened", "order.paid", "x url}} y", "unbalanced_braces", ""},
		{"twice opened", "order.paid", "{{ {{url}} }}", "unbalanced_braces", ""},
		{"three", "order.paid", "{{{url}}}", "unbalanced_braces", ""},
		{"empty", "order.paid", "{{}}", "variable_malformed", ""},
		{"a command", "order.paid", "{{printf url}}", "variable_malformed", "printf url"},
		{"a method", "order.paid", "{{.Order}}", "variable_malformed", ".Order"},
	} {
		_, err := checkBody(c.eventType, c.body)
		if c.reason == "" {
			require.NoError(t, err, c.name)
			continue
		}
		f, ok := fault.As(err)
		require.True(t, ok, c.name)
		require.Equal(t, "sms_template_invalid", f.Code, c.name)
		require.Equal(t, c.reason, f.Params["reason"], c.name)
		if c.variable != "" {
			require.Equal(t, c.variable, f.Params["variable"], c.name)
		}
	}
	_, err := checkBody("order.paid", "{{x}}")
	f, _ := fault.As(err)
	require.Equal(t, []string{"order_number", "total", "items", "url"}, f.Params["known"])
	_, err = checkBody("shop.reminded", "{{x}}")
	f, _ = fault.As(err)
	require.Contains(t, f.Params["known"], "data.<field>")
}

func TestRender(t *testing.T) {
	t.Parallel()
	f := facts{
		locale: "en", number: "261121-7K3M9X", total: 1999, currency: "CNY",
		names: []string{"Game card", "Voucher"}, quantities: []int32{2, 1}, url: "https://shop.example/o/tok",
		expiresAt: time.Date(2026, 11, 21, 4, 5, 6, 0, time.UTC),
		payload: json.RawMessage(`{"code":"{{url}}","n":1234567890123456789,"ok":true,"gone":null,"deep":{"a":1},` +
			`"list":[1],"lines":"a\r\nb\u0000\u202ec"}`),
	}
	for _, c := range []struct{ body, want, missing string }{
		{"Order {{order_number}}: {{ total }}", "Order 261121-7K3M9X: 19.99 CNY", ""},
		{"{{items}} {{url}}", "Game card x2, Voucher https://shop.example/o/tok", ""},
		{"pay until {{expires_at}}", "pay until 2026-11-21 04:05 UTC", ""},
		{"{{data.code}}", "{{url}}", ""},
		{"{{data.n}} {{data.ok}}", "1234567890123456789 true", ""},
		{"{{data.lines}}", "a  bc", ""},
		{"{{data.gone}}", "", "data.gone"},
		{"{{data.deep}}", "", "data.deep"},
		{"{{data.list}}", "", "data.list"},
		{"{{data.absent}}", "", "data.absent"},
	} {
		parsed, err := parseText(c.body)
		require.NoError(t, err)
		got, missing := parsed.render(f.value)
		require.Equal(t, c.missing, missing, c.body)
		require.Equal(t, c.want, got, c.body)
	}
	_, ok := facts{}.value("data.code")
	require.False(t, ok, "the event is gone")
}

func TestValuesAreBounded(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("中", maxValue), plain(strings.Repeat("中", maxValue+1)))
	require.Equal(t, strings.Repeat("b", maxValue), plain(strings.Repeat("b", maxValue)))
}

func TestFormatMoney(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		minor                  int64
		currency, locale, want string
	}{
		{1999, "CNY", "en", "19.99 CNY"},
		{1999, "CNY", "zh", "19.99元"},
		{1999, "USD", "zh", "19.99 USD"},
		{5, "CNY", "zh", "0.05元"},
		{50, "EUR", "en", "0.50 EUR"},
		{500, "JPY", "en", "500 JPY"},
		{1, "KWD", "en", "0.001 KWD"},
		{1234567, "KWD", "en", "1234.567 KWD"},
	} {
		require.Equal(t, c.want, formatMoney(c.minor, c.currency, c.locale))
	}
}

func TestFormatItems(t *testing.T) {
	t.Parallel()
	require.Equal(t, "甲 x2、乙", formatItems([]string{"甲", "乙"}, []int32{2, 1}, "zh"))
	require.Equal(t, "a, b, c, +2", formatItems([]string{"a", "b", "c", "d", "e"}, []int32{1, 1, 1, 1, 9}, "en"))
	encoding, _ := Segments(formatItems([]string{"Card"}, []int32{2}, "en"))
	require.Equal(t, GSM7, encoding)
}

func FuzzParseText(f *testing.F) {
	f.Add("Order {{order_number}} {{ url }}")
	f.Add("{{{{}}}}")
	f.Fuzz(func(t *testing.T, body string) {
		parsed, err := parseText(body)
		if err != nil {
			require.True(t, fault.HasCode(err, "sms_template_invalid"))
			return
		}
		variables := 0
		rendered, missing := parsed.render(func(string) (string, bool) { variables++; return "", true })
		require.Empty(t, missing)
		require.Equal(t, strings.Count(body, "{{"), variables)
		require.NotContains(t, rendered, "{{")
	})
}
