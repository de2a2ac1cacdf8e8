// Package providertest holds what every sms.Provider has to keep, as one suite that runs over each of them.
package providertest

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/sms"
)

// Subject is a provider and the far side that it speaks to, one for each test.
type Subject struct {
	Provider sms.Provider
	// Received lists what the far side was given under a reference, in order.
	Received func(ref uuid.UUID) []Message
	// Misbehave makes the far side act so from now on.
	Misbehave func(Mode)
	// Requests counts what reached the far side. nil where it cannot be counted.
	Requests func() int
}

// Message is what the far side was given.
type Message struct{ To, Text string }

// Mode is a way for the far side to misbehave.
type Mode string

// The modes.
const (
	ErrorCode  Mode = "200 with an error code"
	Failing    Mode = "500"
	Throttling Mode = "429 with Retry-After: 7"
	BadRequest Mode = "400"
	BadProxy   Mode = "502"
	Redirect   Mode = "307 to itself"
	Hanging    Mode = "never answers"
	Trickling  Mode = "200 and a body that never ends"
	Dropping   Mode = "closes the connection after reading"
	Truncating Mode = "closes the connection inside the body"
	Garbage    Mode = "200 with garbage"
	NotHTTP    Mode = "answers something that is not HTTP"
	Huge       Mode = "200 with 10 MB"
	Refusing   Mode = "refuses connections"
)

// expected is the only right outcome for each mode.
var expected = map[Mode]sms.Outcome{
	ErrorCode: sms.Rejected, Failing: sms.Temporary, Throttling: sms.Throttled, BadRequest: sms.Rejected,
	BadProxy: sms.Unknown, Redirect: sms.Rejected, Hanging: sms.Unknown, Trickling: sms.Unknown, Dropping: sms.Unknown,
	Truncating: sms.Unknown, Garbage: sms.Unknown, NotHTTP: sms.Unknown, Huge: sms.Unknown, Refusing: sms.Temporary,
}

// slack is what a test machine may add to a provider's timeout.
const slack = 3 * time.Second

const number = "+8613800138000"

// Hostile are texts that break out of badly escaped requests.
var hostile = []string{
	"【vendbox】您的订单 261121-7K3M9X 已发货 🎁",
	`a&to=%2B8613900139000&text=b=c+d%20e;f#g?h`,
	`","to":"+8613900139000","x":"\" \u0022 \`,
	"line one\nline two\ttab",
	`{text} {ref} ${HOME} {{url}} %s %d <b>&amp;</b>`,
	strings.Repeat("长", 1000),
}

// Modes are all the ways there are.
func Modes() []Mode { return slices.Sorted(maps.Keys(expected)) }

// Run runs the suite. setup makes a subject for each test; modes are those that can happen to the provider.
func Run(t *testing.T, setup func(t *testing.T) Subject, modes []Mode) {
	t.Helper()
	t.Run("sends what it is given", func(t *testing.T) { t.Parallel(); sends(t, setup(t)) })
	t.Run("says who it is", func(t *testing.T) { t.Parallel(); introduces(t, setup(t)) })
	t.Run("sends from many goroutines", func(t *testing.T) { t.Parallel(); sendsConcurrently(t, setup(t)) })
	for _, mode := range modes {
		t.Run("far side "+string(mode), func(t *testing.T) { t.Parallel(); survives(t, setup(t), mode) })
	}
}

func outgoing(t *testing.T, text string) sms.Outgoing {
	t.Helper()
	to, err := contact.ParsePhone(number, "")
	require.NoError(t, err)
	return sms.Outgoing{Ref: uuid.Must(uuid.NewV7()), To: to, Text: text, TemplateRef: "T-1"}
}

func sends(t *testing.T, s Subject) {
	t.Helper()
	for _, text := range hostile {
		m := outgoing(t, text)
		result := s.Provider.Send(t.Context(), m)
		require.Equal(t, sms.Sent, result.Outcome, "%s: %+v", text, result)
		require.NotEmpty(t, result.ProviderMessageID)
		require.Equal(t, []Message{{To: number, Text: text}}, s.Received(m.Ref))
	}
}

func introduces(t *testing.T, s Subject) {
	t.Helper()
	require.Regexp(t, `^[a-z0-9][a-z0-9_-]{0,31}$`, s.Provider.Name())
	require.Positive(t, s.Provider.Timeout())
	require.LessOrEqual(t, s.Provider.Timeout(), time.Minute)
}

func sendsConcurrently(t *testing.T, s Subject) {
	t.Helper()
	const n = 50
	messages := make([]sms.Outgoing, n)
	results := make([]sms.Result, n)
	var wg sync.WaitGroup
	for i := range n {
		messages[i] = outgoing(t, "message "+strings.Repeat("x", i))
		wg.Go(func() { results[i] = s.Provider.Send(t.Context(), messages[i]) })
	}
	wg.Wait()
	ids := map[string]bool{}
	for i, m := range messages {
		require.Equal(t, sms.Sent, results[i].Outcome, "%+v", results[i])
		require.Equal(t, []Message{{To: number, Text: m.Text}}, s.Received(m.Ref))
		ids[results[i].ProviderMessageID] = true
	}
	require.Len(t, ids, n, "each message has an id of its own")
}

func survives(t *testing.T, s Subject, mode Mode) {
	t.Helper()
	// A kept connection is the harder case: net/http repeats some requests on it by itself. Only refusing is about new
	// connections: a request on one that has just been closed is rightly unknown.
	if mode != Refusing {
		warm := s.Provider.Send(t.Context(), outgoing(t, "warm"))
		require.Equal(t, sms.Sent, warm.Outcome, "%+v", warm)
	}
	s.Misbehave(mode)
	before := 0
	if s.Requests != nil {
		before = s.Requests()
	}
	const text = "the-secret-text"
	began := time.Now()
	result := s.Provider.Send(t.Context(), outgoing(t, text))
	require.Less(t, time.Since(began), s.Provider.Timeout()+slack)
	require.Equal(t, expected[mode], result.Outcome, "%+v", result)
	require.NotEmpty(t, result.Code)
	require.NotEmpty(t, result.Detail)
	require.Empty(t, result.ProviderMessageID)
	for _, said := range []string{result.Code, result.Detail} {
		require.NotContains(t, said, number[1:])
		require.NotContains(t, said, text)
	}
	if mode == Throttling {
		require.Equal(t, 7*time.Second, result.RetryAfter)
	}
	if s.Requests != nil {
		require.LessOrEqual(t, s.Requests()-before, 1, "one Send is at most one request")
	}
}
