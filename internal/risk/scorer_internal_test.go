package risk

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func scorerOf(t *testing.T, timeout time.Duration, handler http.HandlerFunc) *scorer {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s := newScorer(ScorerConfig{URL: server.URL, Timeout: Duration(timeout), OnFailure: DecisionPass}, 50*time.Millisecond)
	t.Cleanup(s.close)
	return s
}

// hang answers nothing until its caller has gone.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the caller goes
	<-r.Context().Done()
}

// Whatever a scorer does, asking it ends in time and in an outcome, with words for an operator.
func TestScorerThatFails(t *testing.T) {
	t.Parallel()
	write := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		reason  string
	}{
		"hangs": {hang, "no answer in time"},
		"hangs in the middle": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"decision":`)
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}, "no answer in time"},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the connection was closed without an answer"},
		"breaks off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"decision":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "the answer broke off"},
		"fails":             {http.NotFound, "answered with status 404"},
		"redirects":         {http.RedirectHandler("/else", http.StatusFound).ServeHTTP, "answered with status 302"},
		"nonsense":          {write(`<html>`), "the answer is not the JSON that was asked for"},
		"nothing":           {write(``), "the answer is not the JSON that was asked for"},
		"two answers":       {write(`{"decision":"pass"}{"decision":"hold"}`), "the answer is not the JSON that was asked for"},
		"no decision":       {write(`{"score":1}`), "the answer's decision is none of pass, hold and refuse"},
		"unknown decision":  {write(`{"decision":"failed"}`), "the answer's decision is none of pass, hold and refuse"},
		"score of a string": {write(`{"decision":"pass","score":"high"}`), "the answer is not the JSON that was asked for"},
		"score too large":   {write(`{"decision":"pass","score":1e999}`), "the answer is not the JSON that was asked for"},
		"endless":           {write(`{"decision":"pass"}` + strings.Repeat(" ", maxScorerAnswer)), "answered with more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if tc.reason == "no answer in time" {
				timeout = 100 * time.Millisecond
			}
			got, err := scorerOf(t, timeout, tc.handler).ask(t.Context(), question{OrderID: uuid.New()})
			require.NoError(t, err)
			require.Equal(t, score{Outcome: ScorerFailed, Reason: tc.reason}, got)
		})
	}
	t.Run("is not there", func(t *testing.T) {
		t.Parallel()
		server := httptest.NewServer(nil)
		server.Close()
		s := newScorer(ScorerConfig{URL: server.URL, Timeout: Duration(5 * time.Second)}, time.Second)
		got, err := s.ask(t.Context(), question{})
		require.NoError(t, err)
		require.Equal(t, ScorerFailed, got.Outcome)
		require.Contains(t, got.Reason, "refused")
	})
}

// After some failures in a row nobody waits for a scorer that hangs; when it is well again, it is asked again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var well atomic.Bool
	s := scorerOf(t, 50*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if !well.Load() {
			hang(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"decision":"hold","reason":"`+strings.Repeat("长", 600)+`\u0000"}`)
	})
	ask := func() score {
		got, err := s.ask(t.Context(), question{})
		require.NoError(t, err)
		return got
	}
	for range breakAfter {
		require.Equal(t, "no answer in time", ask().Reason)
	}
	require.Equal(t, "circuit breaker is open", ask().Reason)
	require.EqualValues(t, breakAfter, asked.Load())

	well.Store(true)
	var got score
	require.Eventually(t, func() bool { got = ask(); return got.Outcome == ScorerHold }, 10*time.Second, 10*time.Millisecond)
	require.EqualValues(t, breakAfter+1, asked.Load())
	require.Equal(t, strings.Repeat("长", maxScorerReason-1)+"…", got.Reason)
}

// A worker that stops gives the question up: that is no failure of the scorer's, and decides nothing.
func TestAskIsGivenUp(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, breakAfter+1)
	s := scorerOf(t, 30*time.Second, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		hang(w, r)
	})
	for range breakAfter + 1 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-begun; cancel() }()
		_, err := s.ask(ctx, question{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, errGivenUp) // not that the breaker has opened
	}
}

func FuzzParseScore(f *testing.F) {
	for _, text := range []string{
		`{"decision":"pass","score":0.5,"reason":"ok"}`, `{"decision":"hold"}`, `null`, `[]`, "{\"decision\":\"pass\",\"reason\":\"\xff\"}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseScore(text)
		if err != nil {
			require.Zero(t, got)
			return
		}
		require.Contains(t, []ScorerOutcome{ScorerPass, ScorerHold, ScorerRefuse}, got.Outcome)
		require.LessOrEqual(t, len([]rune(got.Reason)), maxScorerReason)
		require.NotContains(t, got.Reason, "\x00")
	})
}
