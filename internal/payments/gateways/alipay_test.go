package gateways_test

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/channeltest"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const (
	alipayApp    = "2021000000000001"
	alipaySeller = "2088000000000001"
)

var beijing = time.FixedZone("", 8*60*60)

func beijingTime(at time.Time) string { return at.In(beijing).Format("2006-01-02 15:04:05") }

// alipayText is what is signed, written apart from the adapter's. leave names what is not.
func alipayText(form url.Values, leave ...string) string {
	var parts []string
	for name := range form {
		if !slices.Contains(leave, name) {
			parts = append(parts, name+"="+form.Get(name))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

func alipayTradeNo(attempt payments.Attempt) string { return "2024" + merchantNo(attempt)[8:] }

func alipayForm(attempt payments.Attempt, amount int64, status string) url.Values {
	return url.Values{
		"notify_time": {beijingTime(time.Now())}, "notify_type": {"trade_status_sync"}, "notify_id": {uuid.NewString()},
		"charset": {"utf-8"}, "version": {"1.0"}, "sign_type": {"RSA2"}, "auth_app_id": {alipayApp}, "app_id": {alipayApp},
		"seller_id": {alipaySeller}, "trade_no": {alipayTradeNo(attempt)}, "out_trade_no": {merchantNo(attempt)},
		"trade_status": {status}, "total_amount": {fmt.Sprintf("%d.%02d", amount/100, amount%100)}, "subject": {"订单 & a=b+c"},
		"fund_bill_list": {`[{"amount":"12.34","fundChannel":"ALIPAYACCOUNT"}]`}, "gmt_payment": {beijingTime(time.Now())},
	}
}

func alipaySigned(form url.Values, key *rsa.PrivateKey) payments.Callback {
	form.Set("sign", sign(key, alipayText(form, "sign", "sign_type")))
	return payments.Callback{Body: []byte(form.Encode()), Header: http.Header{}}
}

// alipayFar answers alipay.trade.query.
func alipayFar(tb testing.TB) *far {
	tb.Helper()
	var f *far
	f = newFar(tb, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			return
		}
		form := url.Values{}
		for name := range r.PostForm {
			form.Set(name, r.PostForm.Get(name))
		}
		var content struct {
			OutTradeNo string `json:"out_trade_no"`
		}
		_ = json.Unmarshal([]byte(form.Get("biz_content")), &content)
		answer := `{"code":"40004","msg":"Business Failed","sub_code":"ACQ.TRADE_NOT_EXIST","sub_msg":"交易不存在"}`
		if !verify(ourKey(), alipayText(form, "sign"), form.Get("sign")) || form.Get("app_id") != alipayApp {
			answer = `{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-signature"}`
		} else if attempt, ok := f.attempt(content.OutTradeNo); ok {
			paid := alipayForm(attempt, attempt.Amount.Amount, "")
			answer = fmt.Sprintf(`{"code":"10000","msg":"Success","trade_no":%q,"out_trade_no":%q,"trade_status":"TRADE_SUCCESS",`+
				`"total_amount":%q,"send_pay_date":%q, "buyer_logon_id":"a**@b.c"}`,
				paid.Get("trade_no"), content.OutTradeNo, paid.Get("total_amount"), beijingTime(time.Now()))
		}
		_, _ = fmt.Fprintf(w, `{"alipay_trade_query_response":%s,"sign":%q}`, answer, sign(f.signer, answer))
	})
	return f
}

func alipayChannel(tb testing.TB, baseURL string) payments.Channel {
	tb.Helper()
	return channel(tb, map[string]any{
		"type": "alipay", "return_url": "https://shop.example/orders/{order_number}", "accounts": []any{map[string]any{
			"name": "main", "app_id": alipayApp, "seller_id": alipaySeller, "private_key": privatePEM(ourKey()),
			"alipay_public_keys": []string{publicBase64(gatewayKey())}, "base_url": baseURL,
		}},
	})
}

func TestAlipayIsAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, pgtest.New, func(t *testing.T) channeltest.Subject {
		t.Helper()
		f := alipayFar(t)
		return channeltest.Subject{
			Channel: alipayChannel(t, f.URL+"/gateway.do"), Currency: "CNY",
			Answer: payments.Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: "success"},
			Pay:    f.pay,
			Notice: func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback {
				t.Helper()
				return alipaySigned(alipayForm(attempt, amount, "TRADE_SUCCESS"), gatewayKey())
			},
			Pending: func(t *testing.T, attempt payments.Attempt) payments.Callback {
				t.Helper()
				return alipaySigned(alipayForm(attempt, attempt.Amount.Amount, "WAIT_BUYER_PAY"), gatewayKey())
			},
			Forgeries: alipayForgeries,
			Reference: alipayTradeNo,
			Break:     f.breakNext,
		}
	})
}

func alipayForgeries(t *testing.T, attempt payments.Attempt) []channeltest.Forgery {
	t.Helper()
	with := func(key *rsa.PrivateKey, name, value string) payments.Callback {
		form := alipayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS")
		form.Set(name, value)
		return alipaySigned(form, key)
	}
	genuine := string(alipaySigned(alipayForm(attempt, attempt.Amount.Amount, "TRADE_SUCCESS"), gatewayKey()).Body)
	raw := func(text string) payments.Callback { return payments.Callback{Body: []byte(text)} }
	cut, _, _ := strings.Cut(genuine, "&sign=")
	return []channeltest.Forgery{
		forged("unsigned", raw(cut+"&sign_type=RSA2"), "callback_unsigned"),
		forged("a foreign key", with(foreignKey(), "version", "1.0"), "callback_signature_invalid"),
		forged("our own key", with(ourKey(), "version", "1.0"), "callback_signature_invalid"),
		forged("true for a signature", raw(cut+"&sign=true&sign_type=RSA2"), "callback_signature_invalid"),
		forged("RSA instead of RSA2", with(gatewayKey(), "sign_type", "RSA"), "callback_malformed"),
		forged("another encoding", with(gatewayKey(), "charset", "GBK"), "callback_malformed"),
		forged("another app", with(gatewayKey(), "app_id", "2021000000000002"), "callback_foreign"),
		forged("another seller", with(gatewayKey(), "seller_id", "2088000000000002"), "callback_foreign"),
		forged("no seller", with(gatewayKey(), "seller_id", ""), "callback_foreign"),
		forged("stale", with(gatewayKey(), "notify_time", beijingTime(time.Now().Add(-49*time.Hour))), "callback_stale"),
		forged("from the future", with(gatewayKey(), "notify_time", beijingTime(time.Now().Add(time.Hour))), "callback_stale"),
		forged("an amount that is none", with(gatewayKey(), "total_amount", "12.340"), "callback_malformed"),
		forged("a negative amount", with(gatewayKey(), "total_amount", "-12.34"), "callback_malformed"),
		forged("a name twice", raw(genuine+"&total_amount=0.01"), "callback_malformed"),
		forged("one name more", raw(genuine+"&passback_params=x"), "callback_signature_invalid"),
		forged("JSON", raw(`{"app_id":"`+alipayApp+`","sign":true}`), "callback_malformed"),
		forged("by GET", payments.Callback{Query: genuine}, "callback_malformed"),
	}
}

// What moves no money to us is recorded under a name of its own.
func TestAlipayTradeStatuses(t *testing.T) {
	t.Parallel()
	c := alipayChannel(t, "https://alipay.example")
	attempt := attemptOf(t, c, "CNY")
	for status, want := range map[string]string{
		"TRADE_SUCCESS": payments.TypeSucceeded, "TRADE_FINISHED": payments.TypeSucceeded,
		"TRADE_CLOSED": "alipay.trade_closed", "WAIT_BUYER_PAY": "alipay.wait_buyer_pay", "payment succeeded": "alipay.unknown",
	} {
		notice, err := c.Verify(t.Context(), alipaySigned(alipayForm(attempt, 1234, status), gatewayKey()))
		require.NoError(t, err)
		require.Equal(t, want, notice.Type, status)
	}
	refunded := alipayForm(attempt, 1234, "TRADE_SUCCESS")
	refunded.Set("refund_fee", "12.34")
	notice, err := c.Verify(t.Context(), alipaySigned(refunded, gatewayKey()))
	require.NoError(t, err)
	require.Equal(t, "alipay.refund", notice.Type)
	stray := alipayForm(attempt, 1234, "TRADE_SUCCESS")
	stray.Set("out_trade_no", "another-shop's-1")
	notice, err = c.Verify(t.Context(), alipaySigned(stray, gatewayKey()))
	require.NoError(t, err)
	require.Equal(t, uuid.Nil, notice.PaymentID)
}

func TestAlipayAnswersAreVerified(t *testing.T) {
	t.Parallel()
	f := alipayFar(t)
	c := alipayChannel(t, f.URL)
	attempt := attemptOf(t, c, "CNY")
	f.pay(attempt)
	f.signer = foreignKey()
	_, paid, err := c.(payments.Querier).Query(t.Context(), attempt)
	requireCode(t, err, "payment_gateway_unavailable")
	require.False(t, paid)
}

func TestAlipayPayURLs(t *testing.T) {
	t.Parallel()
	c := alipayChannel(t, "https://alipay.example/gateway.do")
	attempt := attemptOf(t, c, "CNY")
	instructions, _, err := c.Begin(t.Context(), attempt)
	require.NoError(t, err)
	for field, method := range map[string]string{"pay_url": "alipay.trade.page.pay", "pay_url_mobile": "alipay.trade.wap.pay"} {
		u, err := url.Parse(instructions[field])
		require.NoError(t, err)
		form := u.Query()
		require.True(t, verify(ourKey(), alipayText(form, "sign"), form.Get("sign")), field)
		require.Equal(t, method, form.Get("method"))
		require.Equal(t, "https://shop.example/v1/payment-callbacks/alipay", form.Get("notify_url"))
		require.Equal(t, "https://shop.example/orders/N-1", form.Get("return_url"))
		var content map[string]string
		require.NoError(t, json.Unmarshal([]byte(form.Get("biz_content")), &content))
		require.Equal(t, merchantNo(attempt), content["out_trade_no"])
		require.Equal(t, "12.34", content["total_amount"])
		require.Equal(t, beijingTime(attempt.ExpiresAt), content["time_expire"])
	}
}
