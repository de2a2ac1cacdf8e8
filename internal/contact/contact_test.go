package contact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/fault"
)

func TestParsePhone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, region, e164, mask string }{
		{"+8613800138000", "", "+8613800138000", "+86*******8000"},
		{"138 0013 8000", "CN", "+8613800138000", "+86*******8000"},
		{" 138-0013-8000 ", "cn", "+8613800138000", "+86*******8000"},
		{"+86 (138) 0013.8000", "US", "+8613800138000", "+86*******8000"},
		{"008613800138000", "CN", "+8613800138000", "+86*******8000"},
		{"１３８００１３８０００", "CN", "+8613800138000", "+86*******8000"},
		{"(650) 253-0000", "US", "+16502530000", "+1******0000"},
		{"07912 345678", "GB", "+447912345678", "+44******5678"},
		{"+85251234567", "CN", "+85251234567", "+852****4567"},
		{"+49 30 901820", "", "+4930901820", "+49****1820"},
	} {
		p, err := contact.ParsePhone(c.in, c.region)
		require.NoError(t, err, c.in)
		require.Equal(t, c.e164, p.E164())
		require.Equal(t, strings.TrimPrefix(c.e164, "+"), p.Digits())
		require.Equal(t, c.mask, p.Mask())
	}
}

func TestParsePhoneRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, region string }{
		{"empty", "", "CN"},
		{"no country", "13800138000", ""},
		{"unknown country", "13800138000", "XX"},
		{"too short", "+86138001", ""},
		{"too long", "+86138001380001", ""},
		{"not in the plan", "+8612345678901", ""},
		{"no such country code", "+9991234567890", ""},
		{"letters", "+1800FLOWERS", ""},
		{"extension", "+16502530000 ext. 5", ""},
		{"extension by #", "+16502530000#5", ""},
		{"text", "call me", "CN"},
		{"long input", strings.Repeat("1", 1000), "CN"},
		{"injection", "13800138000&to=13900139000", "CN"},
		{"line break", "13800138000\r\nX-Evil: 1", "CN"},
	} {
		_, err := contact.ParsePhone(c.in, c.region)
		require.True(t, fault.HasCode(err, "phone_invalid"), "%s: %v", c.name, err)
		require.Equal(t, "phone_invalid", err.Error(), "the input is not repeated")
	}
}

func TestParseEmail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, address, mask string }{
		{"anna@example.com", "anna@example.com", "a***@example.com"},
		{" Anna.B+shop@Example.COM ", "Anna.B+shop@example.com", "A***@example.com"},
		{"a@example.com", "a@example.com", "***@example.com"},
		{"李明@example.cn", "李明@example.cn", "李***@example.cn"},
		{"李@例子.中国", "李@例子.中国", "***@例子.中国"},
	} {
		e, err := contact.ParseEmail(c.in)
		require.NoError(t, err, c.in)
		require.Equal(t, c.address, e.Address())
		require.Equal(t, c.mask, e.Mask())
	}
	for _, in := range []string{
		"", "anna", "@example.com", "anna@", "anna@localhost", "anna@@example.com", "Anna <anna@example.com>",
		"anna@[127.0.0.1]", `"an na"@example.com`, "anna@exa_mple.com", "anna@-example.com", "anna@example..com",
		"anna@example.com\r\nBcc: x@example.com", "a@b.com, c@d.com", strings.Repeat("a", 65) + "@example.com",
		"a@" + strings.Repeat("b", 64) + ".com", "a@" + strings.Repeat("b.", 130) + "com",
	} {
		_, err := contact.ParseEmail(in)
		require.True(t, fault.HasCode(err, "email_invalid"), in)
		require.Equal(t, "email_invalid", err.Error(), "the input is not repeated")
	}
}

func TestContact(t *testing.T) {
	t.Parallel()
	c, err := contact.Parse("13800138000", "anna@example.com", "CN")
	require.NoError(t, err)

	sealed, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, `{"phone":"+8613800138000","email":"anna@example.com"}`, string(sealed))
	again, err := contact.FromJSON(sealed)
	require.NoError(t, err)
	require.Equal(t, c, again)

	masked, err := json.Marshal(c.Masked())
	require.NoError(t, err)
	require.JSONEq(t, `{"phone":"+86*******8000","email":"a***@example.com"}`, string(masked))

	phoneOnly, err := contact.Parse("+8613800138000", "", "")
	require.NoError(t, err)
	sealed, err = json.Marshal(phoneOnly)
	require.NoError(t, err)
	require.JSONEq(t, `{"phone":"+8613800138000"}`, string(sealed))

	none, err := contact.Parse("", "", "CN")
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.Equal(t, contact.Masked{}, none.Masked())

	_, err = contact.Parse("1", "anna@example.com", "CN")
	require.True(t, fault.HasCode(err, "phone_invalid"))
	_, err = contact.Parse("13800138000", "anna", "CN")
	require.True(t, fault.HasCode(err, "email_invalid"))
}

func TestPrintingMasks(t *testing.T) {
	t.Parallel()
	c, err := contact.Parse("13800138000", "anna@example.com", "CN")
	require.NoError(t, err)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.InfoContext(t.Context(), "x", "contact", c, "phone", c.Phone, "email", c.Email)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{c, &c, c.Phone, c.Email, []contact.Contact{c}, struct{ C contact.Contact }{c}} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
	}
	require.NotContains(t, log.String(), "13800138000")
	require.NotContains(t, log.String(), "anna")
	require.Contains(t, log.String(), "+86*******8000")
}

func TestUnreadableJSONIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"phone":13800138000}`, `{"phone":"13800138000"}`, `{"phone":"+86138001380001111"}`, `{"phone":"+861380013800a"}`,
		`{"email":"anna"}`, `{"email":7}`, `13800138000`, ``,
	} {
		_, err := contact.FromJSON([]byte(data))
		require.Error(t, err, data)
		require.NotContains(t, err.Error(), "138001")
		require.NotContains(t, err.Error(), "anna")
	}
}

func FuzzParsePhone(f *testing.F) {
	f.Add("+8613800138000", "")
	f.Add("(650) 253-0000", "US")
	f.Add("+16502530000;ext=5", "CN")
	f.Fuzz(func(t *testing.T, s, region string) {
		p, err := contact.ParsePhone(s, region)
		if err != nil {
			require.Equal(t, "phone_invalid", err.Error())
			return
		}
		require.Regexp(t, `^\+[1-9][0-9]{3,14}$`, p.E164())
		require.NotContains(t, p.Mask(), p.E164())
		require.Contains(t, p.Mask(), "**")
		again, err := contact.ParsePhone(p.E164(), "")
		require.NoError(t, err, "what came out goes in")
		require.Equal(t, p, again)
	})
}

func FuzzParseEmail(f *testing.F) {
	f.Add("anna@example.com")
	f.Add(`"a b"@[::1]`)
	f.Fuzz(func(t *testing.T, s string) {
		e, err := contact.ParseEmail(s)
		if err != nil {
			require.Equal(t, "email_invalid", err.Error())
			return
		}
		require.NotContains(t, e.Address(), " ")
		require.NotContains(t, e.Address(), "\n")
		again, err := contact.ParseEmail(e.Address())
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}

// What the short way accepts, the library accepts and writes the same.
func FuzzShortWayAgreesWithTheLibrary(f *testing.F) {
	for _, seed := range []string{
		"+8613800138000", "+14155552671", "+442083661177", "+390236618300", "+861380013800", "+999123456789", "+85291234567",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		short, ok := contact.ParseE164(s)
		if !ok {
			return
		}
		number, err := phonenumbers.Parse(s, "")
		require.NoError(t, err)
		require.True(t, phonenumbers.IsValidNumber(number))
		require.Equal(t, phonenumbers.Format(number, phonenumbers.E164), short.E164())
	})
}
