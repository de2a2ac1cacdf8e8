package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/config"
)

const (
	goodURL = "postgres://vendbox:hunter2@db.example.com:5432/shop?sslmode=disable"
	goodKey = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
)

// parse gives the error of Validate, which kong calls by itself.
func parse(t *testing.T, args ...string) (*config.Config, error) {
	t.Helper()
	c := &config.Config{}
	parser, err := kong.New(c)
	require.NoError(t, err)
	_, err = parser.Parse(args)
	return c, err
}

func good(t *testing.T, args ...string) *config.Config {
	t.Helper()
	c, err := parse(t, withGood(args...)...)
	require.NoError(t, err)
	return c
}

func withGood(args ...string) []string {
	return append([]string{"--database-url", goodURL, "--master-key", goodKey}, args...)
}

func TestDefaultsAreUsable(t *testing.T) {
	t.Parallel()
	c := good(t)
	require.NoError(t, c.Validate())
	require.Equal(t, 30*time.Minute, c.OrderTTL)
	require.Equal(t, "CN", c.DefaultRegion)
	require.Equal(t, "vendbox", c.Schema)
	require.EqualValues(t, 1<<20, c.MaxBody)
	require.Equal(t, slog.LevelInfo, c.Level())
	require.True(t, c.Works("cards"))
	require.Equal(t, goodURL, c.DatabaseURL.Reveal())
}

// Defaults are the flags' own, whatever the environment says.
func TestDefaultsAreThoseOfTheFlags(t *testing.T) {
	want := good(t)
	want.DatabaseURL, want.MasterKey = config.DatabaseURL{}, config.Secret{}
	t.Setenv("VENDBOX_SMS_PROVIDER", "http")
	t.Setenv("VENDBOX_ORDER_TTL", "45m")
	t.Setenv("VENDBOX_DATABASE_URL", goodURL)
	require.Equal(t, *want, config.Defaults())
	require.Equal(t, 200, config.Defaults().WebhookWorkers)
}

func TestEnvironment(t *testing.T) {
	t.Setenv("VENDBOX_DATABASE_URL", goodURL)
	t.Setenv("VENDBOX_MASTER_KEY", goodKey)
	t.Setenv("VENDBOX_ORDER_TTL", "45m")
	t.Setenv("VENDBOX_QUEUES", "cards,sms")
	t.Setenv("VENDBOX_WEBHOOK_ALLOW_HTTP", "true")
	c, err := parse(t, "--order-ttl", "50m")
	require.NoError(t, err)
	require.Equal(t, goodURL, c.DatabaseURL.Reveal())
	require.Equal(t, 50*time.Minute, c.OrderTTL, "a flag wins")
	require.Equal(t, []string{"cards", "sms"}, c.Queues)
	require.True(t, c.AllowHTTP)
	require.False(t, c.Works("relay"))
}

// Each setting has a variable that follows from its flag, and a help text.
func TestEveryFlagIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, group := range (&config.Config{}).Groups() {
		for field := range reflect.TypeOf(group).Elem().Fields() {
			name := field.Tag.Get("name")
			require.Equal(t, "VENDBOX_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), field.Tag.Get("env"), field.Name)
			require.Regexp(t, `\.$`, field.Tag.Get("help"), name)
			require.False(t, seen[name])
			seen[name] = true
		}
	}
}

func TestEveryProblemIsListedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parse(t, "--schema", "No", "--addr", "x", "--public-url", "ftp://x", "--max-body", "1", "--access-log", "some",
		"--order-ttl", "1s", "--default-region", "XX", "--payment-sandbox-secret", "short", "--queues", "cards,nope", "--sms-workers", "0",
		"--webhook-timeout", "1ms", "--webhook-max-attempts", "0", "--sms-provider", "http", "--log-level", "loud", "--log-format", "xml",
		"--max-conns", "0", "--risk-rules", "/no/such/file")
	var invalid *config.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Len(t, invalid.Problems, 19, err.Error())
	for _, flag := range []string{
		"--database-url", "--schema", "--master-key", "--addr", "--public-url", "--max-body", "--access-log",
		"--order-ttl", "--default-region", "--payment-sandbox-secret", "--queues", "--sms-workers", "--webhook-timeout",
		"--webhook-max-attempts", "--sms-gateway", "--log-level", "--log-format", "--max-conns",
		"--risk-rules",
	} {
		require.Contains(t, err.Error(), "\n  - "+flag)
	}
	require.NotContains(t, err.Error(), "short,")
}

func TestGatewayFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gateway.json")
	args := withGood("--sms-provider", "http", "--sms-gateway", file, "--payment-channels", file)
	_, err := parse(t, args...)
	require.ErrorContains(t, err, "--sms-gateway: "+file+": no such file")
	require.ErrorContains(t, err, "--payment-channels: "+file+": no such file")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err = parse(t, args...)
	require.NoError(t, err)
}

func TestMasterKeys(t *testing.T) {
	t.Parallel()
	for key, ok := range map[string]bool{
		goodKey: true, strings.TrimRight(goodKey, "="): true, goodKey + "\n": true,
		"hunter2hunter2": false, goodKey[4:]: false, strings.Repeat("!", 44): false,
	} {
		_, err := parse(t, "--database-url", goodURL, "--master-key", key)
		if ok {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "32 bytes")
		require.NotContains(t, err.Error(), key)
	}
}

// However a configuration is printed, its secrets are not in what comes out.
func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	c := good(t, "--payment-sandbox-secret", "hunter2hunter2hunter2")
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "config", c, "url", c.DatabaseURL, "key", c.MasterKey)
	for _, group := range c.Groups() {
		logger.Info("x", "group", group)
	}
	marshalled, err := json.Marshal(c) //nolint:musttag // somebody might
	require.NoError(t, err)
	hidden := struct{ c config.Config }{*c}
	var out strings.Builder
	out.WriteString(log.String() + string(marshalled))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, v := range []any{*c, c, c.MasterKey, &c.DatabaseURL, hidden} {
			fmt.Fprintf(&out, verb, v)
		}
	}
	printed := out.String()
	for _, secret := range []string{"hunter2", goodKey, fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2")} {
		require.NotContains(t, printed, secret)
	}
	require.Contains(t, printed, "db.example.com", "what is no secret is shown")
	require.Contains(t, log.String(), `"order-ttl":"30m0s"`)
}

func TestDatabaseURLs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"":                                              "",
		"postgres://u:hunter2@h/db":                     "postgres://u:xxxxx@h/db",
		"postgres://u@h/db?password=hunter2&a=b":        "postgres://u@h/db?a=b&password=xxxxx",
		"postgres://u@h/db?sslpassword=hunter2":         "postgres://u@h/db?sslpassword=xxxxx",
		"host=h user=u password=hunter2 dbname=d":       "host=h user=u password=xxxxx dbname=d",
		"host=h password='hunter2 \\' x' dbname=d":      "host=h password=xxxxx dbname=d",
		"host=h PASSWORD = hunter2":                     "host=h PASSWORD = xxxxx",
		"u:hunter2@h":                                   "[redacted]",
		"postgres://u:hunter2@h:port with space/db":     "[redacted]",
		"postgres://u:hunter2@h1:1,h2:2/db?sslmode=off": "postgres://u:xxxxx@h1:1,h2:2/db?sslmode=off",
		"postgresql:///db?host=/tmp&user=u":             "postgresql:///db?host=%2Ftmp&user=u",
	} {
		got := config.DatabaseURL{Secret: config.NewSecret(raw)}.String()
		require.NotContains(t, got, "hunter2", raw)
		require.Equal(t, want, got, raw)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"0": 0, "10B": 10, "1KiB": 1024, "2 MiB": 2 << 20, "3GiB": 3 << 30, "1500": 1500} {
		var s config.Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		var back config.Size
		require.NoError(t, back.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, back)
	}
	for _, text := range []string{"", "x", "-1", "1MB", "9999999999GiB", "1.5MiB"} {
		var s config.Size
		require.Error(t, s.UnmarshalText([]byte(text)), text)
	}
}

func FuzzDatabaseURLHidesItsPassword(f *testing.F) {
	f.Add("postgres://u:", "@h/db")
	f.Add("host=h password=", " dbname=d")
	f.Add("password='", "'")
	f.Add("postgres://h/db?password=", "&x=y")
	f.Fuzz(func(t *testing.T, before, after string) {
		const password = "pw0rd7secret"
		if strings.Contains(before+after, password) {
			t.Skip()
		}
		// Only where it is a password: after what ends in a password's place.
		if !strings.HasSuffix(before, "password=") && !strings.HasSuffix(before, "://u:") {
			t.Skip()
		}
		if strings.HasSuffix(before, "://u:") && !strings.HasPrefix(after, "@") {
			t.Skip()
		}
		got := config.DatabaseURL{Secret: config.NewSecret(before + password + after)}.String()
		if strings.Contains(got, password) {
			t.Fatalf("%q", got)
		}
	})
}
