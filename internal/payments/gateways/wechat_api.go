package gateways

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vendbox/vendbox/internal/payments"
)

type wechatNative struct {
	AppID       string       `json:"appid"`
	MerchantID  string       `json:"mchid"`
	Description string       `json:"description"`
	OutTradeNo  string       `json:"out_trade_no"`
	TimeExpire  string       `json:"time_expire"`
	NotifyURL   string       `json:"notify_url"`
	Amount      wechatAmount `json:"amount"`
}

type wechatAmount struct {
	Total    int64  `json:"total"`
	Currency string `json:"currency"`
}

// Begin gives the text of a QR code that the buyer scans (native).
func (w *wechat) Begin(ctx context.Context, attempt payments.Attempt) (payments.Instructions, string, error) {
	account, err := w.accounts.named(w.name, attempt.Account)
	if err != nil {
		return nil, "", err
	}
	request, err := json.Marshal(wechatNative{
		AppID: account.appID, MerchantID: account.merchantID, Description: w.subjectOf(attempt), OutTradeNo: tradeNo(attempt.ID),
		TimeExpire: attempt.ExpiresAt.In(beijing).Format(time.RFC3339), NotifyURL: w.notifyURL,
		Amount: wechatAmount{attempt.Amount.Amount, attempt.Amount.Currency},
	})
	if err != nil {
		return nil, "", err
	}
	answer, err := w.call(ctx, account, http.MethodPost, "/v3/pay/transactions/native", request)
	if err != nil {
		return nil, "", w.unavailable(err)
	}
	var native struct {
		CodeURL string `json:"code_url"`
	}
	if err := decode(answer.body, &native); err != nil || answer.status != http.StatusOK || native.CodeURL == "" {
		return nil, "", w.unavailable(fmt.Errorf("native: HTTP %d %s", answer.status, wechatCode(answer.body)))
	}
	return payments.Instructions{"code_url": native.CodeURL}, "", nil
}

// Query asks by the attempt's id.
func (w *wechat) Query(ctx context.Context, attempt payments.Attempt) (payments.Notice, bool, error) {
	account, err := w.accounts.named(w.name, attempt.Account)
	if err != nil {
		return payments.Notice{}, false, err
	}
	path := "/v3/pay/transactions/out-trade-no/" + tradeNo(attempt.ID) + "?mchid=" + url.QueryEscape(account.merchantID)
	answer, err := w.call(ctx, account, http.MethodGet, path, nil)
	if err != nil {
		return payments.Notice{}, false, w.unavailable(err)
	}
	code := wechatCode(answer.body)
	if answer.status == http.StatusNotFound && (code == "ORDER_NOT_EXIST" || code == "ORDERNOTEXIST") {
		return payments.Notice{}, false, nil
	}
	var trade wechatTrade
	if err := decode(answer.body, &trade); err != nil || answer.status != http.StatusOK {
		return payments.Notice{}, false, w.unavailable(fmt.Errorf("query: HTTP %d %s", answer.status, code))
	}
	if trade.OutTradeNo != tradeNo(attempt.ID) || !account.owns(trade, wechatSuccess) {
		return payments.Notice{}, false, w.unavailable(errors.New("query: an answer about something else"))
	}
	if trade.TradeState != "SUCCESS" {
		return payments.Notice{}, false, nil
	}
	notice := payments.Notice{
		EventID: "query:" + trade.TransactionID, Account: account.Name, PaymentID: attempt.ID, Body: answer.body,
	}
	if err := trade.fill(&notice); err != nil {
		return payments.Notice{}, false, w.unavailable(err)
	}
	return notice, true, nil
}

// call sends a signed request. The answer's signature is right.
func (w *wechat) call(ctx context.Context, account *wechatAccount, method, path string, body []byte) (farAnswer, error) {
	base, err := url.Parse(account.baseURL)
	if err != nil {
		return farAnswer{}, errors.New("the base URL is not one")
	}
	timestamp, nonce := strconv.FormatInt(w.now().Unix(), 10), rand.Text()
	signature, err := signRSA(account.privateKey,
		method+"\n"+base.Path+path+"\n"+timestamp+"\n"+nonce+"\n"+string(body)+"\n")
	if err != nil {
		return farAnswer{}, err
	}
	header := http.Header{
		"Accept": {"application/json"}, "User-Agent": {"vendbox"},
		"Authorization": {fmt.Sprintf(
			`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="%s",signature="%s",timestamp="%s",serial_no="%s"`,
			account.merchantID, nonce, signature, timestamp, account.serial)},
	}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	// Who has a public key instead of a certificate says so, or the answer is signed with the certificate's.
	for serial := range account.platformKeys {
		if strings.HasPrefix(serial, "PUB_KEY_ID_") {
			header.Set("Wechatpay-Serial", serial)
		}
	}
	answer, err := w.do(ctx, method, account.baseURL+path, header, bytes.NewReader(body))
	if err != nil {
		return farAnswer{}, err
	}
	signers, err := w.signers(answer.header, answer.body)
	if err != nil || !slices.Contains(signers, account) {
		return farAnswer{}, fmt.Errorf("HTTP %d, and the answer's signature is wrong: %w", answer.status, err)
	}
	return answer, nil
}

// wechatCode is the code of an error answer; empty: it is none.
func wechatCode(body []byte) string {
	var problem struct {
		Code string `json:"code"`
	}
	if decode(body, &problem) != nil || !gatewayWord.MatchString(problem.Code) {
		return ""
	}
	return problem.Code
}
