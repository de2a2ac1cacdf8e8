package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// A key of the database's opens what its scopes say, and nothing once it is revoked.
func TestRealKeys(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	keys := access.NewKeys(pool, time.Now)
	s := newTestServer(t, Deps{Authenticate: keys.Authenticate, Box: outbox.NewBox(pool, time.Now, nil)})
	key, token, err := keys.Create(t.Context(), "reader", []string{"events:read"}, nil)
	require.NoError(t, err)

	require.Equal(t, http.StatusOK, s.as(token, "GET", "/v1/events", "").StatusCode)
	s.as(token, "POST", "/v1/events", "{}").problem(http.StatusForbidden, "scope_missing")
	require.Contains(t, s.log.String(), `"key":"`+key.Prefix+`"`)
	require.NotContains(t, s.log.String(), token)

	_, err = keys.Revoke(t.Context(), key.Prefix)
	require.NoError(t, err)
	s.as(token, "GET", "/v1/events", "").problem(http.StatusUnauthorized, "api_key_revoked")
}
