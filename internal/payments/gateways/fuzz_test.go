package gateways_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/payments"
)

// Each target gives a channel what nobody signed, which it must refuse, and then the same with the gateway's own
// signature, which may be accepted, and is refused with a fault if not.

func requireRefused(t *testing.T, c payments.Channel, callback payments.Callback) {
	t.Helper()
	if _, err := c.Verify(t.Context(), callback); err == nil {
		t.Fatal("a notice that nobody signed was accepted")
	}
}

func requireFault(t *testing.T, c payments.Channel, callback payments.Callback) {
	t.Helper()
	notice, err := c.Verify(t.Context(), callback)
	if _, isFault := fault.As(err); err != nil && !isFault {
		t.Fatal(err)
	}
	if err == nil && (notice.EventID == "" || notice.Account == "" || notice.Amount.Amount < 0 || notice.OccurredAt.IsZero()) {
		t.Fatalf("accepted %+v", notice)
	}
}

func FuzzStripeVerify(f *testing.F) {
	c := stripeChannel(f, "https://stripe.example")
	attempt := attemptOf(f, c, "EUR")
	f.Add(stripeEvent("payment_intent.succeeded", stripeIntent(attempt, 1234, "succeeded")), "t=1,v1=00")
	f.Add(`{"object":"event"}`, "")
	f.Fuzz(func(t *testing.T, body, header string) {
		requireRefused(t, c, payments.Callback{Body: []byte(body), Header: http.Header{"Stripe-Signature": {header}}})
		requireFault(t, c, stripeSigned(body, stripeSecret, time.Now()))
	})
}

func FuzzWeChatVerify(f *testing.F) {
	c := wechatChannel(f, "")
	attempt := attemptOf(f, c, "CNY")
	trade := wechatTrade(attempt, 1234, "SUCCESS")
	signed := wechatHeader(gatewayKey(), time.Now(), "something else") // RSA is slow: once for all
	f.Add(wechatBody("TRANSACTION.SUCCESS", trade, wechatV3Key), "")
	f.Add("", trade)
	f.Add(`{"id":"1","resource":{"nonce":"x","algorithm":"AEAD_AES_256_GCM"}}`, "")
	f.Fuzz(func(t *testing.T, body, plain string) {
		unsigned := signed.Clone()
		unsigned.Set("Wechatpay-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
		requireRefused(t, c, payments.Callback{Body: []byte(body), Header: unsigned})
		if plain != "" {
			body = wechatBody("TRANSACTION.SUCCESS", plain, wechatV3Key)
		}
		requireFault(t, c, wechatSigned(body))
	})
}

func FuzzAlipayVerify(f *testing.F) {
	c := alipayChannel(f, "https://alipay.example")
	f.Add(alipayForm(attemptOf(f, c, "CNY"), 1234, "TRADE_SUCCESS").Encode())
	f.Add("sign=true")
	f.Fuzz(func(t *testing.T, body string) {
		requireRefused(t, c, payments.Callback{Body: []byte(body)})
		if form, err := url.ParseQuery(body); err == nil {
			requireFault(t, c, alipaySigned(form, gatewayKey()))
		}
	})
}

func FuzzEpayVerify(f *testing.F) {
	// Asking would be slow and is not what this is about: no success gets that far.
	c := epayChannel(f, "http://127.0.0.1:1")
	f.Add(epayForm(attemptOf(f, c, "CNY"), 1234, "WAIT_BUYER_PAY").Encode())
	f.Add("sign=true&sign_type=MD5")
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if strings.Contains(query, "TRADE_SUCCESS") || err == nil && form.Get("trade_status") == "TRADE_SUCCESS" {
			t.Skip()
		}
		if err != nil || form.Get("sign") != epayMD5(form, epayKey) {
			requireRefused(t, c, payments.Callback{Query: query})
		}
		form.Set("sign", epayMD5(form, epayKey))
		requireFault(t, c, payments.Callback{Query: form.Encode()})
	})
}
