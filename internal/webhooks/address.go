package webhooks

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"

	"github.com/vendbox/vendbox/internal/fault"
)

const maxURLLength = 2048

// wireServer answers Azure's virtual machines with their configuration, from a public address.
var wireServer = netip.MustParsePrefix("168.63.129.16/32")

// Reasons of the fault webhook_url_refused.
const (
	reasonMalformed    = "malformed"
	reasonTooLong      = "too_long"
	reasonScheme       = "scheme"
	reasonUserinfo     = "userinfo"
	reasonFragment     = "fragment"
	reasonPort         = "port"
	reasonHost         = "host"
	reasonHostNumeric  = "host_numeric"
	reasonAddressGiven = "address_not_public"
)

// guard says where deliveries may go: to public addresses (by the IANA special purpose registries), and to what the
// configuration allows besides.
type guard struct {
	allowHTTP    bool
	allowPrivate bool
	ssrf         *ssrf.Guardian
}

func newGuard(cfg Config) *guard {
	var v4, v6 []netip.Prefix
	for _, prefix := range cfg.AllowPrefixes {
		if prefix.Addr().Is4() {
			v4 = append(v4, prefix)
		} else {
			v6 = append(v6, prefix)
		}
	}
	return &guard{allowHTTP: cfg.AllowHTTP, allowPrivate: cfg.AllowPrivate, ssrf: ssrf.New(
		ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...),
		ssrf.WithDeniedV4Prefixes(wireServer),
	)}
}

// control is for net.Dialer.Control: it sees the address that is about to be dialled, whatever it was called.
func (g *guard) control(network, address string, conn syscall.RawConn) error {
	if g.allowPrivate {
		return nil
	}
	return g.ssrf.Safe(network, address, conn)
}

// checkURL refuses what an endpoint's URL cannot be. Names are not resolved: what they resolve to is checked at every
// delivery. Error: webhook_url_refused with a reason.
func (g *guard) checkURL(raw string) error {
	if reason := g.refusal(raw); reason != "" {
		return fault.New(fault.Invalid, "webhook_url_refused", "reason", reason)
	}
	return nil
}

func (g *guard) refusal(raw string) string {
	if utf8.RuneCountInString(raw) > maxURLLength {
		return reasonTooLong
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, neverInURL) {
		return reasonMalformed
	}
	if strings.Contains(raw, "#") {
		return reasonFragment
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "":
		return reasonMalformed
	case u.Scheme != "https" && (u.Scheme != "http" || !g.allowHTTP):
		return reasonScheme
	case u.User != nil:
		return reasonUserinfo
	}
	if _, port, found := strings.Cut(u.Host[strings.LastIndexByte(u.Host, ']')+1:], ":"); found {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return reasonPort
		}
	}
	return g.hostRefusal(u.Hostname())
}

func neverInURL(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '\\' }

// hostLabels is a DNS name in ASCII. Underscores are no host names' but resolve.
var hostLabels = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$`)

func (g *guard) hostRefusal(host string) string {
	if strings.Contains(host, ":") {
		return g.addressRefusal(host)
	}
	// What a resolver will see: digits and dots of other scripts become ASCII.
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil { // an underscore, among others
		ascii = strings.ToLower(host)
	}
	if len(ascii) > 253 || !hostLabels.MatchString(ascii) {
		return reasonHost
	}
	name := strings.TrimSuffix(ascii, ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return g.addressRefusal(name)
	}
	if endsInNumber(name) {
		return reasonHostNumeric
	}
	if !g.allowPrivate && (name == "localhost" || strings.HasSuffix(name, ".localhost")) {
		return reasonAddressGiven
	}
	return ""
}

// endsInNumber finds the spellings of IPv4 addresses that some resolvers understand: 2130706433, 0x7f.1, 0177.0.0.1.
// No top-level domain is a number (https://url.spec.whatwg.org/#ends-in-a-number-checker).
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if _, err := strconv.ParseUint(last, 10, 64); err == nil || len(last) > 0 && strings.Trim(last, "0123456789") == "" {
		return true
	}
	return strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == ""
}

func (g *guard) addressRefusal(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return reasonHost
	}
	if g.allowPrivate {
		return ""
	}
	// Dialled as IPv4 where it is mapped, so checked as that.
	if g.ssrf.SafeAddr(addr.Unmap()) != nil {
		return reasonAddressGiven
	}
	return ""
}

// hostOf is for logs and spans: an endpoint's path and query may hold a token.
func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	if port := u.Port(); port != "" {
		return net.JoinHostPort(u.Hostname(), port)
	}
	return u.Hostname()
}
