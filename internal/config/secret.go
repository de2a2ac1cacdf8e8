package config

import (
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// Secret is a value that is not printed: not by fmt with any verb, not in a log, not as JSON. It is kept in a closure,
// so that even reflection on a struct that holds it finds no text.
type Secret struct{ reveal func() string }

// NewSecret makes one of its value.
func NewSecret(value string) Secret { return Secret{reveal: func() string { return value }} }

// Reveal gives the value, empty when there is none.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsSet says whether there is a value.
func (s Secret) IsSet() bool { return s.Reveal() != "" }

// UnmarshalText is how kong sets it.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// String says whether there is one.
func (s Secret) String() string {
	if s.IsSet() {
		return redacted
	}
	return ""
}

// Format keeps every verb from the value.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, s.String()) }

// LogValue keeps the log from the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON from the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// DatabaseURL is a connection string, of which everything but passwords is printed.
type DatabaseURL struct{ Secret }

// String gives it without passwords.
func (u DatabaseURL) String() string {
	raw := u.Reveal()
	if raw == "" {
		return ""
	}
	if parsed, err := url.Parse(raw); err == nil && schemes.MatchString(raw) && !strings.ContainsAny(parsed.Path+parsed.Fragment, "@:=") {
		query, err := url.ParseQuery(parsed.RawQuery)
		if err != nil {
			return redacted
		}
		for name := range query {
			if passwordName.MatchString(name) {
				query.Set(name, "xxxxx")
			}
		}
		parsed.RawQuery = query.Encode()
		return parsed.Redacted()
	}
	if pairs.MatchString(raw) {
		return passwordPair.ReplaceAllString(raw, "${1}xxxxx")
	}
	return redacted // what it is cannot be told, so neither where its password is
}

var (
	schemes      = regexp.MustCompile(`^postgres(ql)?://`)
	passwordName = regexp.MustCompile(`(?i)pass`)
	pairs        = regexp.MustCompile(`^\s*(\w+\s*=\s*('(\\.|[^'\\])*'|(\\.|[^\s'\\])*)\s*)+$`)
	passwordPair = regexp.MustCompile(`(?i)(\w*pass\w*\s*=\s*)('(?:\\.|[^'\\])*'|(?:\\.|[^\s'\\])*)`)
)

// Format prints String with every verb.
func (u DatabaseURL) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, u.String()) }

// LogValue is String.
func (u DatabaseURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText is String.
func (u DatabaseURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
