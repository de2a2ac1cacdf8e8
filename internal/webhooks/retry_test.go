package webhooks

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSchedule(t *testing.T) {
	t.Parallel()

	cfg := Config{}.withDefaults()
	want := []time.Duration{
		10 * time.Second, time.Minute, 6 * time.Minute, 36 * time.Minute, 216 * time.Minute, 1296 * time.Minute, 28 * time.Hour,
	}
	var total time.Duration
	for i, ceiling := range want {
		require.Equal(t, ceiling, cfg.ceiling(i+1))
		total += ceiling
	}
	require.InDelta(t, 27, (total / 2).Hours(), 0.5, "doc.go says how long it takes on average")
	require.Equal(t, cfg.RetryCap, cfg.ceiling(1000))

	var longest time.Duration
	for range 1000 {
		wait := cfg.wait(1, 0)
		require.GreaterOrEqual(t, wait, time.Duration(0))
		require.LessOrEqual(t, wait, 10*time.Second)
		longest = max(longest, wait)
	}
	require.Greater(t, longest, 8*time.Second, "jitter over the whole range")
	require.Equal(t, time.Hour, cfg.wait(1, time.Hour), "not before the endpoint wants it")
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()

	for name, cfg := range map[string]Config{
		"timeout":    {Timeout: time.Hour},
		"attempts":   {MaxAttempts: -1},
		"cap":        {RetryBase: time.Hour, RetryCap: time.Minute},
		"workers":    {MaxWorkers: -1},
		"in flight":  {MaxInFlight: -1},
		"overlap":    {SecretOverlap: 30 * 24 * time.Hour},
		"no deps":    {},
		"everything": {Timeout: -1, MaxAttempts: 99},
	} {
		_, err := NewService(cfg, Deps{})
		require.Error(t, err, name)
	}
	require.Equal(t, 25, Config{}.withDefaults().MaxInFlight)
	require.Equal(t, 1, Config{MaxWorkers: 2}.withDefaults().MaxInFlight)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()

	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "\t7": 7 * time.Second, "-1": 0, "1.5": 0, "soon": 0,
		"999999": maxRetryAfter, "99999999999999999999999": maxRetryAfter,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
		now.Add(240 * time.Hour).Format(http.TimeFormat):  maxRetryAfter,
	} {
		require.Equal(t, want, parseRetryAfter(value, now), "%q", value)
	}
	require.Equal(t, defaultPause, pauseAfter(0))
	require.Equal(t, maxPause, pauseAfter(time.Hour))
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		got := parseRetryAfter(value, time.Unix(0, 0))
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, maxRetryAfter)
	})
}
