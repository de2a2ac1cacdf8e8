package sms

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// maxAnswer bounds what is read of an answer, in bytes. Gateways answer a few hundred.
const maxAnswer = 64 << 10

// maxRetryAfter bounds what a gateway may ask us to wait.
const maxRetryAfter = 15 * time.Minute

// answer is a gateway's response, as much of it as can be relied on.
type answer struct {
	status int
	body   []byte
	whole  bool // the body was read to its end
	json   bool // the body is JSON
	code   string
}

// read sorts a response: first what the description says is a success, then its lists of codes, then what HTTP says.
func (g *Gateway) read(response *http.Response, m Outgoing) Result {
	a := g.answer(response, m)
	if g.succeeded(a) {
		return Result{Outcome: Sent, ProviderMessageID: g.messageID(a, m)}
	}
	result := Result{Outcome: g.outcome(a), Code: a.code}
	if result.Code == "" {
		result.Code = "http_" + strconv.Itoa(a.status)
	}
	result.Detail = fmt.Sprintf("the gateway answered %d, code %s", a.status, result.Code)
	if result.Outcome == Throttled {
		result.RetryAfter = retryAfter(response.Header, g.now())
	}
	return result
}

func (g *Gateway) answer(response *http.Response, m Outgoing) answer {
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	a := answer{status: response.StatusCode, body: content, whole: err == nil && len(content) <= maxAnswer}
	a.json = a.whole && gjson.ValidBytes(content)
	if a.json && g.cfg.ErrorCodePath != "" {
		a.code = safe(gjson.GetBytes(content, g.cfg.ErrorCodePath), m, 64)
	}
	return a
}

func (g *Gateway) succeeded(a answer) bool {
	s := g.cfg.Success
	if a.status < s.Status[0] || a.status > s.Status[1] {
		return false
	}
	if s.Path == "" {
		return g.success == nil || a.whole && g.success.Match(a.body)
	}
	if !a.json {
		return false
	}
	found := gjson.GetBytes(a.body, s.Path)
	if g.success != nil {
		return found.Exists() && g.success.MatchString(found.String())
	}
	return found.Exists() && found.String() == s.Equals
}

func (g *Gateway) messageID(a answer, m Outgoing) string {
	if !a.json || g.cfg.MessageIDPath == "" {
		return ""
	}
	return safe(gjson.GetBytes(a.body, g.cfg.MessageIDPath), m, 128)
}

// outcome of an answer that is no success.
func (g *Gateway) outcome(a answer) Outcome {
	if outcome, listed := g.cfg.Codes.outcome(a.code); listed {
		return outcome
	}
	if outcome, listed := g.cfg.Codes.outcome(strconv.Itoa(a.status)); listed {
		return outcome
	}
	within := a.status >= g.cfg.Success.Status[0] && a.status <= g.cfg.Success.Status[1]
	switch {
	case within && (a.code != "" || a.json && g.cfg.Success.Path != "" && gjson.GetBytes(a.body, g.cfg.Success.Path).Exists()):
		return Rejected // it said so, in a code we were told nothing about
	case within:
		return Unknown // the status says yes, and nothing readable says no
	default:
		return outcomeOfStatus(a.status)
	}
}

// outcome looks a code up in the lists.
func (c GatewayCodes) outcome(code string) (Outcome, bool) {
	switch {
	case code == "":
		return "", false
	case slices.Contains(c.Final, code):
		return Rejected, true
	case slices.Contains(c.Throttled, code):
		return Throttled, true
	case slices.Contains(c.Temporary, code):
		return Temporary, true
	case slices.Contains(c.Unknown, code):
		return Unknown, true
	default:
		return "", false
	}
}

// outcomeOfStatus is what RFC 9110 §15 says of a status about a request that sends a message. A proxy's 502 or 504 says
// nothing about the server behind it, which may have taken the message over. Credentials and credit (401, 402, 403) are
// for the operator to repair, and worth another attempt.
func outcomeOfStatus(status int) Outcome {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Throttled
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return Unknown
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusLocked, http.StatusTooEarly:
		return Temporary
	}
	switch {
	case status >= 500:
		return Temporary
	case status < 300:
		return Unknown // a success that the description did not expect
	default:
		return Rejected
	}
}

// retryAfter reads the header Retry-After (RFC 9110 §10.2.3): seconds or a date. 0 when there is none.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, min(at.Sub(now), maxRetryAfter))
	}
	return 0
}

// safe makes a short name of what stands in an answer: one that is long, not printable or quotes the recipient's number
// becomes "".
func safe(found gjson.Result, m Outgoing, limit int) string {
	if found.IsObject() || found.IsArray() {
		return ""
	}
	s := found.String()
	if len(s) > limit || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	if digits := m.To.Digits(); len(digits) > 8 && strings.Contains(s, digits[len(digits)-8:]) {
		return ""
	}
	return s
}
