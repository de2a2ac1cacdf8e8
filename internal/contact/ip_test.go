package contact_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/fault"
)

func TestParseIP(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.7": "203.0.113.7/32", "::ffff:203.0.113.7": "203.0.113.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:DB8:1:2::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		ip, err := contact.ParseIP(text)
		require.NoError(t, err, text)
		require.Equal(t, want, ip.Network())
		require.Equal(t, "***", fmt.Sprint(ip))
	}
	for _, text := range []string{"", "203.0.113", "203.0.113.07", "203.0.113.7/32", "host", " ::1"} {
		_, err := contact.ParseIP(text)
		require.True(t, fault.HasCode(err, "client_ip_invalid"), text)
	}
}
