package gateways_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
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
	wechatApp      = "wx0000000000000001"
	wechatMerchant = "1900000001"
	wechatOurs     = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
	wechatSerial   = "PUB_KEY_ID_0119000000012024010100000000000001"
	wechatV3Key    = "0123456789abcdef0123456789abcdef"
)

func wechatID(attempt payments.Attempt) string { return "42000" + merchantNo(attempt)[9:] }

func wechatTrade(attempt payments.Attempt, amount int64, state string) string {
	return fmt.Sprintf(`{"transaction_id":%q,"amount":{"payer_total":%d,"total":%d,"currency":"CNY","payer_currency":"CNY"},`+
		`"mchid":%q,"trade_state":%q,"bank_type":"CMC","success_time":%q,"payer":{"openid":"o1"},`+
		`"out_trade_no":%q,"appid":%q,"trade_type":"NATIVE"}`,
		wechatID(attempt), amount, amount, wechatMerchant, state, time.Now().In(beijing).Format(time.RFC3339), merchantNo(attempt), wechatApp)
}

func seal(key, nonce, data, plain string) string {
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		panic(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), []byte(plain), []byte(data)))
}

func wechatBody(event, trade, key string) string {
	return fmt.Sprintf(`{"id":%q,"create_time":"2024-01-01T10:34:56+08:00","resource_type":"encrypt-resource","event_type":%q,`+
		`"summary":"支付成功","resource":{"original_type":"transaction","algorithm":"AEAD_AES_256_GCM","ciphertext":%q,`+
		`"associated_data":"transaction","nonce":"fdasflkja484"}}`,
		uuid.NewString(), event, seal(key, "fdasflkja484", "transaction", trade))
}

func wechatHeader(key *rsa.PrivateKey, at time.Time, body string) http.Header {
	header, timestamp, nonce := http.Header{}, strconv.FormatInt(at.Unix(), 10), "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"
	header.Set("Wechatpay-Serial", wechatSerial)
	header.Set("Wechatpay-Timestamp", timestamp)
	header.Set("Wechatpay-Nonce", nonce)
	header.Set("Wechatpay-Signature", sign(key, timestamp+"\n"+nonce+"\n"+body+"\n"))
	return header
}

func wechatSigned(body string) payments.Callback {
	return payments.Callback{Body: []byte(body), Header: wechatHeader(gatewayKey(), time.Now(), body)}
}

var wechatParameter = regexp.MustCompile(`(\w+)="([^"]*)"`)

// signedByMerchant looks whether a request is.
func signedByMerchant(r *http.Request, body string) bool {
	scheme, parameters, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	auth := map[string]string{}
	for _, pair := range wechatParameter.FindAllStringSubmatch(parameters, -1) {
		auth[pair[1]] = pair[2]
	}
	return scheme == "WECHATPAY2-SHA256-RSA2048" && auth["mchid"] == wechatMerchant && auth["serial_no"] == wechatOurs &&
		verify(ourKey(), r.Method+"\n"+r.URL.RequestURI()+"\n"+auth["timestamp"]+"\n"+auth["nonce_str"]+"\n"+body+"\n", auth["signature"])
}

// wechatFar answers native orders and queries, to whoever signs as the merchant.
func wechatFar(tb testing.TB) *far {
	tb.Helper()
	var f *far
	f = newFar(tb, func(w http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		status, answer := http.StatusNotFound, `{"code":"ORDER_NOT_EXIST","message":"订单不存在"}`
		name := strings.TrimPrefix(r.URL.Path, "/v3/pay/transactions/out-trade-no/")
		attempt, paid := f.attempt(name)
		switch {
		case !signedByMerchant(r, string(request)) || r.Header.Get("Wechatpay-Serial") != wechatSerial:
			status, answer = http.StatusUnauthorized, `{"code":"SIGN_ERROR","message":"签名错误"}`
		case r.Method == http.MethodPost && r.URL.Path == "/v3/pay/transactions/native":
			f.requests = append(f.requests, string(request))
			status, answer = http.StatusOK, `{"code_url":"weixin://wxpay/bizpayurl?pr=NwY5Mz9"}`
		case paid && r.URL.Query().Get("mchid") == wechatMerchant:
			status, answer = http.StatusOK, wechatTrade(attempt, attempt.Amount.Amount, "SUCCESS")
		}
		maps.Copy(w.Header(), wechatHeader(f.signer, time.Now(), answer))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	return f
}

func wechatAccount(name, baseURL string) map[string]any {
	return map[string]any{
		"name": name, "appid": wechatApp, "mchid": wechatMerchant, "serial": wechatOurs, "private_key": privatePEM(ourKey()),
		"api_v3_keys":   []string{"an older key of the same length!", wechatV3Key},
		"platform_keys": []any{map[string]any{"serial": wechatSerial, "key": publicBase64(gatewayKey())}}, "base_url": baseURL,
	}
}

func wechatChannel(tb testing.TB, baseURL string) payments.Channel {
	tb.Helper()
	return channel(tb, map[string]any{"type": "wechat", "accounts": []any{wechatAccount("main", baseURL)}})
}

func TestWeChatIsAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, pgtest.New, func(t *testing.T) channeltest.Subject {
		t.Helper()
		f := wechatFar(t)
		return channeltest.Subject{
			Channel: wechatChannel(t, f.URL), Currency: "CNY",
			Answer: payments.Answer{Status: 204},
			Pay:    f.pay,
			Notice: func(t *testing.T, attempt payments.Attempt, amount int64) payments.Callback {
				t.Helper()
				return wechatSigned(wechatBody("TRANSACTION.SUCCESS", wechatTrade(attempt, amount, "SUCCESS"), wechatV3Key))
			},
			Pending: func(t *testing.T, attempt payments.Attempt) payments.Callback {
				t.Helper()
				return wechatSigned(wechatBody("TRANSACTION.SUCCESS", wechatTrade(attempt, attempt.Amount.Amount, "USERPAYING"), wechatV3Key))
			},
			Forgeries: wechatForgeries,
			Reference: wechatID,
			Break:     f.breakNext,
		}
	})
}

func wechatForgeries(t *testing.T, attempt payments.Attempt) []channeltest.Forgery {
	t.Helper()
	trade := wechatTrade(attempt, attempt.Amount.Amount, "SUCCESS")
	body := wechatBody("TRANSACTION.SUCCESS", trade, wechatV3Key)
	at := func(key *rsa.PrivateKey, age time.Duration) payments.Callback {
		return payments.Callback{Body: []byte(body), Header: wechatHeader(key, time.Now().Add(-age), body)}
	}
	without := func(name, value string) payments.Callback {
		callback := wechatSigned(body)
		callback.Header.Set(name, value)
		return callback
	}
	resealed := func(from, to string) payments.Callback {
		require.Contains(t, trade, from)
		return wechatSigned(wechatBody("TRANSACTION.SUCCESS", strings.ReplaceAll(trade, from, to), wechatV3Key))
	}
	return []channeltest.Forgery{
		forged("unsigned", payments.Callback{Body: []byte(body), Header: http.Header{}}, "callback_unsigned"),
		forged("no serial", without("Wechatpay-Serial", ""), "callback_unsigned"),
		forged("a foreign key", at(foreignKey(), 0), "callback_signature_invalid"),
		forged("an unknown serial", without("Wechatpay-Serial", "7777777777"), "callback_signature_invalid"),
		forged("the gateway's test of us", without("Wechatpay-Signature", "WECHATPAY/SIGNTEST/abc"), "callback_signature_invalid"),
		forged("another nonce", without("Wechatpay-Nonce", "x"), "callback_signature_invalid"),
		forged("stale", at(gatewayKey(), 301*time.Second), "callback_stale"),
		forged("from the future", at(gatewayKey(), -310*time.Second), "callback_stale"),
		forged("another app", resealed(wechatApp, "wx0000000000000002"), "callback_foreign"),
		forged("another merchant", resealed(wechatMerchant, "1900000002"), "callback_foreign"),
		forged("sealed with another key", wechatSigned(wechatBody("TRANSACTION.SUCCESS", trade, strings.Repeat("k", 32))), "callback_malformed"),
		forged("a short nonce", wechatSigned(strings.Replace(body, "fdasflkja484", "short", 1)), "callback_malformed"),
		forged("a name twice inside", resealed(`"bank_type"`, `"trade_state"`), "callback_malformed"),
		forged("a name twice outside", wechatSigned(strings.Replace(body, `"summary"`, `"id"`, 1)), "callback_malformed"),
		forged("half a fen", resealed(`"total":1234`, `"total":1234.5`), "callback_malformed"),
		forged("true for the resource", wechatSigned(`{"id":"1","event_type":"X","resource":true,"sign":true}`), "callback_malformed"),
	}
}

func TestWeChatNativeOrder(t *testing.T) {
	t.Parallel()
	f := wechatFar(t)
	c := wechatChannel(t, f.URL)
	attempt := attemptOf(t, c, "CNY")
	instructions, _, err := c.Begin(t.Context(), attempt)
	require.NoError(t, err)
	require.Equal(t, payments.Instructions{"code_url": "weixin://wxpay/bizpayurl?pr=NwY5Mz9"}, instructions)
	require.JSONEq(t, fmt.Sprintf(`{"appid":%q,"mchid":%q,"description":"N-1","out_trade_no":%q,"time_expire":%q,
		"notify_url":"https://shop.example/v1/payment-callbacks/wechat","amount":{"total":1234,"currency":"CNY"}}`,
		wechatApp, wechatMerchant, merchantNo(attempt), attempt.ExpiresAt.In(beijing).Format(time.RFC3339)), f.requests[0])
	for i := 0; f.breakNext(i); i++ {
		_, _, err = c.Begin(t.Context(), attempt)
		requireCode(t, err, "payment_gateway_unavailable")
	}
}

func TestWeChatAnswersAreVerified(t *testing.T) {
	t.Parallel()
	f := wechatFar(t)
	c := wechatChannel(t, f.URL)
	attempt := attemptOf(t, c, "CNY")
	f.pay(attempt)
	f.signer = foreignKey()
	_, paid, err := c.(payments.Querier).Query(t.Context(), attempt)
	requireCode(t, err, "payment_gateway_unavailable")
	require.False(t, paid)
	_, _, err = c.Begin(t.Context(), attempt)
	requireCode(t, err, "payment_gateway_unavailable")
}

// Two accounts of one merchant have one serial and one key, and differ in their apps.
func TestWeChatAccountsOfOneMerchant(t *testing.T) {
	t.Parallel()
	second := wechatAccount("second", "")
	second["appid"] = "wx0000000000000002"
	c := channel(t, map[string]any{"type": "wechat", "accounts": []any{second, wechatAccount("main", "")}})
	attempt := attemptOf(t, c, "CNY")
	require.Equal(t, "second", attempt.Account)
	notice, err := c.Verify(t.Context(), wechatSigned(wechatBody("TRANSACTION.SUCCESS", wechatTrade(attempt, 1, "SUCCESS"), wechatV3Key)))
	require.NoError(t, err)
	require.Equal(t, "main", notice.Account)
	refund := fmt.Sprintf(`{"mchid":%q,"out_trade_no":%q,"refund_status":"SUCCESS","amount":{"total":1,"refund":1}}`,
		wechatMerchant, merchantNo(attempt))
	notice, err = c.Verify(t.Context(), wechatSigned(wechatBody("REFUND.SUCCESS", refund, wechatV3Key)))
	require.NoError(t, err)
	require.Equal(t, "wechat.refund.success", notice.Type)
}
