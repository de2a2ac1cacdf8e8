package contact

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/vendbox/vendbox/internal/fault"
)

// maxPhoneInput bounds what is parsed: an E.164 number has 15 digits, and people write separators between them.
const maxPhoneInput = 40

// Phone is a telephone number in E.164 form (ITU-T E.164: "+", country code, subscriber; at most 15 digits). The zero
// value is no number. Printed or logged it shows its mask; E164 gives the number itself.
type Phone struct{ e164 string }

// ParsePhone reads a number as people write it. One without a country code is taken to be of defaultRegion (ISO 3166-1
// alpha-2, such as "CN"); where that is empty the country code is required.
//
// It returns the fault "phone_invalid" for what is no number that its country's plan knows. The fault does not repeat
// the input.
func ParsePhone(s, defaultRegion string) (Phone, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxPhoneInput || strings.ContainsFunc(s, isLetter) {
		return Phone{}, errPhone()
	}
	if p, ok := parseE164(s); ok {
		return p, nil
	}
	number, err := phonenumbers.Parse(s, strings.ToUpper(defaultRegion))
	if err != nil || number.GetExtension() != "" || !phonenumbers.IsValidNumber(number) {
		return Phone{}, errPhone()
	}
	return Phone{e164: phonenumbers.Format(number, phonenumbers.E164)}, nil
}

// The library reads letters as the digits of a telephone's keys and as the start of an extension. A person who is to be
// sent a message has neither.
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }

func errPhone() error { return fault.New(fault.Invalid, "phone_invalid") }

// E164 gives the number itself, "+8613800138000", or "" for none. It belongs into a sealed column or a gateway's
// request and nowhere else.
func (p Phone) E164() string { return p.e164 }

// Digits gives the number without its plus sign, as many gateways want it.
func (p Phone) Digits() string { return strings.TrimPrefix(p.e164, "+") }

// IsZero reports whether there is no number.
func (p Phone) IsZero() bool { return p.e164 == "" }

// Mask keeps the country code and the last four digits: "+86*******8000".
func (p Phone) Mask() string {
	if p.IsZero() {
		return ""
	}
	code, national := p.split()
	shown := min(4, len(national)/2)
	hidden := len(national) - shown
	return code + strings.Repeat("*", hidden) + national[hidden:]
}

// split separates "+86" from the rest. No calling code begins with another one (ITU-T E.164 §6.2.1).
func (p Phone) split() (code, national string) {
	for end := 2; end <= min(4, len(p.e164)); end++ {
		if n, err := strconv.Atoi(p.e164[1:end]); err == nil && callingCodes[n] {
			return p.e164[:end], p.e164[end:]
		}
	}
	return "+", p.Digits()
}

var callingCodes = phonenumbers.GetSupportedCallingCodes()

// parseE164 reads a number that is written in full already, as programs send them. It saves the library's reading of
// free text, which costs more than everything else that an order does in memory.
func parseE164(s string) (Phone, bool) {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' || strings.Trim(s[1:], "0123456789") != "" {
		return Phone{}, false
	}
	code, national := Phone{e164: s}.split()
	if len(code) < 2 || national == "" || national[0] == '0' { // a leading zero may belong to the number or not
		return Phone{}, false
	}
	country, _ := strconv.ParseInt(code[1:], 10, 32)
	if isMobile(int(country), national) {
		return Phone{e164: s}, true
	}
	digits, err := strconv.ParseUint(national, 10, 64)
	if err != nil {
		return Phone{}, false
	}
	number := &phonenumbers.PhoneNumber{CountryCode: new(int32(country)), NationalNumber: &digits}
	return Phone{e164: s}, phonenumbers.IsValidNumber(number)
}

// String gives the mask, so that a number does not slip into a log.
func (p Phone) String() string { return p.Mask() }

// GoString gives the mask.
func (p Phone) GoString() string { return p.Mask() }

// LogValue gives the mask.
func (p Phone) LogValue() slog.Value { return slog.StringValue(p.Mask()) }

// MarshalJSON gives the number itself: JSON is what gets sealed.
func (p Phone) MarshalJSON() ([]byte, error) { return json.Marshal(p.e164) }

// UnmarshalJSON takes E.164 only. Its errors do not repeat the input.
func (p *Phone) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return errors.New("contact: the phone number is no JSON string")
	}
	if s == "" {
		*p = Phone{}
		return nil
	}
	if len(s) < 4 || len(s) > 16 || s[0] != '+' || strings.Trim(s[1:], "0123456789") != "" {
		return errPhone()
	}
	// It was checked against its country's plan when it came in; plans change, and a stored number must stay readable.
	p.e164 = s
	return nil
}
