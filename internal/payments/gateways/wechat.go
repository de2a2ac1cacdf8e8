package gateways

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
)

// wechat is 微信支付, API v3.
type wechat struct {
	shop
	far

	now      func() time.Time
	accounts accounts[*wechatAccount]
}

type wechatAccount struct {
	Account

	baseURL      string
	appID        string
	merchantID   string
	serial       string // of our own certificate
	privateKey   *rsa.PrivateKey
	platformKeys map[string]*rsa.PublicKey // by serial or public key id; all verify
	apiV3Keys    [][]byte                  // all open
}

// Name is the channel's.
func (w *wechat) Name() string { return w.name }

// Account is the first that takes yuan.
func (w *wechat) Account(attempt payments.Attempt) (string, error) {
	return w.accounts.choose(w.name, attempt)
}

// Acknowledge answers 204: with 200 or 204 nothing else is looked at.
func (w *wechat) Acknowledge() payments.Answer { return payments.Answer{Status: http.StatusNoContent} }

const wechatTolerance = 300 * time.Second

type wechatEnvelope struct {
	ID        string `json:"id"`
	EventType string `json:"event_type"`
	Resource  struct {
		Algorithm      string `json:"algorithm"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
		Nonce          string `json:"nonce"`
	} `json:"resource"`
}

// wechatTrade is the opened resource of a notice, and the answer to a query.
type wechatTrade struct {
	AppID         string `json:"appid"`
	MerchantID    string `json:"mchid"`
	OutTradeNo    string `json:"out_trade_no"`
	TransactionID string `json:"transaction_id"`
	TradeState    string `json:"trade_state"`
	SuccessTime   string `json:"success_time"`
	Amount        struct {
		Total    int64  `json:"total"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

const wechatSuccess = "TRANSACTION.SUCCESS"

// Verify checks the signature by the serial's key, opens the resource with the APIv3 key of an account that has that
// serial, and looks whether it is about that account. Other events, such as of refunds, are recorded without effect.
func (w *wechat) Verify(_ context.Context, callback payments.Callback) (payments.Notice, error) {
	signed, err := w.signers(callback.Header, callback.Body)
	if err != nil {
		return payments.Notice{}, err
	}
	var envelope wechatEnvelope
	if err := decode(callback.Body, &envelope); err != nil || !gatewayID.MatchString(envelope.ID) {
		return payments.Notice{}, malformed("id")
	}
	opened := false
	for _, account := range signed {
		plain, err := account.open(envelope)
		if err != nil {
			continue // another account's key, when several have one serial
		}
		opened = true
		var trade wechatTrade
		if err := decode(plain, &trade); err != nil {
			return payments.Notice{}, malformed("resource")
		}
		if account.owns(trade, envelope.EventType) {
			return w.notice(account, envelope, trade, callback.Body)
		}
	}
	if opened {
		return payments.Notice{}, foreign()
	}
	return payments.Notice{}, malformed("resource")
}

// owns: only a payment names the app.
func (a *wechatAccount) owns(trade wechatTrade, eventType string) bool {
	return trade.MerchantID == a.merchantID && (trade.AppID == a.appID || trade.AppID == "" && eventType != wechatSuccess)
}

func (w *wechat) notice(account *wechatAccount, envelope wechatEnvelope, trade wechatTrade, body []byte) (payments.Notice, error) {
	notice := payments.Notice{
		EventID: envelope.ID, Type: ownType("wechat", envelope.EventType), Account: account.Name,
		PaymentID: paymentOf(trade.OutTradeNo), OccurredAt: w.now().UTC(), Body: body,
	}
	if envelope.EventType != wechatSuccess {
		return notice, nil
	}
	if trade.TradeState != "SUCCESS" {
		notice.Type = ownType("wechat", trade.TradeState)
		return notice, nil
	}
	err := trade.fill(&notice)
	return notice, err
}

// fill adds what a paid trade says.
func (t *wechatTrade) fill(notice *payments.Notice) error {
	at, err := time.Parse(time.RFC3339, t.SuccessTime)
	switch {
	case err != nil || at.UTC().Year() < 2000 || at.UTC().Year() > 9999:
		return malformed("success_time")
	case t.Amount.Total < 0 || t.Amount.Currency == "" || len(t.Amount.Currency) > len("CNY"):
		return malformed("amount")
	case !gatewayID.MatchString(t.TransactionID):
		return malformed("transaction_id")
	}
	notice.Type, notice.OccurredAt, notice.Reference = payments.TypeSucceeded, at.UTC(), t.TransactionID
	notice.Amount = money.Money{Amount: t.Amount.Total, Currency: t.Amount.Currency}
	return nil
}

// signers are the accounts for whose platform key the signature is right. Faults as Verify's.
func (w *wechat) signers(header http.Header, body []byte) ([]*wechatAccount, error) {
	serial, signature := header.Get("Wechatpay-Serial"), header.Get("Wechatpay-Signature")
	timestamp, nonce := header.Get("Wechatpay-Timestamp"), header.Get("Wechatpay-Nonce")
	if serial == "" || signature == "" || timestamp == "" || nonce == "" {
		return nil, unsigned()
	}
	unix, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return nil, forged()
	}
	if age := w.now().Sub(time.Unix(unix, 0)); age > wechatTolerance || age < -wechatTolerance {
		return nil, stale()
	}
	text := timestamp + "\n" + nonce + "\n" + string(body) + "\n"
	var signed []*wechatAccount
	for _, account := range w.accounts {
		if key := account.platformKeys[serial]; key != nil && verifyRSA(key, text, signature) {
			signed = append(signed, account)
		}
	}
	if len(signed) == 0 {
		return nil, forged()
	}
	return signed, nil
}

var errSealed = errors.New("not sealed with a key of this account")

func (a *wechatAccount) open(envelope wechatEnvelope) ([]byte, error) {
	r := envelope.Resource
	sealed, err := base64.StdEncoding.DecodeString(r.Ciphertext)
	if err != nil || r.Algorithm != "AEAD_AES_256_GCM" {
		return nil, errSealed
	}
	for _, key := range a.apiV3Keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		if len(r.Nonce) != gcm.NonceSize() { // Open would panic
			return nil, errSealed
		}
		if plain, err := gcm.Open(nil, []byte(r.Nonce), sealed, []byte(r.AssociatedData)); err == nil {
			return plain, nil
		}
	}
	return nil, errSealed
}
