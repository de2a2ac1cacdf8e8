package gateways_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/channeltest"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const (
	epayPID = "1001"
	epayKey = "epay-key-of-the-merchant"
)

// epayMD5 is the protocol's signature, written apart from the adapter's.
func epayMD5(form url.Values, key string) string {
	var parts []string
	for name := range form {
		if value := form.Get(name); value != "" && name != "sign" && name != "sign_type" {
			parts = append(parts, name+"="+value)
		}
	}
	slices.Sort(parts)
	sum := md5.Sum([]byte(strings.Join(parts, "&") + key))
	return hex.EncodeToString(sum[:])
}

func epayForm(attempt payments.Attempt, amount int64, status string) url.Values {
	form := url.Values{
		"pid": {epayPID}, "trade_no": {"E" + merchantNo(attempt)[20:]}, "out_trade_no": {merchantNo(attempt)}, "type": {"alipay"},
		"name": {"订单 & more=1"}, "money": {fmt.Sprintf("%d.%02d", amount/100, amount%100)}, "trade_status": {status},
	}
	form.Set("sign", epayMD5(form, epayKey))
	form.Set("sign_type", "MD5")
	return form
}

func epayFar(tb testing.TB) *far {
	tb.Helper()
	var f *far
	f = newFar(tb, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if r.URL.Path != "/api.php" || query.Get("act") != "order" || query.Get("pid") != epayPID || query.Get("key") != epayKey {
			_, _ = w.Write([]byte(`{"code":-3,"msg":"商户密钥错误"}`))
			return
		}
		attempt, ok := f.attempt(query.Get("out_trade_no"))
		if !ok {
			_, _ = w.Write([]byte(`{"code":-1,"msg":"订单号不存在"}`))
			return
		}
		form := epayForm(attempt, attempt.Amount.Amount, "")
		_, _ = fmt.Fprintf(w, `{"code":1,"msg":"succ","trade_no":%q,"out_trade_no":%q,"type":"alipay","pid":%s,"money":%q,"status":"1"}`,
			form.Get("trade_no"), form.Get("out_trade_no"), epayPID, form.Get("money"))
	})
	return f
}

func epayChannel(tb testing.TB, baseURL string) payments.Channel {
	tb.Helper()
	return channel(tb, map[string]any{"type": "epay", "subject": "订单 {order_number}", "accounts": []any{
		map[string]any{"name": "shop", "pid": epayPID, "keys": []string{epayKey}, "pay_type": "alipay", "base_url": baseURL},
	}})
}

func TestEpayIsAChannel(t *testing.T) {
	t.Parallel()
	for name, callback := range map[string]func(url.Values) payments.Callback{
		"by GET":  func(form url.Values) payments.Callback { return payments.Callback{Query: form.Encode()} },
		"by POST": func(form url.Values) payments.Callback { return payments.Callback{Body: []byte(form.Encode())} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, pgtest.New, func(t *testing.T) channeltest.Subject {
				t.Helper()
				f := epayFar(t)
				return channeltest.Subject{
					Channel: epayChannel(t, f.URL), Currency: "CNY",
					Answer: payments.Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: "success"},
					Pay:    f.pay,
					Notice: func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback {
						t.Helper()
						return callback(epayForm(attempt, amount, "TRADE_SUCCESS"))
					},
					Pending: func(t *testing.T, attempt payments.Attempt) payments.Callback {
						t.Helper()
						return callback(epayForm(attempt, attempt.Amount.Amount, "WAIT_BUYER_PAY"))
					},
					Forgeries: func(t *testing.T, attempt payments.Attempt) []channeltest.Forgery {
						t.Helper()
						return epayForgeries(attempt, callback)
					},
					Reference: func(attempt payments.Attempt) string { return epayForm(attempt, 1, "").Get("trade_no") },
					Break:     f.breakNext,
				}
			})
		})
	}
}

func epayForgeries(attempt payments.Attempt, callback func(url.Values) payments.Callback) []channeltest.Forgery {
	with := func(key string, changes ...string) payments.Callback {
		form := epayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS")
		for i := 0; i < len(changes); i += 2 {
			form.Set(changes[i], changes[i+1])
		}
		if key != "" {
			form.Set("sign", epayMD5(form, key))
		}
		return callback(form)
	}
	encoded := epayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS").Encode()
	raw := func(text string) payments.Callback { return payments.Callback{Body: []byte(text)} }
	keyless := epayMD5(epayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS"), "")
	return []channeltest.Forgery{
		forged("unsigned", with("", "sign", ""), "callback_unsigned"),
		forged("a foreign key", with("another"), "callback_signature_invalid"),
		forged("signed without a key", with("", "sign", keyless), "callback_signature_invalid"),
		forged("true for a signature", with("", "sign", "true"), "callback_signature_invalid"),
		forged("0 for a signature", with("", "sign", "0"), "callback_signature_invalid"),
		forged("another algorithm", with(epayKey, "sign_type", "NONE"), "callback_malformed"),
		forged("another merchant", with(epayKey, "pid", "1002"), "callback_foreign"),
		forged("no amount", with(epayKey, "money", "1e2"), "callback_malformed"),
		forged("an amount that the gateway does not know", with(epayKey, "money", "0.01"), "callback_unconfirmed"),
		forged("a payment that the gateway does not know", with(epayKey, "trade_no", "E1"), "callback_unconfirmed"),
		forged("another attempt", with(epayKey, "out_trade_no", "0193b4a17c1e7cc3a4ab6cf4a1f0b3d2"), "callback_unconfirmed"),
		forged("a name twice", raw(encoded+"&money=0.01"), "callback_malformed"),
		forged("an array for a name", raw(encoded+"&sign[]=1"), "callback_signature_invalid"),
		forged("body and query", payments.Callback{Body: []byte(encoded), Query: "pid=1"}, "callback_malformed"),
		forged("JSON", raw(`{"pid":"1001","sign":true}`), "callback_malformed"),
		forged("nothing", payments.Callback{}, "callback_malformed"),
	}
}

// A key that leaked is worth nothing without the gateway's own word.
func TestEpayBelievesTheGateway(t *testing.T) {
	t.Parallel()
	f := epayFar(t)
	c := epayChannel(t, f.URL)
	attempt := attemptOf(t, c, "CNY")
	notice := payments.Callback{Query: epayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS").Encode()}
	_, err := c.Verify(t.Context(), notice)
	requireCode(t, err, "callback_unconfirmed")
	f.pay(attempt)
	_, err = c.Verify(t.Context(), notice)
	require.NoError(t, err)
	notice.Query += "&param=" // what is empty is not signed
	_, err = c.Verify(t.Context(), notice)
	require.NoError(t, err)
	for i := 0; f.breakNext(i); i++ {
		_, err = c.Verify(t.Context(), notice)
		requireCode(t, err, "payment_gateway_unavailable")
		require.NotContains(t, err.Error(), epayKey)
	}
}

func TestEpayPayURL(t *testing.T) {
	t.Parallel()
	c := epayChannel(t, "https://pay.example")
	attempt := attemptOf(t, c, "CNY")
	instructions, _, err := c.Begin(t.Context(), attempt)
	require.NoError(t, err)
	u, err := url.Parse(instructions["pay_url"])
	require.NoError(t, err)
	require.Equal(t, "https://pay.example/submit.php", u.Scheme+"://"+u.Host+u.Path)
	query := u.Query()
	require.Equal(t, epayMD5(query, epayKey), query.Get("sign"))
	require.Equal(t, "12.34", query.Get("money"))
	require.Equal(t, merchantNo(attempt), query.Get("out_trade_no"))
	require.Equal(t, "https://shop.example/v1/payment-callbacks/epay", query.Get("notify_url"))
	require.Equal(t, "订单 N-1", query.Get("name"))
	require.NotContains(t, instructions["pay_url"], epayKey)
}
