package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// MessageID is the webhook-id: the same for every endpoint and every repeat of an event.
func MessageID(eventID uuid.UUID) string { return "msg_" + eventID.String() }

// body is what is sent and signed. It is made from the stored event alone (jsonb has one text for one value), in a
// fixed order, so every repeat has the same bytes.
func body(eventType string, occurredAt time.Time, payload []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(payload) + 128)
	quoted, err := json.Marshal(eventType)
	if err != nil {
		return nil, fmt.Errorf("webhooks: event type: %w", err)
	}
	b.WriteString(`{"type":`)
	b.Write(quoted)
	b.WriteString(`,"timestamp":"`)
	b.WriteString(occurredAt.UTC().Format(time.RFC3339Nano))
	b.WriteString(`","data":`)
	if err := json.Compact(&b, payload); err != nil {
		return nil, fmt.Errorf("webhooks: payload: %w", err)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
