package contact

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/vendbox/vendbox/internal/fault"
)

// Lengths of RFC 5321 §4.5.3.1 in octets; a path's 256 include its angle brackets.
const (
	maxEmail     = 254
	maxLocalPart = 64
)

// Email is an address as RFC 5321 delivers to. The zero value is no address. Printed or logged it shows its mask;
// Address gives the address itself.
type Email struct{ address string }

// ParseEmail reads an address. The domain becomes lower case; the local part is left as it is, because only its host
// may say that case does not matter there (RFC 5321 §2.4).
//
// It returns the fault "email_invalid" for display names, quoted local parts, address literals and domains without a
// dot. The fault does not repeat the input.
func ParseEmail(s string) (Email, error) {
	s = strings.TrimSpace(s)
	parsed, err := mail.ParseAddress(s)
	if err != nil || parsed.Address != s || len(s) > maxEmail || strings.ContainsAny(s, "\"<>[]() \t\r\n") {
		return Email{}, errEmail()
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := s[:at], strings.ToLower(s[at+1:])
	if len(local) > maxLocalPart || !isHostname(domain) {
		return Email{}, errEmail()
	}
	return Email{address: local + "@" + domain}, nil
}

// isHostname checks the labels of a domain of at least two (RFC 1123 §2.1). Letters beyond ASCII are left to whoever
// sends the mail.
func isHostname(domain string) bool {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, isForbiddenInLabel) {
			return false
		}
	}
	return true
}

func isForbiddenInLabel(r rune) bool {
	return r < utf8.RuneSelf && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
}

func errEmail() error { return fault.New(fault.Invalid, "email_invalid") }

// Address gives the address itself, or "" for none.
func (e Email) Address() string { return e.address }

// Folded is the address in lower case: to find and to count by. Hosts that tell a@b and A@b apart are as good as unknown, and
// people, above all those on a blocklist, write theirs either way.
func (e Email) Folded() string { return strings.ToLower(e.address) }

// IsZero reports whether there is no address.
func (e Email) IsZero() bool { return e.address == "" }

// Mask keeps the first character and the domain: "a***@example.com". A local part of one character is hidden whole.
func (e Email) Mask() string {
	if e.IsZero() {
		return ""
	}
	at := strings.LastIndexByte(e.address, '@')
	first, size := utf8.DecodeRuneInString(e.address)
	if size == at {
		return "***" + e.address[at:]
	}
	return string(first) + "***" + e.address[at:]
}

// String gives the mask, so that an address does not slip into a log.
func (e Email) String() string { return e.Mask() }

// GoString gives the mask.
func (e Email) GoString() string { return e.Mask() }

// LogValue gives the mask.
func (e Email) LogValue() slog.Value { return slog.StringValue(e.Mask()) }

// MarshalJSON gives the address itself: JSON is what gets sealed.
func (e Email) MarshalJSON() ([]byte, error) { return json.Marshal(e.address) }

// UnmarshalJSON takes what MarshalJSON gave. Its errors do not repeat the input.
func (e *Email) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return errors.New("contact: the e-mail address is no JSON string")
	}
	if s == "" {
		*e = Email{}
		return nil
	}
	parsed, err := ParseEmail(s)
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}
