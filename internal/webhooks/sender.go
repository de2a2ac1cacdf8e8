package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"code.dny.dev/ssrf"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/outbound"
)

const (
	// maxKeptBody is how much of an answer is stored, in bytes.
	maxKeptBody = 4 << 10
	// maxDrained is how much more is read so that the connection can be used again.
	maxDrained = 64 << 10
	// maxHeaders bounds an answer's headers, in bytes.
	maxHeaders = 32 << 10
	maxError   = 500
	dialTime   = 10 * time.Second
)

// sender speaks HTTP.
type sender struct {
	client    *http.Client
	transport *http.Transport
	userAgent string
	timeout   time.Duration
	now       func() time.Time
	tracer    trace.Tracer
}

// answer is what came of one attempt.
type answer struct {
	at         time.Time
	took       time.Duration
	status     int    // 0 when there was none
	body       string // the beginning, valid UTF-8 without NUL
	problem    string // why there is no complete answer
	retryAfter time.Duration
}

func (a answer) succeeded() bool { return a.problem == "" && a.status >= 200 && a.status <= 299 }

// failure is for people: what was wrong with the answer.
func (a answer) failure() string {
	switch {
	case a.succeeded():
		return ""
	case a.problem != "":
		return a.problem
	case a.status >= 300 && a.status <= 399:
		return fmt.Sprintf("redirected with status %d; redirects are not followed", a.status)
	}
	return fmt.Sprintf("answered with status %d", a.status)
}

func newSender(cfg Config, guard *guard, deps Deps) *sender {
	dialer := &net.Dialer{Timeout: min(dialTime, cfg.Timeout), KeepAlive: 30 * time.Second, Control: guard.control}
	transport := &http.Transport{
		Proxy:                  nil, // never the environment's: it would dial for us, past the guard
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    min(dialTime, cfg.Timeout),
		MaxIdleConns:           4 * cfg.MaxWorkers,
		MaxIdleConnsPerHost:    cfg.MaxInFlight,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true,
	}
	return &sender{
		transport: transport, userAgent: "vendbox/" + cfg.Version, timeout: cfg.Timeout, now: deps.Now,
		tracer: deps.Tracing.Tracer("github.com/vendbox/vendbox/internal/webhooks"),
		client: outbound.Client(transport),
	}
}

func (s *sender) close() { s.transport.CloseIdleConnections() }

// send makes one attempt. ctx carries the span that the subscriber's become children of.
func (s *sender) send(ctx context.Context, l letter) answer {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	began := time.Now()
	a := answer{at: s.now().UTC()}
	s.exchange(ctx, l, &a)
	a.took = time.Since(began)
	return a
}

func (s *sender) exchange(ctx context.Context, l letter, a *answer) {
	req, err := s.request(ctx, l, a.at)
	if err != nil {
		a.problem = s.describe(err)
		return
	}
	resp, err := s.client.Do(req)
	if err != nil {
		a.problem = s.describe(err)
		return
	}
	defer resp.Body.Close()
	a.status = resp.StatusCode
	a.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), a.at)
	kept, err := io.ReadAll(io.LimitReader(resp.Body, maxKeptBody))
	a.body = clip(string(kept), maxKeptBody)
	if err != nil {
		a.problem = s.describe(err)
		return
	}
	// Past its bound an answer is of no interest, so neither is whether it ends.
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
}

func (s *sender) request(ctx context.Context, l letter, at time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(l.body))
	if err != nil {
		return nil, err
	}
	id := MessageID(l.eventID)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.userAgent)
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("Webhook-Signature", sign(l.keys, id, at, l.body))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(req.Header))
	return req, nil
}

// describe says what went wrong without the URL, which may hold a token.
func (s *sender) describe(err error) string {
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	var text string
	switch {
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork):
		text = "address refused: the host is not at a public address"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		text = fmt.Sprintf("timeout: no complete answer within %s", s.timeout)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		text = "connection closed before the answer was complete"
	case isCertificate(err):
		text = "TLS: " + err.Error()
	default:
		text = err.Error()
	}
	return clip(text, maxError)
}

func isTimeout(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout()
}

func isCertificate(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	return verification || authority
}
