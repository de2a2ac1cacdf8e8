package sms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/vendbox/vendbox/internal/outbound"
)

// Gateway is a Provider that speaks to any gateway with an HTTP API, as a GatewayConfig describes it.
type Gateway struct {
	cfg     GatewayConfig
	url     url.URL // without its query
	query   query
	headers map[string]slots
	body    body // nil for GET
	success *regexp.Regexp
	client  *http.Client
	now     func() time.Time
}

// NewGateway checks a description and makes the provider. The error lists every problem, one a line.
func NewGateway(cfg GatewayConfig, getenv func(string) (string, bool)) (*Gateway, error) {
	cfg = cfg.withDefaults()
	r := &reader{getenv: getenv, problems: cfg.problems()}
	g := &Gateway{cfg: cfg, headers: map[string]slots{}, client: gatewayClient(), now: time.Now}
	used := g.readURL(r)
	g.readHeaders(r)
	if cfg.Method == http.MethodPost {
		var read []slots
		switch cfg.BodyFormat {
		case "form":
			g.body, read = r.form(cfg.Body)
		case "json":
			g.body, read = r.json(cfg.Body)
		}
		used = append(used, read...)
	}
	checkUsed(r, cfg, used)
	if cfg.Success.Matches != "" {
		var err error
		if g.success, err = regexp.Compile(cfg.Success.Matches); err != nil {
			r.sayf("success.matches: no regular expression")
		}
	}
	if len(r.problems) > 0 {
		return nil, fmt.Errorf("sms gateway:\n  %s", strings.Join(r.problems, "\n  "))
	}
	return g, nil
}

func (g *Gateway) readURL(r *reader) (used []slots) {
	u, err := url.Parse(g.cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.sayf("url: an absolute http or https URL")
		return nil
	}
	if u.User != nil {
		r.sayf("url: credentials belong into a header or the query, as ${NAME}")
	}
	if strings.ContainsAny(u.Host+u.Path+u.Fragment, "{}") {
		r.sayf("url: placeholders may stand in the query only")
	}
	g.query = r.query(u.RawQuery)
	for _, p := range g.query {
		used = append(used, p.value)
	}
	g.url = *u
	g.url.RawQuery, g.url.Fragment, g.url.User = "", "", nil
	return used
}

func (g *Gateway) readHeaders(r *reader) {
	for name, value := range g.cfg.Headers {
		where := "headers." + name
		if !httpguts.ValidHeaderFieldName(name) {
			r.sayf("%s: no name of a header", where)
		}
		if slices.Contains([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection"}, http.CanonicalHeaderKey(name)) {
			r.sayf("%s: is not yours to set", where)
		}
		read := r.read(where, value, "ref")
		if !httpguts.ValidHeaderFieldValue(read.fill(nil, asIs)) {
			r.sayf("%s: has characters that no header may have", where)
		}
		g.headers[name] = read
	}
}

// checkUsed holds that the request says what to send and to whom, and that {signature} has a value.
func checkUsed(r *reader, cfg GatewayConfig, used []slots) {
	uses := func(name string) bool {
		return slices.ContainsFunc(used, func(s slots) bool { return s.uses(name) })
	}
	if !uses("to") && !uses("to_digits") {
		r.sayf("{to} or {to_digits} stands nowhere")
	}
	if !uses("text") && !uses("template_ref") {
		r.sayf("{text} stands nowhere")
	}
	if uses("signature") && cfg.Signature == "" {
		r.sayf("signature: {signature} is used and empty")
	}
}

// gatewayClient makes requests once and only once: no redirects, no HTTP/2 (which repeats what a server says it did not
// process), and idle connections are dropped before the shortest usual server timeout (5 s), because a request written
// to a connection that the server has just closed is one whose outcome nobody knows.
func gatewayClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return outbound.Client(&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		IdleConnTimeout:        2 * time.Second,
		MaxIdleConnsPerHost:    100,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              protocols,
	})
}

// Name gives the configured name.
func (g *Gateway) Name() string { return g.cfg.Name }

// Timeout gives the configured timeout.
func (g *Gateway) Timeout() time.Duration { return time.Duration(g.cfg.Timeout) }

// Format prints the redacted description for every verb.
func (g *Gateway) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, g.cfg.redacted()) }

// LogValue gives the redacted description.
func (g *Gateway) LogValue() slog.Value { return g.cfg.LogValue() }

// Send makes one request. What was not written whole was not sent; what was written whole and not answered is unknown.
func (g *Gateway) Send(ctx context.Context, m Outgoing) Result {
	ctx, cancel := context.WithTimeout(ctx, g.Timeout())
	defer cancel()
	var progress progress
	ctx = httptrace.WithClientTrace(ctx, progress.trace())
	request, err := g.request(ctx, m)
	if err != nil {
		return Result{Outcome: Rejected, Code: "request_unbuildable", Detail: "the request could not be built"}
	}
	response, err := g.client.Do(request)
	if err != nil {
		return progress.unanswered(err)
	}
	defer response.Body.Close()
	return g.read(response, m)
}

func (g *Gateway) request(ctx context.Context, m Outgoing) (*http.Request, error) {
	values := map[string]string{
		"to": m.To.E164(), "to_digits": m.To.Digits(), "text": m.Text, "ref": m.Ref.String(),
		"signature": g.cfg.Signature, "template_ref": m.TemplateRef,
	}
	var content []byte
	if g.body != nil {
		var err error
		if content, err = g.body(values); err != nil {
			return nil, err
		}
	}
	u := g.url
	u.RawQuery = g.query.fill(values)
	// The reader is wrapped so that net/http cannot rewind it: it would repeat a GET, or a request with an
	// Idempotency-Key, by itself when a kept connection breaks after the request was written.
	request, err := http.NewRequestWithContext(ctx, g.cfg.Method, u.String(), io.NopCloser(bytes.NewReader(content)))
	if err != nil {
		return nil, err
	}
	request.ContentLength = int64(len(content))
	request.Header.Set("User-Agent", "vendbox")
	switch g.cfg.BodyFormat {
	case "form":
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case "json":
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range g.headers {
		request.Header.Set(name, value.fill(values, asIs))
	}
	return request, nil
}

// progress is how far the writing of a request has come. net/http reports it from another goroutine.
type progress struct{ begun, whole atomic.Bool }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		WroteHeaders: func() { p.begun.Store(true) }, // into a buffer: some of it may be on its way
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				p.whole.Store(true)
			}
		},
	}
}

// unanswered sorts a request without an answer. When writing failed the gateway has at most a part of the request, which
// is none. When time ran out while the last bytes were being written, nobody can tell. The error's own text is not used:
// it holds the URL and so, for GET, the message.
func (p *progress) unanswered(err error) Result {
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	switch {
	case timeout && p.begun.Load():
		return Result{Outcome: Unknown, Code: "answer_timeout", Detail: "the request was written and not answered in time"}
	case timeout:
		return Result{Outcome: Temporary, Code: "connect_timeout", Detail: "the gateway could not be reached in time"}
	case p.whole.Load():
		return Result{Outcome: Unknown, Code: "answer_lost", Detail: "the connection was lost after the request was written"}
	default:
		return Result{Outcome: Temporary, Code: "connect_failed", Detail: "the gateway could not be reached"}
	}
}
