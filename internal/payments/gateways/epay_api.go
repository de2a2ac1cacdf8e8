package gateways

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// Begin gives the address at which the buyer pays. Nothing goes over the network: the gateway hears of it from the buyer.
func (e *epay) Begin(_ context.Context, attempt payments.Attempt) (payments.Instructions, string, error) {
	account, err := e.accounts.named(e.name, attempt.Account)
	if err != nil {
		return nil, "", err
	}
	form := map[string]string{
		"pid": account.pid, "type": account.payType, "out_trade_no": tradeNo(attempt.ID), "notify_url": e.notifyURL,
		"return_url": e.returnURLOf(attempt), "name": e.subjectOf(attempt), "money": formatYuan(attempt.Amount.Amount),
	}
	query := url.Values{"sign": {epaySign(form, account.keys[0])}, "sign_type": {"MD5"}}
	for name, value := range form {
		if value != "" {
			query.Set(name, value)
		}
	}
	return payments.Instructions{"pay_url": account.baseURL + "/submit.php?" + query.Encode()}, "", nil
}

// epayOrder is what a gateway knows of an attempt. The protocol has several dialects: numbers are written both ways.
type epayOrder struct {
	Code       scalar `json:"code"` // 1: there is such an order
	Message    string `json:"msg"`
	PID        scalar `json:"pid"`
	TradeNo    scalar `json:"trade_no"`
	OutTradeNo scalar `json:"out_trade_no"`
	Money      scalar `json:"money"`
	Status     scalar `json:"status"` // 1: paid

	raw []byte
}

// ask returns what the gateway answers, and paid only if it is all about this payment.
func (e *epay) ask(ctx context.Context, account *epayAccount, outTradeNo string) (order epayOrder, fen int64, paid bool, err error) {
	query := url.Values{"act": {"order"}, "pid": {account.pid}, "key": {account.keys[0]}, "out_trade_no": {outTradeNo}}
	answer, err := e.do(ctx, http.MethodGet, account.baseURL+"/api.php?"+query.Encode(), nil, nil)
	if err != nil {
		return order, 0, false, e.unavailable(err)
	}
	if answer.status != http.StatusOK {
		return order, 0, false, e.unavailable(fmt.Errorf("act=order: HTTP %d", answer.status))
	}
	if err := decode(answer.body, &order); err != nil || order.Code == "" {
		return order, 0, false, e.unavailable(fmt.Errorf("act=order: not an answer of the protocol: %w", err))
	}
	order.raw = answer.body
	if order.Code != "1" || order.Status != "1" {
		return order, 0, false, nil
	}
	fen, ok := parseYuan(string(order.Money))
	if !ok || string(order.OutTradeNo) != outTradeNo || order.PID != "" && string(order.PID) != account.pid ||
		!gatewayID.MatchString(string(order.TradeNo)) {
		return order, 0, false, e.unavailable(errors.New("act=order: an answer about something else"))
	}
	return order, fen, true, nil
}

// confirm refuses a notice that the gateway knows nothing of.
func (e *epay) confirm(ctx context.Context, account *epayAccount, form map[string]string, fen int64) error {
	order, askedFen, paid, err := e.ask(ctx, account, form["out_trade_no"])
	if err != nil {
		return err
	}
	if !paid || askedFen != fen || string(order.TradeNo) != form["trade_no"] {
		return fault.New(fault.Unauthenticated, "callback_unconfirmed")
	}
	return nil
}

// Query asks for the attempt by its id.
func (e *epay) Query(ctx context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	account, err := e.accounts.named(e.name, attempt.Account)
	if err != nil {
		return payments.Notice{}, false, err
	}
	order, fen, paid, err := e.ask(ctx, account, tradeNo(attempt.ID))
	if err != nil || !paid {
		return payments.Notice{}, false, err
	}
	return payments.Notice{
		EventID: "query:" + string(order.TradeNo), Type: payments.TypeSucceeded, Account: account.Name, PaymentID: attempt.ID,
		Amount: money.Money{Amount: fen, Currency: "CNY"}, OccurredAt: e.now().UTC(), Reference: string(order.TradeNo),
		Body: order.raw,
	}, true, nil
}
