package gateways

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vendbox/vendbox/internal/payments"
)

// Deps are what a file does not say.
type Deps struct {
	PublicURL string // where the gateways reach us
	Now       func() time.Time
	Getenv    func(string) (string, bool) // os.LookupEnv outside tests
}

type fileConfig struct {
	Channels []channelConfig `json:"channels"`
}

type channelConfig struct {
	Type      string           `json:"type"`       // stripe, alipay, wechat or epay
	Name      string           `json:"name"`       // in the API and in the callback's path; default: the type
	Subject   string           `json:"subject"`    // what the buyer reads at the gateway
	ReturnURL string           `json:"return_url"` // where the buyer comes back to
	Accounts  []jsontext.Value `json:"accounts"`
}

// Parse makes the channels that a file describes. The error lists every problem, one a line, and nothing that is secret.
func Parse(text []byte, deps Deps) ([]payments.Channel, error) {
	var file fileConfig
	p := &parser{deps: deps, far: newFar()}
	if err := json.Unmarshal(text, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("payment channels: %w", withoutText(err))
	}
	if len(file.Channels) == 0 {
		p.sayf("channels", "name at least one")
	}
	channels := make([]payments.Channel, 0, len(file.Channels))
	var names []string
	for i, c := range file.Channels {
		p.path = fmt.Sprintf("channels[%d]", i)
		if c.Name == "" {
			c.Name = c.Type
		}
		if slices.Contains(names, c.Name) || c.Name == "sandbox" {
			p.sayf("name", "%q is taken", c.Name)
		}
		names = append(names, c.Name)
		channels = append(channels, p.channel(c))
	}
	if len(p.problems) > 0 {
		return nil, errors.New("payment channels:\n  - " + strings.Join(p.problems, "\n  - "))
	}
	return channels, nil
}

// parser gathers the problems of a file.
type parser struct {
	deps     Deps
	far      far
	path     string // of what is looked at
	problems []string
}

func (p *parser) sayf(field, format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf("%s.%s: %s", p.path, field, fmt.Sprintf(format, args...)))
}

var channelName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (p *parser) channel(c channelConfig) payments.Channel {
	if !channelName.MatchString(c.Name) {
		p.sayf("name", "lower-case letters, digits and _, beginning with a letter, at most 32")
	}
	if c.ReturnURL != "" {
		p.address("return_url", fill(c.ReturnURL, payments.Attempt{}))
	}
	s := shop{
		name: c.Name, notifyURL: strings.TrimSuffix(p.deps.PublicURL, "/") + "/v1/payment-callbacks/" + c.Name,
		returnURL: c.ReturnURL, subject: c.Subject,
	}
	if s.subject == "" {
		s.subject = "{order_number}"
	}
	if len(c.Accounts) == 0 {
		p.sayf("accounts", "name at least one")
	}
	switch c.Type {
	case "stripe":
		if c.ReturnURL == "" {
			p.sayf("return_url", "is missing: Stripe wants to know where the buyer goes next")
		}
		return &stripe{s, p.deps.Now, openAll(p, c.Accounts, (*stripeConfig).open)}
	case "alipay":
		return &alipay{s, p.far, p.deps.Now, openAll(p, c.Accounts, (*alipayConfig).open)}
	case "wechat":
		return &wechat{s, p.far, p.deps.Now, openAll(p, c.Accounts, (*wechatConfig).open)}
	case "epay":
		return &epay{s, p.far, p.deps.Now, openAll(p, c.Accounts, (*epayConfig).open)}
	default:
		p.sayf("type", "%q is not one of stripe, alipay, wechat, epay", c.Type)
		return nil
	}
}

// openAll reads a channel's accounts. id is what a notice tells an account by: two may not share it.
func openAll[C any, A interface{ common() *Account }](
	p *parser, list []jsontext.Value, open func(*C, *parser) (account A, id string),
) accounts[A] {
	channel := p.path
	defer func() { p.path = channel }()
	read := json.WithUnmarshalers(json.UnmarshalFromFunc(readCredential(p.deps.Getenv)))
	var all accounts[A]
	var names, ids []string
	for i, text := range list {
		p.path = fmt.Sprintf("%s.accounts[%d]", channel, i)
		var cfg C
		if err := json.Unmarshal(text, &cfg, json.RejectUnknownMembers(true), read); err != nil {
			p.problems = append(p.problems, fmt.Sprintf("%s: %v", p.path, withoutText(err)))
			continue
		}
		account, id := open(&cfg, p)
		p.common(account.common(), names)
		if id != "" && slices.Contains(ids, id) {
			p.sayf("name", "an earlier account has the same ids at the gateway")
		}
		names, ids = append(names, account.common().Name), append(ids, id)
		all = append(all, account)
	}
	return all
}

const maxAccountName = 100

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

func (p *parser) common(a *Account, earlier []string) {
	if a.Name == "" || len(a.Name) > maxAccountName || !gatewayID.MatchString(a.Name) {
		p.sayf("name", "1 to %d characters without spaces", maxAccountName)
	}
	if slices.Contains(earlier, a.Name) {
		p.sayf("name", "%q is taken", a.Name)
	}
	for _, currency := range a.Currencies {
		if !currencyCode.MatchString(currency) {
			p.sayf("currencies", "%q is no currency such as CNY", currency)
		}
	}
}

// withoutText keeps where a JSON error is and drops what it quotes.
func withoutText(err error) error {
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		where := string(semantic.JSONPointer)
		if semantic.Err != nil {
			return fmt.Errorf("%s: %w", where, semantic.Err)
		}
		return fmt.Errorf("%s: not what belongs there", where)
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("no JSON, or a name stands twice, after byte %d", syntactic.ByteOffset)
	}
	return err
}
