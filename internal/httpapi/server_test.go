package httpapi

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
)

// testServer is the door on a real socket. Where Deps says nothing else, a bearer token is a list of scopes, such as
// "orders:read,orders:write".
type testServer struct {
	*Server

	t   *testing.T
	url string
	log *lockedBuffer
}

func newTestServer(t *testing.T, deps Deps) *testServer {
	t.Helper()
	log := &lockedBuffer{}
	if deps.Log == nil {
		deps.Log = slog.New(slog.NewJSONHandler(log, nil))
	}
	if deps.Authenticate == nil {
		deps.Authenticate = scopesAsToken
	}
	s := New(deps)
	hs := httptest.NewUnstartedServer(s)
	hs.Config = s.httpServer()
	hs.Start()
	t.Cleanup(s.Close)
	t.Cleanup(hs.Close)
	return &testServer{Server: s, t: t, url: hs.URL, log: log}
}

// in is the server for a subtest, whose failures are then its own.
func (s *testServer) in(t *testing.T) *testServer {
	t.Helper()
	sub := *s
	sub.t = t
	return &sub
}

func scopesAsToken(_ context.Context, token string) (*access.Principal, error) {
	p := &access.Principal{Prefix: "testtest", Name: "test"}
	for name := range strings.SplitSeq(token, ",") {
		scopes, err := access.ParseScopes([]string{name})
		if err != nil {
			return nil, fault.New(fault.Unauthenticated, "api_key_invalid")
		}
		p.Scopes = append(p.Scopes, scopes...)
	}
	return p, nil
}

// answer is what do got.
type answer struct {
	*http.Response

	t    *testing.T
	body []byte
}

// do sends a request; body is sent as JSON unless header (pairs of names and values) says otherwise.
func (s *testServer) do(method, path, body string, header ...string) *answer {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, reader)
	require.NoError(s.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return &answer{Response: response, t: s.t, body: got}
}

// as is do with a token that has the scopes.
func (s *testServer) as(scopes, method, path, body string, header ...string) *answer {
	s.t.Helper()
	return s.do(method, path, body, append([]string{"Authorization", "Bearer " + scopes}, header...)...)
}

// into wants a status and reads the body.
func (a *answer) into(status int, v any) {
	a.t.Helper()
	require.Equal(a.t, status, a.StatusCode, string(a.body))
	require.NoError(a.t, json.Unmarshal(a.body, v), string(a.body))
}

// problem wants an error of a status and a code and gives its members.
func (a *answer) problem(status int, code string) map[string]any {
	a.t.Helper()
	require.Equal(a.t, problemContentType, a.Header.Get("Content-Type"), string(a.body))
	var members map[string]any
	a.into(status, &members)
	require.Equal(a.t, code, members["code"], string(a.body))
	require.InDelta(a.t, status, members["status"], 0)
	require.Equal(a.t, a.Header.Get("X-Request-ID"), members["request_id"])
	require.NotEmpty(a.t, members["title"])
	require.NotEmpty(a.t, members["detail"])
	return members
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
