package ordering

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// hashedRequest is what two requests must have in common to be the same. Its form is stored, as a hash, with every
// order that has an idempotency key: a new field must be omitempty, and none may be renamed or moved, or repetitions
// across an upgrade are refused. TestRequestHashIsStable holds it.
type hashedRequest struct {
	Lines    []hashedLine    `json:"lines"`
	Phone    string          `json:"phone,omitempty"`
	Email    string          `json:"email,omitempty"`
	Locale   string          `json:"locale,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	ClientIP string          `json:"client_ip,omitempty"`
	Seconds  int64           `json:"expires_in,omitempty"`
}

type hashedLine struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
	Price    *Money `json:"price,omitempty"`
}

// hashRequest makes the hash: SHA-256 over the request's JSON, in which white space does not count.
func hashRequest(r Request) ([]byte, error) {
	h := hashedRequest{
		Lines: make([]hashedLine, len(r.Lines)), Phone: r.Phone, Email: r.Email, Locale: r.Locale, Metadata: r.Metadata, ClientIP: r.ClientIP,
		Seconds: int64(r.ExpiresIn.Seconds()),
	}
	for i, line := range r.Lines {
		h.Lines[i] = hashedLine(line)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("ordering: hash request: %w", err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}
