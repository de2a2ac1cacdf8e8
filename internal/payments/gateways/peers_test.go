package gateways_test

import (
	"bytes"
	"net/http"
	"net/url"
	"testing"

	alipaysdk "github.com/smartwalle/alipay/v3"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/verifiers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/notify"
	"github.com/wechatpay-apiv3/wechatpay-go/core/option"
	wechatsdk "github.com/wechatpay-apiv3/wechatpay-go/services/payments"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"
)

// The far sides of these tests could share a mistake with the adapters. So other people's clients speak to them too.

func TestOthersTakeOurWeChat(t *testing.T) {
	t.Parallel()
	f := wechatFar(t)
	attempt := attemptOf(t, wechatChannel(t, f.URL), "CNY")
	f.pay(attempt)
	verifier := verifiers.NewSHA256WithRSAPubkeyVerifier(wechatSerial, gatewayKey().PublicKey)

	callback := wechatSigned(wechatBody("TRANSACTION.SUCCESS", wechatTrade(attempt, 1234, "SUCCESS"), wechatV3Key))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://shop.example/", bytes.NewReader(callback.Body))
	require.NoError(t, err)
	request.Header = callback.Header
	handler, err := notify.NewRSANotifyHandler(wechatV3Key, verifier)
	require.NoError(t, err)
	var transaction wechatsdk.Transaction
	_, err = handler.ParseNotifyRequest(t.Context(), request, &transaction)
	require.NoError(t, err)
	require.Equal(t, merchantNo(attempt), *transaction.OutTradeNo)
	require.Equal(t, int64(1234), *transaction.Amount.Total)

	// The client has the gateway's address built in.
	far, err := url.Parse(f.URL)
	require.NoError(t, err)
	client, err := core.NewClient(t.Context(),
		option.WithMerchantCredential(wechatMerchant, wechatOurs, ourKey()), option.WithVerifier(verifier),
		option.WithHTTPClient(&http.Client{Transport: redirected{far}}))
	require.NoError(t, err)
	service := native.NativeApiService{Client: client}
	asked, _, err := service.QueryOrderByOutTradeNo(t.Context(), native.QueryOrderByOutTradeNoRequest{
		OutTradeNo: new(merchantNo(attempt)), Mchid: new(wechatMerchant),
	})
	require.NoError(t, err)
	require.Equal(t, wechatID(attempt), *asked.TransactionId)
	begun, _, err := service.Prepay(t.Context(), native.PrepayRequest{
		Appid: new(wechatApp), Mchid: new(wechatMerchant), Description: new("x"),
		OutTradeNo: new(merchantNo(attempt)), NotifyUrl: new("https://shop.example/"),
		Amount: &native.Amount{Total: new(int64(1234))},
	})
	require.NoError(t, err)
	require.NotEmpty(t, *begun.CodeUrl)
}

// redirected sends every request to one server.
type redirected struct{ to *url.URL }

func (r redirected) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.URL.Scheme, request.URL.Host = r.to.Scheme, r.to.Host
	return http.DefaultTransport.RoundTrip(request)
}

func TestOthersTakeOurAlipay(t *testing.T) {
	t.Parallel()
	f := alipayFar(t)
	c := alipayChannel(t, f.URL)
	attempt := attemptOf(t, c, "CNY")
	f.pay(attempt)
	client, err := alipaysdk.New(alipayApp, privatePEM(ourKey()), true, alipaysdk.WithProductionGateway(f.URL))
	require.NoError(t, err)
	require.NoError(t, client.LoadAliPayPublicKey(publicBase64(gatewayKey())))

	form, err := url.ParseQuery(string(alipaySigned(alipayForm(attempt, 1234, "TRADE_SUCCESS"), gatewayKey()).Body))
	require.NoError(t, err)
	notification, err := client.DecodeNotification(t.Context(), form)
	require.NoError(t, err)
	require.Equal(t, merchantNo(attempt), notification.OutTradeNo)

	asked, err := client.TradeQuery(t.Context(), alipaysdk.TradeQuery{OutTradeNo: merchantNo(attempt)})
	require.NoError(t, err)
	require.Equal(t, alipayTradeNo(attempt), asked.TradeNo)
	require.Equal(t, "12.34", asked.TotalAmount)

	trade := alipaysdk.Trade{OutTradeNo: merchantNo(attempt), Subject: "订单", TotalAmount: "12.34"}
	begun, err := client.TradePagePay(alipaysdk.TradePagePay{Trade: trade})
	require.NoError(t, err)
	query := begun.Query()
	require.True(t, verify(ourKey(), alipayText(query, "sign"), query.Get("sign")), "what they sign is what we sign")
}
