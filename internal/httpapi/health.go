package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Check is one thing the server cannot do without.
type Check struct {
	Name string
	// Probe gives an error when the thing is not there. Its context ends after checkTimeout.
	Probe func(context.Context) error
}

const (
	checkTimeout = 2 * time.Second
	// checksFresh is how long a result is given to others, so that probes from everywhere cost one query a second.
	checksFresh = time.Second
)

// checkResult is one line of /readyz.
type checkResult struct {
	Name      string  `json:"name" example:"postgres" doc:"What was asked."`
	OK        bool    `json:"ok" doc:"Whether it is well."`
	LatencyMS float64 `json:"latency_ms" example:"0.42" doc:"How long the answer took, in milliseconds."`
	Error     string  `json:"error,omitempty" example:"3 migrations are pending" doc:"What is wrong."`
}

type readiness struct {
	Status string        `json:"status" enum:"ready,not_ready,draining" example:"ready" doc:"draining: the server is shutting down."`
	Checks []checkResult `json:"checks" doc:"Each thing the server needs."`
}

type liveness struct {
	Status string `json:"status" enum:"alive" example:"alive" doc:"The process answers."`
}

// health runs the checks.
type health struct {
	checks []Check
	turn   chan struct{} // held by whoever probes
	mu     sync.Mutex
	last   []checkResult
	at     time.Time
}

func newHealth(checks []Check) *health { return &health{checks: checks, turn: make(chan struct{}, 1)} }

// results are at most checksFresh old. Callers that come while others wait for the checks share theirs.
func (h *health) results(ctx context.Context) ([]checkResult, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if fresh := h.fresh(); fresh != nil {
		return fresh, nil
	}
	results := make([]checkResult, len(h.checks))
	var all sync.WaitGroup
	for i, check := range h.checks {
		all.Go(func() { results[i] = run(context.WithoutCancel(ctx), check) })
	}
	all.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last, h.at = results, time.Now()
	return results, nil
}

func (h *health) fresh() []checkResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Since(h.at) < checksFresh {
		return h.last
	}
	return nil
}

func run(ctx context.Context, check Check) checkResult {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	started := time.Now()
	done := make(chan error, 1)
	go func() { done <- check.Probe(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done(): // a probe that does not heed its context must not hold everybody
		err = ctx.Err()
	}
	result := checkResult{Name: check.Name, OK: err == nil, LatencyMS: float64(time.Since(started).Microseconds()) / 1000}
	if err != nil {
		result.Error = publicReason(err)
	}
	return result
}

// notReadyError is a reason that may be told to anybody. A driver's words name users, hosts and databases.
type notReadyError string

func (n notReadyError) Error() string { return string(n) }

func publicReason(err error) string {
	if reason, ok := errors.AsType[notReadyError](err); ok {
		return string(reason)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return "unreachable"
}

func (s *Server) registerHealth() {
	s.health = newHealth(s.deps.Checks)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "livez", Method: http.MethodGet, Path: "/livez", Tags: []string{tagOperations},
			Summary:     "Is the process alive?",
			Description: "Answers as long as the process can answer at all. Restart it when this fails; for anything else see /readyz.",
		},
		Auth: public(),
	}, func(context.Context, *struct{}) (*struct{ Body liveness }, error) {
		return &struct{ Body liveness }{liveness{Status: "alive"}}, nil
	})
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tagOperations},
			Summary: "Can it work?",
			Description: "Asks everything the server needs, each with a time limit of two seconds, and says how long the answer took. " +
				"503 with the same body when something is missing or the server is shutting down. Results are up to a second old.",
		},
		Auth: public(),
	}, s.readyz)
}

type readyzOutput struct {
	Status int
	Body   readiness
}

func (s *Server) readyz(ctx context.Context, _ *struct{}) (*readyzOutput, error) {
	checks, err := s.health.results(ctx)
	if err != nil {
		return nil, err
	}
	out := &readyzOutput{Status: http.StatusOK, Body: readiness{Status: "ready", Checks: checks}}
	for _, check := range checks {
		if !check.OK {
			out.Status, out.Body.Status = http.StatusServiceUnavailable, "not_ready"
		}
	}
	if s.draining.Load() {
		out.Status, out.Body.Status = http.StatusServiceUnavailable, "draining"
	}
	return out, nil
}
