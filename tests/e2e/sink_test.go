package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// sink is the world outside: a subscriber that checks webhooks with the official library, and an SMS gateway. It
// outlives the processes that call it.
type sink struct {
	url string

	mu       sync.Mutex
	verifier *standardwebhooks.Webhook
	hooks    map[string]*hook // by webhook-id
	arrived  int              // deliveries, repeats included
	wrong    []string         // what should not have come
	messages map[string]int   // how often, by reference
}

// hook is one webhook, however often it came.
type hook struct {
	times   int
	at      time.Time // of the first
	header  http.Header
	body    []byte
	kind    string // the event's type
	payload json.RawMessage
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{hooks: map[string]*hook{}, messages: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", s.receiveWebhook)
	mux.HandleFunc("POST /sms", s.receiveSMS)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *sink) trust(t *testing.T, secret string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verifier = verifier
}

func (s *sink) receiveWebhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived++
	var envelope struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	id := r.Header.Get("Webhook-Id")
	if err := json.Unmarshal(body, &envelope); err != nil {
		s.wrong = append(s.wrong, fmt.Sprintf("%s: %v", id, err))
	}
	if s.verifier == nil {
		s.wrong = append(s.wrong, id+": nobody is trusted yet")
	} else if err := s.verifier.Verify(body, r.Header); err != nil {
		s.wrong = append(s.wrong, fmt.Sprintf("%s: %v", id, err))
	}
	known := s.hooks[id]
	if known == nil {
		known = &hook{at: time.Now(), header: r.Header.Clone(), body: body, kind: envelope.Type, payload: envelope.Data}
		s.hooks[id] = known
	} else if !bytes.Equal(known.body, body) {
		s.wrong = append(s.wrong, id+": came again with other bytes")
	}
	known.times++
	w.WriteHeader(http.StatusNoContent)
}

func (s *sink) receiveSMS(w http.ResponseWriter, r *http.Request) {
	var message struct {
		To   string `json:"to"`
		Text string `json:"text"`
		Ref  string `json:"ref"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil || message.To == "" || message.Ref == "" || message.Text == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.messages[message.Ref]++
	s.mu.Unlock()
	_, _ = fmt.Fprintf(w, `{"code":0,"id":%q}`, "gw-"+message.Ref)
}

// gateway writes the description of the sink's SMS gateway and gives its path.
func (s *sink) gateway(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.json")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `{
		"name": "sink", "url": %q, "body_format": "json", "body": {"to": "{to}", "text": "{text}", "ref": "{ref}"},
		"success": {"path": "code", "equals": "0"}, "message_id_path": "id", "timeout": "5s"}`, s.url+"/sms"), 0o600))
	return path
}

// webhook gives one that has come, nil for none.
func (s *sink) webhook(id string) *hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hooks[id]; h != nil {
		known := *h
		return &known
	}
	return nil
}

// ofType gives the webhooks of one event type.
func (s *sink) ofType(kind string) []hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []hook
	for _, h := range s.hooks {
		if h.kind == kind {
			all = append(all, *h)
		}
	}
	return all
}

// counts gives all deliveries, and the webhooks among them.
func (s *sink) counts() (arrived, distinct int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived, len(s.hooks)
}

func (s *sink) messaged(ref string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.messages[ref]
}

// nothingWrong fails the test when a signature did not verify or a repeat had other bytes.
func (s *sink) nothingWrong(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.wrong)
}
