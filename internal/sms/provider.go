package sms

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/contact"
)

// Provider hands messages to whoever delivers them. Every implementation passes providertest.Run.
type Provider interface {
	// Name tells providers apart in the ledger and in logs: [a-z0-9_-], at most 32 characters.
	Name() string
	// Timeout bounds a Send.
	Timeout() time.Duration
	// Send hands one message over and says what is known of it afterwards. It returns within Timeout, whatever the other
	// side does, and never panics. Nothing in the result but ProviderMessageID comes from the other side unchecked.
	Send(ctx context.Context, m Outgoing) Result
}

// Outgoing is a message on its way to a provider.
type Outgoing struct {
	// Ref is the message's id, the same on every attempt: providers that can recognise repeats do so by it.
	Ref uuid.UUID
	To  contact.Phone
	// Text is the whole message.
	Text string
	// TemplateRef is the provider's own id of an approved text, "" for none.
	TemplateRef string
}

// Outcome says what is known after a Send, and so what may happen next.
type Outcome string

// The outcomes.
const (
	// Sent: the provider has taken it over.
	Sent Outcome = "sent"
	// Rejected: it was refused and would be again (no such number, an opt-out, a bad request).
	Rejected Outcome = "rejected"
	// Throttled: it was refused for now; the next attempt costs nothing but time.
	Throttled Outcome = "throttled"
	// Temporary: it certainly was not taken over, and a later attempt may succeed.
	Temporary Outcome = "temporary"
	// Unknown: it may have been taken over. Sending it again may deliver it twice.
	Unknown Outcome = "unknown"
)

// Result is what became of one Send.
type Result struct {
	Outcome Outcome
	// ProviderMessageID is the provider's name for the message, "" when it gave none. Only with Sent.
	ProviderMessageID string
	// Code is the provider's or our own short name of what went wrong.
	Code string
	// Detail is our own sentence about it. It never quotes the other side, the number or the text.
	Detail string
	// RetryAfter is how long the provider asked us to wait, 0 when it did not say. Only with Throttled.
	RetryAfter time.Duration
}
