package gateways

import (
	"crypto/rsa"
	"net/url"
	"slices"
	"strings"
)

// The addresses of the gateways themselves.
const (
	stripeURL = "https://api.stripe.com"
	alipayURL = "https://openapi.alipay.com/gateway.do"
	wechatURL = "https://api.mch.weixin.qq.com"
)

type stripeConfig struct {
	Account

	SecretKey      Credential   `json:"secret_key"`
	WebhookSecrets []Credential `json:"webhook_secrets"`
	BaseURL        string       `json:"base_url"`
}

// oddCurrencies are those whose minor unit at Stripe is not that of ISO 4217.
var oddCurrencies = []string{"ISK", "UGX", "MGA"}

func (c *stripeConfig) open(p *parser) (*stripeAccount, string) {
	if len(c.Currencies) == 0 {
		p.sayf("currencies", "name at least one")
	}
	for _, currency := range c.Currencies {
		if slices.Contains(oddCurrencies, currency) {
			p.sayf("currencies", "%s is not supported: Stripe counts it in another minor unit", currency)
		}
	}
	a := &stripeAccount{Account: c.Account, secrets: p.credentials("webhook_secrets", c.WebhookSecrets)}
	a.api = newStripeAPI(p.credential("secret_key", c.SecretKey), p.baseURL(c.BaseURL, stripeURL), p.far)
	return a, ""
}

type alipayConfig struct {
	Account

	AppID      string       `json:"app_id"`
	SellerID   string       `json:"seller_id"`
	PrivateKey Credential   `json:"private_key"`
	AlipayKeys []Credential `json:"alipay_public_keys"`
	BaseURL    string       `json:"base_url"`
}

func (c *alipayConfig) open(p *parser) (*alipayAccount, string) {
	p.yuan(&c.Account)
	p.id("app_id", c.AppID)
	p.id("seller_id", c.SellerID)
	a := &alipayAccount{
		Account: c.Account, gatewayURL: p.baseURL(c.BaseURL, alipayURL), appID: c.AppID, sellerID: c.SellerID,
		privateKey: p.privateKey("private_key", c.PrivateKey),
	}
	for _, text := range p.credentials("alipay_public_keys", c.AlipayKeys) {
		key, _, err := parsePublicKey(text)
		if err != nil {
			p.sayf("alipay_public_keys", "%v", err)
		}
		a.alipayKeys = append(a.alipayKeys, key)
	}
	return a, c.AppID
}

type wechatConfig struct {
	Account

	AppID        string         `json:"appid"`
	MerchantID   string         `json:"mchid"`
	Serial       string         `json:"serial"`
	PrivateKey   Credential     `json:"private_key"`
	APIv3Keys    []Credential   `json:"api_v3_keys"`
	PlatformKeys []wechatKeyCfg `json:"platform_keys"`
	BaseURL      string         `json:"base_url"`
}

type wechatKeyCfg struct {
	Serial string     `json:"serial"` // of a public key, PUB_KEY_ID_…; a certificate has it inside
	Key    Credential `json:"key"`
}

const apiV3KeyBytes = 32

func (c *wechatConfig) open(p *parser) (*wechatAccount, string) {
	p.yuan(&c.Account)
	p.id("appid", c.AppID)
	p.id("mchid", c.MerchantID)
	p.id("serial", c.Serial)
	a := &wechatAccount{
		Account: c.Account, baseURL: p.baseURL(c.BaseURL, wechatURL), appID: c.AppID, merchantID: c.MerchantID, serial: c.Serial,
		privateKey: p.privateKey("private_key", c.PrivateKey), platformKeys: map[string]*rsa.PublicKey{},
	}
	for _, key := range p.credentials("api_v3_keys", c.APIv3Keys) {
		if len(key) != apiV3KeyBytes {
			p.sayf("api_v3_keys", "want %d characters", apiV3KeyBytes)
		}
		a.apiV3Keys = append(a.apiV3Keys, []byte(key))
	}
	if len(c.PlatformKeys) == 0 {
		p.sayf("platform_keys", "name at least one")
	}
	for _, k := range c.PlatformKeys {
		key, serial, err := parsePublicKey(p.credential("platform_keys", k.Key))
		switch {
		case err != nil:
			p.sayf("platform_keys", "%v", err)
			continue
		case serial == "":
			serial = k.Serial
		case k.Serial != "" && !strings.EqualFold(k.Serial, serial):
			p.sayf("platform_keys", "the certificate's serial is not %s", k.Serial)
		}
		p.id("platform_keys.serial", serial)
		a.platformKeys[serial] = key
	}
	return a, c.MerchantID + " " + c.AppID
}

type epayConfig struct {
	Account

	PID     string       `json:"pid"`
	Keys    []Credential `json:"keys"` // the first signs; all verify
	PayType string       `json:"pay_type"`
	BaseURL string       `json:"base_url"`
}

func (c *epayConfig) open(p *parser) (*epayAccount, string) {
	p.yuan(&c.Account)
	p.id("pid", c.PID)
	if c.BaseURL == "" {
		p.sayf("base_url", "is missing: there are many gateways of this protocol")
	}
	return &epayAccount{
		Account: c.Account, baseURL: p.baseURL(c.BaseURL, "https://missing.invalid"), pid: c.PID,
		keys: p.credentials("keys", c.Keys), payType: c.PayType,
	}, c.PID
}

// yuan: gateways in China take no other money.
func (p *parser) yuan(a *Account) {
	if a.Currencies == nil {
		a.Currencies = []string{"CNY"}
	}
	if !slices.Equal(a.Currencies, []string{"CNY"}) {
		p.sayf("currencies", "this gateway takes CNY only")
	}
}

func (p *parser) id(field, value string) {
	if !gatewayID.MatchString(value) {
		p.sayf(field, "is missing, or has characters that do not belong there")
	}
}

func (p *parser) baseURL(given, usual string) string {
	if given == "" {
		return usual
	}
	p.address("base_url", given)
	return strings.TrimSuffix(given, "/")
}

func (p *parser) address(field, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		p.sayf(field, "want http(s)://host and perhaps a path")
	}
}

func (p *parser) credential(field string, c Credential) string {
	text, err := c.value()
	if err != nil {
		p.sayf(field, "%v", err)
	}
	return text
}

func (p *parser) credentials(field string, list []Credential) []string {
	if len(list) == 0 {
		p.sayf(field, "name at least one")
	}
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = p.credential(field, c)
	}
	return texts
}

func (p *parser) privateKey(field string, c Credential) *rsa.PrivateKey {
	text, err := c.value()
	if err != nil {
		p.sayf(field, "%v", err)
		return nil
	}
	key, err := parsePrivateKey(text)
	if err != nil {
		p.sayf(field, "%v", err)
	}
	return key
}
