package contact

import (
	"log/slog"
	"net/netip"

	"github.com/vendbox/vendbox/internal/fault"
)

// IP is a buyer's address on the network. Printed or logged it shows nothing of itself.
type IP struct{ network netip.Prefix }

// networkBits6: the rest of an IPv6 address is its subscriber's own to choose (RFC 6177), who has all 2⁶⁴.
const networkBits6 = 64

// ParseIP reads an address. IPv4 within IPv6 is IPv4. Fault: client_ip_invalid, which does not repeat the input.
func ParseIP(s string) (IP, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return IP{}, fault.New(fault.Invalid, "client_ip_invalid")
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = networkBits6
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return IP{}, fault.New(fault.Invalid, "client_ip_invalid")
	}
	return IP{network}, nil
}

// Network is what one subscriber has: the IPv4 address itself, of IPv6 the first 64 bits.
func (ip IP) Network() string { return ip.network.String() }

// String hides it.
func (IP) String() string { return "***" }

// LogValue hides it.
func (IP) LogValue() slog.Value { return slog.StringValue("***") }
