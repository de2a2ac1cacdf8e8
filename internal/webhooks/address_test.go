package webhooks

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
)

func TestURLsAtCreation(t *testing.T) {
	t.Parallel()

	for raw, reason := range map[string]string{
		"https://example.com":                        "",
		"https://example.com:8443/hooks?token=a%20b": "",
		"https://EXAMPLE.com./":                      "",
		"https://例え.jp/hook":                         "",
		"https://my_shop.example.com/":               "",
		"https://93.184.216.34/":                     "",
		"https://[2606:2800:220:1::1]:443/":          "",
		"https://1.example.com/":                     "",

		"":                                                 "scheme",
		"example.com":                                      "scheme",
		"//example.com":                                    "scheme",
		"http://example.com":                               "scheme",
		"ftp://example.com":                                "scheme",
		"file:///etc/passwd":                               "scheme",
		"gopher://example.com":                             "scheme",
		"https:example.com":                                "malformed",
		"https://exa mple.com/":                            "malformed",
		"https://example.com/\n":                           "malformed",
		"https://example.com\\@evil.com":                   "malformed",
		"https://example.com/%zz":                          "malformed",
		"https://exam\xffple.com":                          "malformed",
		"https://user@example.com/":                        "userinfo",
		"https://user:pass@example.com/":                   "userinfo",
		"https://@example.com/":                            "userinfo",
		"https://example.com/#top":                         "fragment",
		"https://example.com/#":                            "fragment",
		"https://example.com:0/":                           "port",
		"https://example.com:/":                            "port",
		"https://example.com:65536/":                       "port",
		"https://[::1/":                                    "malformed",
		"https:///path":                                    "host",
		"https://.../":                                     "host",
		"https://-example.com/":                            "host",
		"https://[fe80::1%25eth0]/":                        "host",
		"https://" + strings.Repeat("a.", 127) + "com/":    "host",
		"https://example.com/" + strings.Repeat("a", 2048): "too_long",

		"https://2130706433/":      "host_numeric",
		"https://0x7f000001/":      "host_numeric",
		"https://0x7f.1/":          "host_numeric",
		"https://0177.0.0.1/":      "host_numeric",
		"https://127.1/":           "host_numeric",
		"https://017700000001/":    "host_numeric",
		"https://1.2.3.4.5/":       "host_numeric",
		"https://256.256.256.256/": "host_numeric",

		"https://localhost/":                        "address_not_public",
		"https://LOCALHOST./":                       "address_not_public",
		"https://x.localhost/":                      "address_not_public",
		"https://127.0.0.1/":                        "address_not_public",
		"https://127.0.0.1./":                       "address_not_public",
		"https://１２７.０.０.１/":                        "address_not_public",
		"https://127。0。0。1/":                        "address_not_public",
		"https://0.0.0.0/":                          "address_not_public",
		"https://10.1.2.3/":                         "address_not_public",
		"https://172.31.255.255/":                   "address_not_public",
		"https://192.168.0.1/":                      "address_not_public",
		"https://169.254.169.254/latest/meta-data/": "address_not_public",
		"https://100.100.100.200/":                  "address_not_public",
		"https://168.63.129.16/":                    "address_not_public",
		"https://255.255.255.255/":                  "address_not_public",
		"https://224.0.0.1/":                        "address_not_public",
		"https://[::]/":                             "address_not_public",
		"https://[::1]/":                            "address_not_public",
		"https://[::ffff:127.0.0.1]/":               "address_not_public",
		"https://[::ffff:a9fe:a9fe]/":               "address_not_public",
		"https://[64:ff9b::7f00:1]/":                "address_not_public",
		"https://[fe80::1]/":                        "address_not_public",
		"https://[fd00:ec2::254]/":                  "address_not_public",
		"https://[2002:7f00:1::]/":                  "address_not_public",
		"https://[2001:db8::1]/":                    "address_not_public",
	} {
		require.Equal(t, reason, newGuard(Config{}).refusal(raw), "%q", raw)
	}

	require.NoError(t, newGuard(local()).checkURL("http://127.0.0.1:8080/"))
	require.NoError(t, newGuard(local()).checkURL("http://localhost/"))
	err := newGuard(Config{}).checkURL("https://10.0.0.1")
	require.True(t, fault.HasCode(err, "webhook_url_refused"))
	f, _ := fault.As(err)
	require.Equal(t, "address_not_public", f.Params["reason"])

	allowed := newGuard(Config{AllowPrefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}})
	require.NoError(t, allowed.checkURL("https://10.1.2.3"))
	require.NoError(t, allowed.checkURL("https://[fd12::1]"))
	require.Error(t, allowed.checkURL("https://10.2.2.3"))
}

func TestAddressesAtDial(t *testing.T) {
	t.Parallel()

	for address, ok := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:8443": true,
		"127.0.0.1:80": false, "127.9.9.9:80": false, "0.0.0.0:80": false, "10.0.0.1:443": false, "172.16.0.1:443": false,
		"192.168.1.1:443": false, "169.254.169.254:80": false, "100.64.0.1:80": false, "168.63.129.16:80": false,
		"[::]:80": false, "[::1]:80": false, "[::ffff:127.0.0.1]:80": false, "[::ffff:169.254.169.254]:80": false,
		"[64:ff9b::a9fe:a9fe]:80": false, "[fe80::1%eth0]:80": false, "[fd00::1]:80": false, "[2002:a00:1::]:80": false,
	} {
		network := "tcp4"
		if strings.HasPrefix(address, "[") {
			network = "tcp6"
		}
		err := newGuard(Config{}).control(network, address, nil)
		require.Equal(t, ok, err == nil, "%s: %v", address, err)
		require.NoError(t, newGuard(local()).control(network, address, nil))
	}
	require.Error(t, newGuard(Config{}).control("unix", "/run/postgresql", nil))
}

// Whatever an address is called, and whoever resolves the name, nothing of ours is reached.
func TestNothingOfOursIsReached(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]

	guarded := Config{AllowHTTP: true}.withDefaults()
	s := newSender(guarded, newGuard(guarded), Deps{}.withDefaults())
	open := local().withDefaults()
	unguarded := newSender(open, newGuard(open), Deps{}.withDefaults())
	t.Cleanup(s.close)
	t.Cleanup(unguarded.close)
	at := func(host string) letter {
		return letter{eventID: uuid.New(), url: "http://" + host + port + "/", body: []byte("{}"), keys: [][]byte{{1}}}
	}
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "2130706433", "0x7f.1", "0177.0.0.1", "127.1",
		"[64:ff9b::7f00:1]", "169.254.169.254",
	} {
		a := s.send(t.Context(), at(host))
		require.NotEmpty(t, a.problem, host)
		require.Zero(t, a.status, host)
		require.NotContains(t, a.problem, "http://")
	}
	require.Contains(t, s.send(t.Context(), at("localhost")).problem, "address refused")
	require.Zero(t, hits.Load())

	require.True(t, unguarded.send(t.Context(), at("localhost")).succeeded(), "the server is there, and the name leads to it")
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{"https://example.com/x?y#z", "https://[::1]:8/", "http://a@b:c", "https://１.1"} {
		f.Add(seed)
	}
	g := newGuard(Config{})
	f.Fuzz(func(t *testing.T, raw string) {
		if g.refusal(raw) != "" {
			return
		}
		_, err := http.NewRequestWithContext(t.Context(), http.MethodPost, raw, nil)
		require.NoError(t, err, "%q is accepted and cannot be used", raw)
		require.NotEmpty(t, hostOf(raw))
	})
}
