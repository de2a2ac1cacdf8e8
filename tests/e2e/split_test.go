package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One process takes the requests, another does the work.
func TestAPIAndWorkersApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	workers := s.serve(t, "--only", "workers")
	api := s.serve(t, "--only", "api") // the last one: requests go here
	newShop(t, s, "apart", 3)

	paid := s.place(t, cart("apart", 2))
	s.pay(t, paid)
	s.awaitCompleted(t, paid, 15*time.Second)
	require.Len(t, s.codes(t, paid), 2)
	s.awaitQuiet(t)
	s.everythingArrived(t)
	require.Equal(t, 3, func() int { _, distinct := s.sink.counts(); return distinct }())

	for _, n := range []*node{api, workers} {
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			require.NoError(t, s.healthy(n.url+path))
		}
	}
	require.Equal(t, []string{"postgres", "migrations"}, s.checks(t, api))
	require.Equal(t, []string{"postgres", "migrations", "river"}, s.checks(t, workers))
	refused, err := s.callAt(t.Context(), workers.url, http.MethodGet, "/v1/orders", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, refused.status, "the workers' process serves no API")

	// Orders are taken while nobody works, and done when somebody comes back.
	require.Zero(t, workers.terminate(t, stopsWithin))
	waiting := s.place(t, cart("apart", 1))
	s.pay(t, waiting)
	require.Len(t, s.codes(t, waiting), 1, "a card that is there comes with its payment")
	s.serve(t, "--only", "workers")
	s.url.Store(&api.url)
	require.Zero(t, api.terminate(t, stopsWithin))
	s.awaitQuiet(t)
	s.everythingArrived(t)
	s.audited(t)
}

// checks are the names of what a process says it needs, all of them well.
func (s *site) checks(t *testing.T, n *node) []string {
	t.Helper()
	var ready struct {
		Status string `json:"status"`
		Checks []struct {
			Name string `json:"name"`
			OK   bool   `json:"ok"`
		} `json:"checks"`
	}
	await(t, 10*time.Second, n.name, func() error {
		got, err := s.callAt(t.Context(), n.url, http.MethodGet, "/readyz", nil)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(got.body, &ready); err != nil {
			return err
		}
		if ready.Status != "ready" {
			return errors.New(ready.Status)
		}
		return nil
	})
	names := make([]string, len(ready.Checks))
	for i, check := range ready.Checks {
		require.Truef(t, check.OK, "%s", check.Name)
		names[i] = check.Name
	}
	return names
}
