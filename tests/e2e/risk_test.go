package e2e

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// With risk rules a paid order is delivered, held or not even placed, by all processes alike, and the audit stays clean.
func TestRiskRules(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := filepath.Join(t.TempDir(), "rules.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"rules": [
		{"name": "bulk", "if": "quantity_above", "more_than": 2},
		{"name": "blocked", "if": "blocklist", "ips": ["203.0.113.7"], "action": "refuse"}]}`), 0o600))
	s.serve(t, "--risk-rules", file)
	newShop(t, s, "risky", 10)

	small, large := s.place(t, cart("risky", 2)), s.place(t, cart("risky", 3))
	s.pay(t, small)
	s.pay(t, large)
	s.awaitCompleted(t, small, 15*time.Second)
	await(t, 15*time.Second, "the hold", func() error {
		if s.count(t, "select count(*) from vendbox.orders where id = $1 and hold_reason = 'risk'", large.ID) == 0 {
			return errors.New("not held")
		}
		return nil
	})
	require.Empty(t, s.codes(t, large))
	refused, err := s.call(t.Context(), http.MethodPost, "/v1/orders", map[string]any{
		"items": []any{map[string]any{"sku": "risky", "quantity": 1}}, "client_ip": "203.0.113.7",
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, refused.status)
	s.awaitQuiet(t)
	s.audited(t)

	s.must(t, http.StatusOK, nil, http.MethodPost, "/v1/orders/"+large.ID+"/release", map[string]any{"reason": "known"})
	s.awaitCompleted(t, large, 15*time.Second)
	require.Len(t, s.codes(t, large), 3)
	s.awaitQuiet(t)
	s.everythingArrived(t)
	s.audited(t)

	require.NoError(t, os.WriteFile(file, []byte(`{"rules": [{"name": "bulk", "if": "quantity_above"}, {"name": "x", "if": "y"}]}`), 0o600))
	wrong := runVendbox(t, s.env("VENDBOX_RISK_RULES="+file), "serve")
	require.NotZero(t, wrong.code)
	require.Contains(t, wrong.stderr, "rules[0] (bulk): more_than: is missing")
	require.Contains(t, wrong.stderr, `rules[1] (x): if: "y" is no condition`)
}
