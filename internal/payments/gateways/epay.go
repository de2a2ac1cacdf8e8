package gateways

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's; nothing is believed on its word alone
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// epay is 易支付, a protocol that many small gateways speak. Its signature is MD5 with a shared key, so a notice is no
// more than a reason to ask.
type epay struct {
	shop
	far

	now      func() time.Time
	accounts accounts[*epayAccount]
}

type epayAccount struct {
	Account

	baseURL string
	pid     string
	keys    []string // the first signs; all verify
	payType string
}

// Name is the channel's.
func (e *epay) Name() string { return e.name }

// Account is the first that takes yuan.
func (e *epay) Account(attempt payments.Attempt) (string, error) {
	return e.accounts.choose(e.name, attempt)
}

// Acknowledge answers `success`.
func (e *epay) Acknowledge() payments.Answer {
	return payments.Answer{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: "success"}
}

const epayPaid = "TRADE_SUCCESS"

// Verify reads a GET's query or a POST's form, and asks the gateway whether a success is true. A notice has no time of
// its own: an old one that is sent again is as true as the gateway says.
func (e *epay) Verify(ctx context.Context, callback payments.Callback) (payments.Notice, error) {
	form, account, err := e.verified(&callback)
	if err != nil {
		return payments.Notice{}, err
	}
	fen, ok := parseYuan(form["money"])
	if !ok {
		return payments.Notice{}, malformed("money")
	}
	if !gatewayID.MatchString(form["trade_no"]) {
		return payments.Notice{}, malformed("trade_no")
	}
	notice := payments.Notice{
		EventID: form["trade_no"] + ":" + form["trade_status"], Type: ownType("epay", form["trade_status"]), Account: account.Name,
		PaymentID: paymentOf(form["out_trade_no"]), Amount: money.Money{Amount: fen, Currency: "CNY"},
		OccurredAt: e.now().UTC(), Reference: form["trade_no"], Body: callback.Body,
	}
	if !gatewayID.MatchString(notice.EventID) {
		return payments.Notice{}, malformed("trade_status")
	}
	if form["trade_status"] != epayPaid {
		return notice, nil
	}
	notice.Type = payments.TypeSucceeded
	return notice, e.confirm(ctx, account, form, fen)
}

// verified gives the form and whose it is. callback.Body becomes what was signed.
func (e *epay) verified(callback *payments.Callback) (map[string]string, *epayAccount, error) {
	if len(callback.Body) == 0 {
		callback.Body = []byte(callback.Query)
	} else if callback.Query != "" {
		return nil, nil, malformed("query") // two places for a name are one too many
	}
	form, err := parseForm(string(callback.Body))
	switch {
	case err != nil:
		return nil, nil, malformed("form")
	case form["sign"] == "":
		return nil, nil, unsigned()
	case form["sign_type"] != "MD5":
		return nil, nil, malformed("sign_type")
	}
	for _, account := range e.accounts {
		if account.pid == form["pid"] {
			if !account.signed(form) {
				return nil, nil, forged()
			}
			return form, account, nil
		}
	}
	return nil, nil, foreign()
}

func (a *epayAccount) signed(form map[string]string) bool {
	right := 0
	for _, key := range a.keys {
		right |= subtle.ConstantTimeCompare([]byte(form["sign"]), []byte(epaySign(form, key)))
	}
	return right == 1
}

// epaySign is the lower-case hex MD5 of the form's non-empty values in order, and the key right behind them.
func epaySign(form map[string]string, key string) string {
	text := signedForm(form, func(name, value string) bool { return name != "sign" && name != "sign_type" && value != "" })
	sum := md5.Sum([]byte(text + key)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:])
}
