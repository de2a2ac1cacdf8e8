package risk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/risk"
)

func TestParse(t *testing.T) {
	t.Parallel()
	f, err := risk.Parse([]byte(`{"rules": [
		{"name": "large", "if": "amount_above", "amount": {"amount": 50000, "currency": "CNY"}},
		{"name": "many", "if": "orders_per_ip", "more_than": 5, "window": "24h", "action": "refuse"},
		{"name": "blocked", "if": "blocklist", "phones": ["13800138000"], "ips": ["2001:db8::1"], "action": "refuse"}],
		"scorer": {"url": "https://risk.example.com/v1/score", "token": "${RISK_TOKEN}", "on_failure": "pass"}}`), region,
		func(name string) (string, bool) { return "t-" + name, true })
	require.NoError(t, err)
	require.Equal(t, risk.Hold, f.Rules[0].Action)
	require.Equal(t, risk.Duration(24*time.Hour), f.Rules[1].Window)
	require.Equal(t, "t-RISK_TOKEN", f.Scorer.Token)
	require.Equal(t, risk.Duration(800*time.Millisecond), f.Scorer.Timeout)
}

// Everything that is wrong is said at once, and nothing of what somebody's list holds.
func TestParseListsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := risk.Parse([]byte(`{"rules": [
		{"name": "Large, order", "if": "amount_above", "action": "block"},
		{"name": "a", "if": "amount_above", "amount": {"amount": 1, "currency": "yuan"}, "window": "1h"},
		{"name": "a", "if": "orders_per_phone", "more_than": 100000},
		{"name": "b", "if": "weather"},
		{"name": "c", "if": "blocklist"},
		{"name": "d", "if": "blocklist", "phones": ["13800138000", "123"], "emails": ["me@localhost"],
		 "email_domains": ["example.com", "x y"], "ips": ["1.2.3"]},
		{"name": "e", "if": "orders_per_ip", "more_than": 1, "window": "100000h"},
		{"name": "f", "if": "orders_per_ip", "more_than": 1, "window": "1y"}],
		"scorer": {"url": "ftp://x", "token": "${NO_SUCH}", "timeout": "1m"}}`), region, func(string) (string, bool) { return "", false })
	require.Error(t, err)
	want := []string{
		"rules[0] (Large, order): name: letters a-z, digits, - and _, at most 64",
		`rules[0] (Large, order): action: hold or refuse, not "block"`,
		"rules[0] (Large, order): amount: is missing",
		"rules[1] (a): window: amount_above has none",
		`rules[1] (a): amount: {"amount": minor units, "currency": "CNY"}`,
		"rules[2] (a): window: is missing",
		"rules[2] (a): more_than: 1 to 1000",
		"rules[2] (a): an earlier rule has this name",
		`rules[3] (b): if: "weather" is no condition`,
		"rules[4] (c): nothing in phones, emails, email_domains or ips",
		"rules[5] (d): phones[1]: is no telephone number",
		"rules[5] (d): emails[0]: is no e-mail address",
		"rules[5] (d): email_domains[1]: is no domain",
		"rules[5] (d): ips[0]: is no IP address",
		`rules[6] (e): window: a string such as "24h", from 1s to 2160h0m0s`,
		`rules[7] (f): window: a string such as "24h", from 1s to 2160h0m0s`,
		"scorer.url: http(s)://host/path",
		"scorer.token: the environment has no NO_SUCH",
		`scorer.timeout: a string such as "800ms", from 10ms to 10s`,
		"scorer.on_failure: hold or pass, what becomes of an order when the scorer does not answer",
	}
	require.Equal(t, "the risk rules are not usable:\n  - "+strings.Join(want, "\n  - "), err.Error())
}

func TestParseIsStrict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"rules": [{"name": "a", "when": "x"}]}`: "unknown field",
		`{"rules": []} {}`:                        "something follows",
		`{"rules": [{"name": "a", "if": "orders_per_ip", "more_than": 1, "window": 5}]}`: `window: a string such as "24h"`,
		``: "EOF",
	} {
		_, err := risk.Parse([]byte(text), region, nil)
		require.ErrorContains(t, err, want, text)
	}
}
