package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)
	return w.Body.String()
}

// However often it is scraped, the database is asked now and then; and when it fails, the rest is still there.
func TestObserve(t *testing.T) {
	t.Parallel()
	m, err := NewMetrics()
	require.NoError(t, err)
	meter := m.Provider().Meter("test")
	log := slog.New(slog.DiscardHandler)
	gauge := func(name string, ask func(context.Context) (int64, error)) {
		g, err := meter.Int64ObservableGauge(name)
		require.NoError(t, err)
		require.NoError(t, Observe(meter, log, ask, func(o metric.Observer, n int64) { o.ObserveInt64(g, n) }, g))
	}
	asked, failed := 0, 0
	gauge("good", func(context.Context) (int64, error) { asked++; return 41 + int64(asked), nil })
	gauge("bad", func(context.Context) (int64, error) { failed++; return 0, errors.New("no database") })
	for range 3 {
		text := scrape(t, m)
		require.Regexp(t, `(?m)^good\{.*\} 42$`, text)
		require.NotContains(t, text, "\nbad")
	}
	require.Equal(t, 1, asked)
	require.Equal(t, 1, failed)
}

func TestAnAnswerIsGoodForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	n := 0
	a := asker[int]{now: func() time.Time { return now }, log: slog.New(slog.DiscardHandler), ask: func(ctx context.Context) (int, error) {
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		if n++; n == 2 {
			return 0, errors.New("away")
		}
		return n, nil
	}}
	for _, step := range []struct {
		after time.Duration
		want  int
		known bool
	}{{0, 1, true}, {4 * time.Second, 1, true}, {time.Second, 0, false}, {4 * time.Second, 0, false}, {time.Second, 3, true}} {
		now = now.Add(step.after)
		got, known := a.answer(t.Context())
		require.Equal(t, step.known, known)
		require.Equal(t, step.want, got)
	}
}
