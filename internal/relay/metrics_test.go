package relay_test

import (
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/relay"
	"github.com/vendbox/vendbox/internal/telemetry"
)

var oldestAge = regexp.MustCompile(`(?m)^vendbox_relay_oldest_age_seconds\{.*\} (\S+)$`)

// age scrapes a process of its own: an answer is good for a while.
func (b *bundle) age(r *relay.Relay) float64 {
	b.t.Helper()
	metrics, err := telemetry.NewMetrics()
	require.NoError(b.t, err)
	require.NoError(b.t, r.Measure(metrics.Provider()))
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(b.t.Context(), "GET", "/metrics", nil))
	found := oldestAge.FindStringSubmatch(w.Body.String())
	require.NotNil(b.t, found, w.Body.String())
	age, err := strconv.ParseFloat(found[1], 64)
	require.NoError(b.t, err)
	return age
}

func TestTheAgeOfWhatIsNotRelayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.relay()
	require.Zero(t, b.age(r))
	b.append(b.box(nil), 1)
	for i, state := range []string{"scheduled", "available", "retryable", "running"} {
		const minutes = 60
		_, err := b.pool.Exec(t.Context(), `update river_job set state = $1, created_at = now() - $2 * interval '1 minute'
			where kind = 'relay'`, state, i+1)
		require.NoError(t, err)
		require.InDelta(t, (i+1)*minutes, b.age(r), 30, state)
	}
	b.due()
	_, err := b.pool.Exec(t.Context(), `update river_job set state = 'available' where kind = 'relay'`)
	require.NoError(t, err)
	b.work(r)
	b.eventually(0, safetyWaiting)
	require.Zero(t, b.age(r))
}
