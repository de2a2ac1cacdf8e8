package gateways

import (
	"context"
	"crypto/rsa"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// alipay is 支付宝, with RSA2 and the public keys mode (公钥模式).
type alipay struct {
	shop
	far

	now      func() time.Time
	accounts accounts[*alipayAccount]
}

type alipayAccount struct {
	Account

	gatewayURL string
	appID      string
	sellerID   string
	privateKey *rsa.PrivateKey
	alipayKeys []*rsa.PublicKey // all verify
}

// Name is the channel's.
func (a *alipay) Name() string { return a.name }

// Account is the first that takes yuan.
func (a *alipay) Account(attempt payments.Attempt) (string, error) {
	return a.accounts.choose(a.name, attempt)
}

// Acknowledge answers `success`: Alipay repeats for 25 hours whatever is answered otherwise.
func (a *alipay) Acknowledge() payments.Answer {
	return payments.Answer{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: "success"}
}

// Alipay sends the same notice again for 25 hours, with the time of the first. What is older than two days is not from it.
const (
	alipayOldest = 48 * time.Hour
	alipayAhead  = 300 * time.Second
)

// Verify reads the form. A trade that waits for its buyer, was closed, or gave money back is recorded without effect.
func (a *alipay) Verify(_ context.Context, callback payments.Callback) (payments.Notice, error) {
	form, account, err := a.verified(callback)
	if err != nil {
		return payments.Notice{}, err
	}
	fen, okMoney := parseYuan(form["total_amount"])
	at, okTime := alipayTime(form["gmt_payment"], form["notify_time"])
	switch {
	case !okMoney:
		return payments.Notice{}, malformed("total_amount")
	case !okTime:
		return payments.Notice{}, malformed("gmt_payment")
	case !gatewayID.MatchString(form["notify_id"]):
		return payments.Notice{}, malformed("notify_id")
	case !gatewayID.MatchString(form["trade_no"]):
		return payments.Notice{}, malformed("trade_no")
	}
	notice := payments.Notice{
		EventID: form["notify_id"], Type: ownType("alipay", form["trade_status"]), Account: account.Name,
		PaymentID: paymentOf(form["out_trade_no"]), Amount: money.Money{Amount: fen, Currency: "CNY"},
		OccurredAt: at, Reference: form["trade_no"], Body: callback.Body,
	}
	switch {
	case form["refund_fee"] != "" || form["gmt_refund"] != "":
		notice.Type = "alipay.refund" // its status is still that of the trade, TRADE_SUCCESS
	case alipayPaid(form["trade_status"]):
		notice.Type = payments.TypeSucceeded
	}
	return notice, nil
}

// verified gives the form and whose it is.
func (a *alipay) verified(callback payments.Callback) (map[string]string, *alipayAccount, error) {
	form, err := parseForm(string(callback.Body))
	switch {
	case err != nil:
		return nil, nil, malformed("form")
	case form["sign"] == "":
		return nil, nil, unsigned()
	case form["sign_type"] != "RSA2":
		return nil, nil, malformed("sign_type")
	case !strings.EqualFold(form["charset"], "utf-8"):
		return nil, nil, malformed("charset")
	}
	i := slices.IndexFunc(a.accounts, func(account *alipayAccount) bool { return account.appID == form["app_id"] })
	if i < 0 {
		return nil, nil, foreign()
	}
	account := a.accounts[i]
	text := signedForm(form, func(name, _ string) bool { return name != "sign" && name != "sign_type" })
	if !account.signed(text, form["sign"]) {
		return nil, nil, forged()
	}
	if form["seller_id"] != account.sellerID {
		return nil, nil, foreign()
	}
	sent, err := time.ParseInLocation(beijingLayout, form["notify_time"], beijing)
	if err != nil {
		return nil, nil, malformed("notify_time")
	}
	if age := a.now().Sub(sent); age > alipayOldest || age < -alipayAhead {
		return nil, nil, stale()
	}
	return form, account, nil
}

func (a *alipayAccount) signed(text, signature string) bool {
	return slices.ContainsFunc(a.alipayKeys, func(key *rsa.PublicKey) bool { return verifyRSA(key, text, signature) })
}

// alipayPaid: TRADE_FINISHED is a success too, of a trade that cannot be refunded (any more).
func alipayPaid(status string) bool { return status == "TRADE_SUCCESS" || status == "TRADE_FINISHED" }

// alipayTime is the first of times that is given.
func alipayTime(times ...string) (time.Time, bool) {
	for _, text := range times {
		if text != "" {
			at, err := time.ParseInLocation(beijingLayout, text, beijing)
			return at.UTC(), err == nil && at.Year() >= 2000
		}
	}
	return time.Time{}, false
}
