package gateways

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/payments"
)

// Account is what the accounts of all gateways have in common.
type Account struct {
	Name       string   `json:"name"`       // as the attempts keep it
	Retired    bool     `json:"retired"`    // verifies and can be asked, but takes no new attempts
	Currencies []string `json:"currencies"` // that new attempts may have
}

func (a *Account) common() *Account { return a }

// accounts are those of one channel. For a new attempt the first that will do is taken.
type accounts[A interface{ common() *Account }] []A

func (list accounts[A]) choose(channel string, attempt payments.Attempt) (string, error) {
	for _, a := range list {
		if c := a.common(); !c.Retired && slices.Contains(c.Currencies, attempt.Amount.Currency) {
			return c.Name, nil
		}
	}
	return "", fault.New(fault.Conflict, "payment_currency_unsupported", "channel", channel, "currency", attempt.Amount.Currency)
}

func (list accounts[A]) named(channel, name string) (A, error) {
	for _, a := range list {
		if a.common().Name == name {
			return a, nil
		}
	}
	var none A
	return none, fmt.Errorf("payments: %s has no account %q any more: put it back into the file, as retired", channel, name)
}

// shop is what a channel says of the shop that it takes money for.
type shop struct {
	name      string // of the channel
	notifyURL string
	returnURL string // with placeholders; empty: none
	subject   string // with placeholders
}

func fill(template string, attempt payments.Attempt) string {
	return strings.NewReplacer("{order_number}", attempt.OrderNumber, "{order_id}", attempt.OrderID.String(),
		"{payment_id}", attempt.ID.String()).Replace(template)
}

func (s shop) subjectOf(attempt payments.Attempt) string   { return fill(s.subject, attempt) }
func (s shop) returnURLOf(attempt payments.Attempt) string { return fill(s.returnURL, attempt) }

// unavailable is the fault of a gateway that cannot be reached, or does not answer as it should.
func (s shop) unavailable(cause error) error {
	return fault.Wrap(cause, fault.Unavailable, "payment_gateway_unavailable", "channel", s.name)
}

func unsigned() error { return fault.New(fault.Unauthenticated, "callback_unsigned") }
func forged() error   { return fault.New(fault.Unauthenticated, "callback_signature_invalid") }
func stale() error    { return fault.New(fault.Unauthenticated, "callback_stale") }

func malformed(field string) error {
	return fault.New(fault.Malformed, "callback_malformed", "field", field)
}

// foreign is a notice that is genuine and meant for somebody else's account.
func foreign() error { return fault.New(fault.Unauthenticated, "callback_foreign") }

// gatewayID is what a gateway's own ids look like: they become keys of the inbox.
var gatewayID = regexp.MustCompile(`^[!-~]{1,200}$`)

var gatewayWord = regexp.MustCompile(`^[A-Za-z0-9_.]{1,64}$`)

// ownType names a notice that has no effect. The gateway's name before it keeps it apart from payments.TypeSucceeded.
func ownType(gateway, word string) string {
	if !gatewayWord.MatchString(word) {
		word = "unknown"
	}
	return gateway + "." + strings.ToLower(word)
}
