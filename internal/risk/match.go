package risk

import (
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/ordering"
)

// subject is what is known of an order without asking anybody.
type subject struct {
	id       uuid.UUID
	phone    []byte // fingerprints; nil: it has none
	email    []byte
	ip       []byte
	domain   string // of the e-mail address, which its mask shows
	total    money.Money
	quantity int
}

// setOrder adds what is known once the order has its prices.
func (s *subject) setOrder(o *ordering.Order) {
	s.total = money.Money{Amount: o.Total, Currency: o.Currency}
	s.quantity = 0
	for _, item := range o.Items {
		s.quantity += item.Quantity
	}
}

// domainOf gives the domain of a masked contact's e-mail address, or "".
func domainOf(masked json.RawMessage) string {
	var m contact.Masked
	if json.Unmarshal(masked, &m) != nil {
		return ""
	}
	return strings.ToLower(m.Email[strings.LastIndexByte(m.Email, '@')+1:])
}

// rule is a rule made ready: a blocklist's entries are compared as the fingerprints that orders have.
type rule struct {
	Rule

	n       int // its place in the file
	blocked map[string]bool
	domains map[string]bool
}

// ready makes the rules of a valid file ready.
func ready(f File, region string, vault *cardvault.Vault) []rule {
	rules := make([]rule, len(f.Rules))
	for i, r := range f.Rules {
		rules[i] = rule{Rule: r, n: i, blocked: map[string]bool{}, domains: map[string]bool{}}
		block := func(kind cardvault.Kind, plain string) {
			rules[i].blocked[string(vault.Fingerprint(kind, []byte(plain)))] = true
		}
		for _, s := range r.Phones {
			if phone, err := contact.ParsePhone(s, region); err == nil {
				block(cardvault.KindContact, phone.E164())
			}
		}
		for _, s := range r.Emails {
			if email, err := contact.ParseEmail(s); err == nil {
				block(cardvault.KindContact, email.Folded())
			}
		}
		for _, s := range r.IPs {
			if ip, err := contact.ParseIP(s); err == nil {
				block(cardvault.KindClientIP, ip.Network())
			}
		}
		for _, s := range r.EmailDomains {
			rules[i].domains[strings.ToLower(s)] = true
		}
	}
	return rules
}

// matches decides. seen is what the rule's probes have found.
func (r *rule) matches(s *subject, seen history) bool {
	switch r.If {
	case AmountAbove:
		return r.isBelow(s.total)
	case QuantityAbove:
		return s.quantity > r.MoreThan
	case FirstOrderAbove:
		return r.isBelow(s.total) && seen[probeKey{r.n, byPhone}] == 0 && seen[probeKey{r.n, byEmail}] == 0
	case OrdersPerPhone:
		return s.phone != nil && seen[probeKey{r.n, byPhone}]+1 > r.MoreThan
	case OrdersPerEmail:
		return s.email != nil && seen[probeKey{r.n, byEmail}]+1 > r.MoreThan
	case OrdersPerIP:
		return s.ip != nil && seen[probeKey{r.n, byIP}]+1 > r.MoreThan
	case Blocklist:
		return r.blocked[string(s.phone)] || r.blocked[string(s.email)] || r.blocked[string(s.ip)] || r.domains[s.domain]
	default:
		return false
	}
}

func (r *rule) isBelow(total money.Money) bool {
	return total.Currency == r.Amount.Currency && total.Amount > r.Amount.Amount
}
