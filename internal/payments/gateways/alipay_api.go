package gateways

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// Begin gives two addresses at which the buyer pays: in a computer's browser and in a telephone's. Nothing goes over the
// network: Alipay hears of the attempt from the buyer.
func (a *alipay) Begin(_ context.Context, attempt payments.Attempt) (payments.Instructions, string, error) {
	account, err := a.accounts.named(a.name, attempt.Account)
	if err != nil {
		return nil, "", err
	}
	instructions := payments.Instructions{}
	for field, product := range map[string][2]string{
		"pay_url":        {"alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"},
		"pay_url_mobile": {"alipay.trade.wap.pay", "QUICK_WAP_WAY"},
	} {
		request, err := a.request(account, product[0], map[string]string{
			"out_trade_no": tradeNo(attempt.ID), "total_amount": formatYuan(attempt.Amount.Amount), "subject": a.subjectOf(attempt),
			"product_code": product[1], "time_expire": attempt.ExpiresAt.In(beijing).Format(beijingLayout),
		}, map[string]string{"notify_url": a.notifyURL, "return_url": a.returnURLOf(attempt)})
		if err != nil {
			return nil, "", err
		}
		instructions[field] = account.gatewayURL + "?" + request.Encode()
	}
	return instructions, "", nil
}

// request is a signed request.
func (a *alipay) request(account *alipayAccount, method string, content, more map[string]string) (url.Values, error) {
	biz, err := json.Marshal(content, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	form := map[string]string{
		"app_id": account.appID, "method": method, "format": "JSON", "charset": "utf-8", "sign_type": "RSA2", "version": "1.0",
		"timestamp": a.now().In(beijing).Format(beijingLayout), "biz_content": string(biz),
	}
	maps.Copy(form, more)
	// Unlike in a notice, sign_type is signed here.
	signature, err := signRSA(account.privateKey, signedForm(form, func(_, value string) bool { return value != "" }))
	if err != nil {
		return nil, err
	}
	values := url.Values{"sign": {signature}}
	for name, value := range form {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values, nil
}

type alipayTrade struct {
	Code        string `json:"code"`
	Message     string `json:"msg"`
	SubCode     string `json:"sub_code"`
	TradeNo     string `json:"trade_no"`
	OutTradeNo  string `json:"out_trade_no"`
	TradeStatus string `json:"trade_status"`
	TotalAmount string `json:"total_amount"`
	SendPayDate string `json:"send_pay_date"`
}

// Query asks by the attempt's id (alipay.trade.query).
func (a *alipay) Query(ctx context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	account, err := a.accounts.named(a.name, attempt.Account)
	if err != nil {
		return payments.Notice{}, false, err
	}
	body, err := a.call(ctx, account, "alipay.trade.query", map[string]string{"out_trade_no": tradeNo(attempt.ID)})
	if err != nil {
		return payments.Notice{}, false, a.unavailable(err)
	}
	var trade alipayTrade
	if err := decode(body, &trade); err != nil {
		return payments.Notice{}, false, a.unavailable(err)
	}
	switch {
	case trade.Code == "40004" && trade.SubCode == "ACQ.TRADE_NOT_EXIST": // so it is until the buyer has signed in
		return payments.Notice{}, false, nil
	case trade.Code != "10000":
		return payments.Notice{}, false, a.unavailable(fmt.Errorf("alipay.trade.query: %s %s", trade.Code, trade.SubCode))
	case trade.OutTradeNo != tradeNo(attempt.ID):
		return payments.Notice{}, false, a.unavailable(errors.New("alipay.trade.query: an answer about something else"))
	case !alipayPaid(trade.TradeStatus):
		return payments.Notice{}, false, nil
	}
	fen, okMoney := parseYuan(trade.TotalAmount)
	at, okTime := alipayTime(trade.SendPayDate, a.now().In(beijing).Format(beijingLayout))
	if !okMoney || !okTime || !gatewayID.MatchString(trade.TradeNo) {
		return payments.Notice{}, false, a.unavailable(errors.New("alipay.trade.query: a malformed answer"))
	}
	return payments.Notice{
		EventID: "query:" + trade.TradeNo, Type: payments.TypeSucceeded, Account: account.Name, PaymentID: attempt.ID,
		Amount: money.Money{Amount: fen, Currency: "CNY"}, OccurredAt: at, Reference: trade.TradeNo, Body: body,
	}, true, nil
}

// call returns the method's part of the answer, whose signature is right.
func (a *alipay) call(ctx context.Context, account *alipayAccount, method string, content map[string]string) ([]byte, error) {
	request, err := a.request(account, method, content, nil)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}
	answer, err := a.do(ctx, http.MethodPost, account.gatewayURL+"?charset=utf-8", header, strings.NewReader(request.Encode()))
	if err != nil {
		return nil, err
	}
	if answer.status != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP %d", method, answer.status)
	}
	// The signature is over the part as it stands in the answer, to the byte.
	var parts map[string]jsontext.Value
	if err := decode(answer.body, &parts); err != nil {
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	var signature string
	if err := decode(parts["sign"], &signature); err != nil {
		return nil, fmt.Errorf("%s: the answer is not signed: %w", method, err)
	}
	part := parts[strings.ReplaceAll(method, ".", "_")+"_response"]
	if !account.signed(string(part), signature) {
		return nil, fmt.Errorf("%s: the answer's signature is wrong", method)
	}
	return part, nil
}
