package risk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/money"
)

// Condition is what a rule looks at.
type Condition string

// The conditions, each with the members of a rule that it needs.
const (
	AmountAbove     Condition = "amount_above"      // amount: the order's total is more
	QuantityAbove   Condition = "quantity_above"    // more_than: units in the order
	OrdersPerPhone  Condition = "orders_per_phone"  // more_than, window: orders of its telephone number, this one included
	OrdersPerEmail  Condition = "orders_per_email"  // more_than, window
	OrdersPerIP     Condition = "orders_per_ip"     // more_than, window
	FirstOrderAbove Condition = "first_order_above" // amount: it is more, and nobody with this contact has had an order completed
	Blocklist       Condition = "blocklist"         // phones, emails, email_domains, ips: it is of one of them
)

// Action is what a rule that matches does.
type Action string

// The actions.
const (
	// Hold stops a paid order before anything is delivered, until a person decides.
	Hold Action = "hold"
	// Refuse keeps the order from being placed. What only matches when it is paid is held.
	Refuse Action = "refuse"
)

// File is the rules file.
type File struct {
	Rules  []Rule        `json:"rules"`
	Scorer *ScorerConfig `json:"scorer"`
}

// Rule is one rule.
type Rule struct {
	Name   string    `json:"name"`
	If     Condition `json:"if"`
	Action Action    `json:"action"` // default hold

	Amount   *money.Money `json:"amount"`
	MoreThan int          `json:"more_than"`
	Window   Duration     `json:"window"`

	Phones       []string `json:"phones"`
	Emails       []string `json:"emails"`
	EmailDomains []string `json:"email_domains"`
	IPs          []string `json:"ips"`
}

// Duration is a time.Duration that JSON writes as "24h".
type Duration time.Duration

// notADuration is out of every range, so that it is found among the other problems of its rule.
const notADuration = Duration(-1)

// UnmarshalJSON reads "24h".
func (d *Duration) UnmarshalJSON(data []byte) error {
	*d = notADuration
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return nil //nolint:nilerr // see notADuration
	}
	if parsed, err := time.ParseDuration(s); err == nil {
		*d = Duration(parsed)
	}
	return nil
}

const (
	maxRules  = 100
	maxOrders = 1000 // that a rule counts, and so reads of one buyer
	maxWindow = Duration(90 * 24 * time.Hour)
	minWindow = Duration(time.Second)
)

// Parse reads a rules file; region is the country of telephone numbers without a country code, getenv is os.LookupEnv
// outside tests. The error lists every problem, one a line.
func Parse(text []byte, region string, getenv func(string) (string, bool)) (File, error) {
	var f File
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return f, fmt.Errorf("risk rules: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return f, errors.New("risk rules: something follows the JSON object")
	}
	problems := f.problems(region)
	if f.Scorer != nil {
		problems = append(problems, f.Scorer.prepare(getenv)...)
	}
	if len(problems) > 0 {
		return f, errors.New("the risk rules are not usable:\n  - " + strings.Join(problems, "\n  - "))
	}
	return f, nil
}

// ruleName has no comma: a list of names is one string in SQL.
var ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (f *File) problems(region string) []string {
	var all []string
	if len(f.Rules) > maxRules {
		all = append(all, fmt.Sprintf("rules: %d of them, and at most %d", len(f.Rules), maxRules))
	}
	seen := map[string]bool{}
	for i := range f.Rules {
		r := &f.Rules[i]
		if r.Action == "" {
			r.Action = Hold
		}
		where := fmt.Sprintf("rules[%d]", i)
		if r.Name != "" {
			where += " (" + r.Name + ")"
		}
		for _, problem := range r.problems(region) {
			all = append(all, where+": "+problem)
		}
		if seen[r.Name] {
			all = append(all, where+": an earlier rule has this name")
		}
		seen[r.Name] = true
	}
	return all
}

// members says which members of a rule each condition has; for a blocklist at least one of them is needed.
var members = map[Condition][]string{
	AmountAbove: {"amount"}, QuantityAbove: {"more_than"}, FirstOrderAbove: {"amount"},
	OrdersPerPhone: {"more_than", "window"}, OrdersPerEmail: {"more_than", "window"}, OrdersPerIP: {"more_than", "window"},
	Blocklist: {"phones", "emails", "email_domains", "ips"},
}

func (r *Rule) problems(region string) []string {
	var list []string
	say := func(when bool, format string, args ...any) {
		if when {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	say(!ruleName.MatchString(r.Name), "name: letters a-z, digits, - and _, at most 64")
	say(r.Action != Hold && r.Action != Refuse, "action: hold or refuse, not %q", r.Action)
	wanted, known := members[r.If]
	if !known {
		return append(list, fmt.Sprintf("if: %q is no condition", r.If))
	}
	for _, member := range []struct {
		name  string
		given bool
	}{
		{"amount", r.Amount != nil},
		{"more_than", r.MoreThan != 0},
		{"window", r.Window != 0},
		{"phones", r.Phones != nil},
		{"emails", r.Emails != nil},
		{"email_domains", r.EmailDomains != nil},
		{"ips", r.IPs != nil},
	} {
		needed := slices.Contains(wanted, member.name)
		say(member.given && !needed, "%s: %s has none", member.name, r.If)
		say(!member.given && needed && r.If != Blocklist, "%s: is missing", member.name)
	}
	return slices.Concat(list, r.rangeProblems(), r.blocklistProblems(region))
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

func (r *Rule) rangeProblems() []string {
	var list []string
	if r.Amount != nil && (r.Amount.Amount < 0 || !currency.MatchString(r.Amount.Currency)) {
		list = append(list, `amount: {"amount": minor units, "currency": "CNY"}`)
	}
	most := maxOrders
	if r.If == QuantityAbove {
		most = math.MaxInt32
	}
	if r.MoreThan < 0 || r.MoreThan > most {
		list = append(list, fmt.Sprintf("more_than: 1 to %d", most))
	}
	if r.Window != 0 && (r.Window < minWindow || r.Window > maxWindow) {
		list = append(list, fmt.Sprintf("window: a string such as \"24h\", from %s to %s", time.Duration(minWindow), time.Duration(maxWindow)))
	}
	return list
}

// blocklistProblems names entries by their place: they are somebody's.
func (r *Rule) blocklistProblems(region string) []string {
	if r.If != Blocklist {
		return nil
	}
	var list []string
	if len(r.Phones)+len(r.Emails)+len(r.EmailDomains)+len(r.IPs) == 0 {
		list = append(list, "nothing in phones, emails, email_domains or ips")
	}
	check := func(member string, entries []string, what string, valid func(string) bool) {
		for i, entry := range entries {
			if !valid(entry) {
				list = append(list, fmt.Sprintf("%s[%d]: is no %s", member, i, what))
			}
		}
	}
	check("phones", r.Phones, "telephone number", func(s string) bool { _, err := contact.ParsePhone(s, region); return err == nil })
	check("emails", r.Emails, "e-mail address", func(s string) bool { _, err := contact.ParseEmail(s); return err == nil })
	check("email_domains", r.EmailDomains, "domain", func(s string) bool { _, err := contact.ParseEmail("x@" + s); return err == nil })
	check("ips", r.IPs, "IP address", func(s string) bool { _, err := contact.ParseIP(s); return err == nil })
	return list
}
