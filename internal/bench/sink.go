package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// WebhookSink is a subscriber that counts what it is sent. It answers 204 to everything that has a webhook-id. Serve it
// on an address that an endpoint of the measured system names.
type WebhookSink struct {
	mu       sync.Mutex
	received map[string]int // deliveries by event type
	copies   map[string]int // deliveries by webhook-id
	distinct map[string]int // ids by event type
}

// maxWebhook bounds what is read of a delivery.
const maxWebhook = 1 << 20

// NewWebhookSink makes one.
func NewWebhookSink() *WebhookSink {
	return &WebhookSink{received: map[string]int{}, copies: map[string]int{}, distinct: map[string]int{}}
}

// ServeHTTP takes a delivery.
func (s *WebhookSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Webhook-Id")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxWebhook))
	eventType := typeOf(body)
	if err != nil || id == "" || eventType == "" {
		http.Error(w, "not a webhook", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.received[eventType]++
	s.copies[id]++
	if s.copies[id] == 1 {
		s.distinct[eventType]++
	}
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// typeOf reads the type, which vendbox writes first; parsing the rest would cost more than sending it.
func typeOf(body []byte) string {
	rest, ok := bytes.CutPrefix(body, []byte(`{"type":"`))
	if end := bytes.IndexByte(rest, '"'); ok && end > 0 {
		return string(rest[:end])
	}
	var message struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(body, &message) != nil {
		return ""
	}
	return message.Type
}

// Count is how many deliveries of an event type have come, and of how many different events.
func (s *WebhookSink) Count(eventType string) (received, distinct int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received[eventType], s.distinct[eventType]
}

// missing is how many of the ids have not come.
func (s *WebhookSink) missing(ids []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, id := range ids {
		if s.copies[id] == 0 {
			n++
		}
	}
	return n
}
