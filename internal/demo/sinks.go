// Package demo plays the world around a shop: buyers, a payment gateway, an SMS gateway and a webhook subscriber, all on
// real sockets. `vendbox demo` sells through it; `vendbox dev` keeps its sinks open.
package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// kept bounds what a sink remembers of each sort; counts go on.
const kept = 1000

// Sinks are the far ends: a webhook subscriber that verifies signatures with the official library, and an SMS gateway.
// POST delivers, GET shows what came, newest first.
type Sinks struct {
	now func() time.Time

	mu        sync.Mutex
	verifiers []*standardwebhooks.Webhook
	hooks     []ReceivedWebhook
	messages  []ReceivedSMS
	counts    Counts
	seen      map[string]bool // webhook-ids
	changed   chan struct{}   // closed and replaced at every delivery
}

// Counts is what has come so far.
type Counts struct {
	Webhooks         int            // deliveries, repeats included
	DistinctWebhooks int            // webhook-ids
	Verified         int            // of the deliveries
	ByType           map[string]int // distinct ones
	SMS              int
	DistinctSMS      int // references
}

// ReceivedWebhook is one delivery.
type ReceivedWebhook struct {
	WebhookID   string          `json:"webhook_id"`
	Verified    bool            `json:"verified"`
	Traceparent string          `json:"traceparent,omitempty"`
	ReceivedAt  time.Time       `json:"received_at"`
	Body        json.RawMessage `json:"body"`
}

// ReceivedSMS is one message.
type ReceivedSMS struct {
	To         string    `json:"to"`
	Text       string    `json:"text"`
	Ref        string    `json:"ref"`
	ReceivedAt time.Time `json:"received_at"`
}

// NewSinks makes them.
func NewSinks(now func() time.Time) *Sinks {
	return &Sinks{now: now, seen: map[string]bool{}, changed: make(chan struct{}), counts: Counts{ByType: map[string]int{}}}
}

// Trust makes deliveries that are signed with a secret (whsec_…) count as verified.
func (s *Sinks) Trust(secret string) error {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("webhook secret: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verifiers = append(s.verifiers, verifier)
	return nil
}

// Counts says what has come so far, and gives a channel that is closed when something more comes.
func (s *Sinks) Counts() (Counts, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := s.counts
	counts.ByType = make(map[string]int, len(s.counts.ByType))
	maps.Copy(counts.ByType, s.counts.ByType)
	return counts, s.changed
}

// Handler serves /webhooks and /sms.
func (s *Sinks) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", s.receiveWebhook)
	mux.HandleFunc("GET /webhooks", func(w http.ResponseWriter, _ *http.Request) { show(w, &s.mu, &s.hooks) })
	mux.HandleFunc("POST /sms", s.receiveSMS)
	mux.HandleFunc("GET /sms", func(w http.ResponseWriter, _ *http.Request) { show(w, &s.mu, &s.messages) })
	return mux
}

const maxSinkBody = 1 << 20

func (s *Sinks) receiveWebhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSinkBody))
	var envelope struct {
		Type string `json:"type"`
	}
	if err != nil || json.Unmarshal(body, &envelope) != nil {
		http.Error(w, "not a webhook", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	hook := ReceivedWebhook{
		WebhookID: r.Header.Get("Webhook-Id"), Traceparent: r.Header.Get("Traceparent"), ReceivedAt: s.now().UTC(), Body: body,
		Verified: slices.ContainsFunc(s.verifiers, func(v *standardwebhooks.Webhook) bool { return v.Verify(body, r.Header) == nil }),
	}
	s.hooks = remember(s.hooks, hook)
	s.counts.Webhooks++
	if hook.Verified {
		s.counts.Verified++
	}
	if !s.seen[hook.WebhookID] {
		s.seen[hook.WebhookID] = true
		s.counts.DistinctWebhooks++
		s.counts.ByType[envelope.Type]++
	}
	s.announce()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Sinks) receiveSMS(w http.ResponseWriter, r *http.Request) {
	var message ReceivedSMS
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSinkBody)).Decode(&message)
	if err != nil || message.To == "" || message.Ref == "" {
		http.Error(w, `{"code":400}`, http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	message.ReceivedAt = s.now().UTC()
	s.messages = remember(s.messages, message)
	s.counts.SMS++
	if ref := "sms:" + message.Ref; !s.seen[ref] {
		s.seen[ref] = true
		s.counts.DistinctSMS++
	}
	s.announce()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"code":0,"id":"sink-%d"}`, s.counts.SMS)
}

// announce wakes who waits in Counts. The caller holds the lock.
func (s *Sinks) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func remember[T any](all []T, one T) []T {
	if len(all) == 2*kept {
		all = append(all[:0], all[kept:]...)
	}
	return append(all, one)
}

func show[T any](w http.ResponseWriter, mu *sync.Mutex, all *[]T) {
	mu.Lock()
	newest := slices.Clone((*all)[max(0, len(*all)-kept):])
	mu.Unlock()
	slices.Reverse(newest)
	if newest == nil {
		newest = []T{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": newest}) //nolint:errchkjson // both kinds can be encoded; a reader may go away
}
