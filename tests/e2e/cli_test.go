package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// What is misused says everything that is wrong at once, what to do about it, and never the secrets it was given.
func TestMisuseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	const nowhere = "VENDBOX_DATABASE_URL=postgres://shop:hunter2@127.0.0.1:1/shop"
	for _, tc := range []struct {
		name string
		env  []string
		args []string
		code int
		says []string
	}{
		{"unknown command", nil, []string{"sell"}, 2, []string{"sell"}},
		{"unknown flag", nil, []string{"serve", "--bogus"}, 2, []string{"--bogus"}},
		{"nothing configured", nil, []string{"serve"}, 2, []string{
			"--database-url (VENDBOX_DATABASE_URL) is missing", "--master-key (VENDBOX_MASTER_KEY) is missing",
		}},
		{
			"everything wrong",
			[]string{"VENDBOX_DATABASE_URL=hunter2", "VENDBOX_MASTER_KEY=hunter2", "VENDBOX_PAYMENT_SANDBOX_SECRET=hunter2"},
			[]string{
				"serve", "--addr", "8080", "--log-level", "loud", "--queues", "cards,mail", "--sms-provider", "http", "--default-region", "XX",
				"--order-ttl", "1s", "--webhook-max-attempts", "0", "--schema", "Shop;", "--public-url", "shop",
			},
			2,
			[]string{
				"--database-url", "--master-key", "--payment-sandbox-secret", "--addr", "--log-level", "--queues", "--sms-gateway",
				"--default-region", "--order-ttl", "--webhook-max-attempts", "--schema", "--public-url",
			},
		},
		{"no database", []string{nowhere}, []string{"migrate", "up"}, 1, []string{"127.0.0.1:1"}},
		{"no database named", nil, []string{"migrate", "up"}, 2, []string{"VENDBOX_DATABASE_URL"}},
		{"no database named, keys", nil, []string{"apikey", "list"}, 2, []string{"VENDBOX_DATABASE_URL"}},
		{"no database named, audit", nil, []string{"audit"}, 2, []string{"VENDBOX_DATABASE_URL"}},
		{"no master key", []string{nowhere}, []string{"keyset", "rotate", "seal"}, 2, []string{"VENDBOX_MASTER_KEY"}},
		{"down, unsure", []string{nowhere}, []string{"migrate", "down"}, 1, []string{"--yes"}},
		{"a port that is taken", nil, []string{"dev", "--addr", taken.Addr().String()}, 1, []string{"address already in use", "--addr"}},
		{"half of the process", nil, []string{"serve", "--only", "webhooks"}, 2, []string{"api", "workers"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := runVendbox(t, tc.env, tc.args...)
			require.Equal(t, tc.code, r.code, r.stderr)
			for _, want := range tc.says {
				require.Contains(t, r.stderr, want)
			}
			require.NotContains(t, r.stdout+r.stderr, "hunter2")
			require.Empty(t, r.stdout, "errors are no result")
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	help := succeed(t, runVendbox(t, nil))
	for _, command := range []string{"demo", "dev", "serve", "migrate", "audit", "bench", "apikey", "keyset", "openapi"} {
		require.Contains(t, help, "\n  "+command)
	}
	require.NotEmpty(t, strings.TrimSpace(succeed(t, runVendbox(t, nil, "version"))))
}

func TestOpenAPIIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	printed := succeed(t, runVendbox(t, nil, "openapi"))
	var document struct {
		OpenAPI string `yaml:"openapi"`
		Paths   map[string]any
	}
	require.NoError(t, yaml.Unmarshal([]byte(printed), &document))
	require.True(t, strings.HasPrefix(document.OpenAPI, "3.1"))
	require.Contains(t, document.Paths, "/v1/orders")
	committed, err := os.ReadFile(filepath.Join(repository(), "openapi", "openapi.yaml"))
	require.NoError(t, err, "make generate writes it")
	require.Equal(t, string(committed), printed, "make generate")
}

func TestMigrateUpStatusDown(t *testing.T) {
	t.Parallel()
	key := strings.TrimSpace(succeed(t, runVendbox(t, nil, "keyset", "new")))
	env := []string{"VENDBOX_DATABASE_URL=" + newDatabase(t, server), "VENDBOX_MASTER_KEY=" + key}
	status := func() string { return succeed(t, runVendbox(t, env, "migrate", "status")) }
	require.Contains(t, status(), "pending")
	require.NotContains(t, status(), "applied")

	serve := runVendbox(t, env, "serve", "--addr", "127.0.0.1:0")
	require.Equal(t, 1, serve.code)
	require.Contains(t, serve.stderr, "run vendbox migrate up")

	require.Contains(t, succeed(t, runVendbox(t, env, "migrate", "up")), "applied 000001")
	require.NotContains(t, status(), "pending")
	require.Equal(t, "nothing applied\n", succeed(t, runVendbox(t, env, "migrate", "up")))

	refused := runVendbox(t, env, "migrate", "down", "--all")
	require.Equal(t, 1, refused.code)
	require.Contains(t, refused.stderr, "--yes")
	require.NotContains(t, status(), "pending")
	require.Equal(t, 1, strings.Count(succeed(t, runVendbox(t, env, "migrate", "down", "--yes")), "undone"))
	require.Equal(t, 1, strings.Count(status(), "pending"))
	succeed(t, runVendbox(t, env, "migrate", "down", "--all", "--yes"))
	require.NotContains(t, status(), "applied")
	succeed(t, runVendbox(t, env, "migrate", "up"))
}

func TestWrongMasterKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Zero(t, s.serve(t).terminate(t, stopsWithin)) // the first start made the keysets
	other := strings.TrimSpace(succeed(t, runVendbox(t, nil, "keyset", "new")))
	r := runVendbox(t, s.env("VENDBOX_MASTER_KEY="+other), "serve")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.stderr, "master key")
	require.NotContains(t, r.stderr, other)
	s.serve(t)
}

func TestAPIKeysComeAndGo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve(t)
	created := runVendbox(t, s.env(), "apikey", "create", "--name", "erp", "--scopes", "products:read,events:read")
	token := strings.TrimSpace(succeed(t, created))
	require.NotContains(t, created.stderr, token)
	prefix := strings.Split(token, "_")[1]
	asks := func(path string) int {
		got, err := s.call(t.Context(), http.MethodGet, path, nil, "Authorization", "Bearer "+token)
		require.NoError(t, err)
		return got.status
	}
	require.Equal(t, http.StatusOK, asks("/v1/products"))
	require.Equal(t, http.StatusForbidden, asks("/v1/orders"))

	list := succeed(t, runVendbox(t, s.env(), "apikey", "list"))
	require.Regexp(t, prefix+` +erp +active`, list)
	require.NotContains(t, list, strings.Split(token, "_")[2])
	wrong := runVendbox(t, s.env(), "apikey", "create", "--name", "x", "--scopes", "everything")
	require.Equal(t, 1, wrong.code)
	require.Contains(t, wrong.stderr, "There is no scope everything. All of them: vendbox apikey scopes.")

	require.Contains(t, succeed(t, runVendbox(t, s.env(), "apikey", "revoke", prefix)), prefix)
	require.Regexp(t, prefix+` +erp +revoked`, succeed(t, runVendbox(t, s.env(), "apikey", "list")))
	await(t, 5*time.Second, "the end of the key", func() error {
		if status := asks("/v1/products"); status != http.StatusUnauthorized {
			return &unexpected{status}
		}
		return nil
	})
	require.Equal(t, 1, runVendbox(t, s.env(), "apikey", "revoke", "nosuchky").code)
}

// unexpected is a status that should be another.
type unexpected struct{ status int }

func (u *unexpected) Error() string { return http.StatusText(u.status) }
