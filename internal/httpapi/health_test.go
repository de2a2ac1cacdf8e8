package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadiness(t *testing.T) {
	t.Parallel()
	asked := atomic.Int64{}
	s := newTestServer(t, Deps{Checks: []Check{
		{Name: "postgres", Probe: func(context.Context) error { asked.Add(1); return nil }},
		{Name: "migrations", Probe: func(context.Context) error { return notReadyError("3 are pending") }},
	}})
	var got readiness
	s.do("GET", "/readyz", "").into(http.StatusServiceUnavailable, &got)
	require.Equal(t, "not_ready", got.Status)
	require.True(t, got.Checks[0].OK)
	require.Equal(t, "migrations", got.Checks[1].Name)
	require.Equal(t, "3 are pending", got.Checks[1].Error)

	s.do("GET", "/readyz", "")
	require.EqualValues(t, 1, asked.Load(), "a second probe within a second shares the result")

	ready := newTestServer(t, Deps{Checks: []Check{{Name: "postgres", Probe: func(context.Context) error { return nil }}}})
	ready.do("GET", "/readyz", "").into(http.StatusOK, &got)
	require.Equal(t, "ready", got.Status)
	ready.draining.Store(true)
	ready.do("GET", "/readyz", "").into(http.StatusServiceUnavailable, &got)
	require.Equal(t, "draining", got.Status)
}

// A probe that does not come back is an answer after its time, and holds nobody for longer.
func TestAProbeThatHangs(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	s := newTestServer(t, Deps{Checks: []Check{{Name: "river", Probe: func(context.Context) error { <-never; return nil }}}})
	var got readiness
	s.do("GET", "/readyz", "").into(http.StatusServiceUnavailable, &got)
	require.Contains(t, got.Checks[0].Error, "no answer in time")
	require.Less(t, got.Checks[0].LatencyMS, 4000.0)
}

func TestLiveness(t *testing.T) {
	t.Parallel()
	var got liveness
	newTestServer(t, Deps{}).do("GET", "/livez", "").into(http.StatusOK, &got)
	require.Equal(t, "alive", got.Status)
}

// Anybody may ask /readyz, so a driver's words, which name hosts, users and databases, are not in its answer.
func TestReadinessTellsNothingOfTheDatabase(t *testing.T) {
	t.Parallel()
	require.Equal(t, "unreachable", publicReason(errors.New("failed to connect to `user=shop database=cards`: 10.0.0.7:5432")))
	require.Equal(t, "no answer in time", publicReason(fmt.Errorf("ping: %w", context.DeadlineExceeded)))
	require.Equal(t, "no process leads", publicReason(fmt.Errorf("river: %w", notReadyError("no process leads"))))
}
