package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// Headers that are the same on every answer. A header's values are a slice; these are shared, and nobody appends.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// ServeHTTP is the one way in: it names the request, follows its trace, routes it, and says in one log line what became
// of it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, started: time.Now()}
	x.ctx = exchangeContext{Context: r.Context(), x: x}
	x.requestID[0] = requestID(r.Header)
	h := w.Header()
	h["X-Request-Id"] = x.requestID[:]
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff

	span := s.startSpan(x, r)
	r = r.WithContext(&x.ctx) //nolint:contextcheck // it is the request's own, with the exchange
	x.req = r
	defer s.finish(x, span) //nolint:contextcheck // the exchange has it
	if !storable(r.URL) {
		s.fail(x, r, fault.New(fault.Malformed, "url_malformed"))
		return
	}
	s.mux.ServeHTTP(x, r)
	if x.unmatched {
		s.answerUnmatched(x) //nolint:contextcheck // the exchange has it
	}
}

// storable says whether a URL is well-formed and has nothing that is no text to Postgres: invalid UTF-8, or U+0000.
func storable(u *url.URL) bool {
	if strings.IndexByte(u.Path, 0) >= 0 || !utf8.ValidString(u.Path) {
		return false
	}
	if !strings.ContainsAny(u.RawQuery, "%;") {
		return utf8.ValidString(u.RawQuery)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return false
	}
	for name, values := range query {
		for _, text := range append(values, name) {
			if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
				return false
			}
		}
	}
	return true
}

// answerUnmatched replaces the mux's plain 404 and 405.
func (s *Server) answerUnmatched(x *exchange) {
	status, code := x.status, codeRouteNotFound
	if status == http.StatusMethodNotAllowed {
		code = codeMethodNotAllowed
	}
	p := newProblem(&x.ctx, status, code, nil)
	p.allow = x.Header()["Allow"]
	x.unmatched, x.mounted = false, true
	s.fail(x, x.req, p)
}

// finish recovers a panic, ends the span and writes the log line.
func (s *Server) finish(x *exchange, span trace.Span) {
	if p := recover(); p != nil {
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p)
		}
		s.log.ErrorContext(&x.ctx, "panic in a handler", "panic", p, "request_id", x.requestID[0], "stack", string(debug.Stack()))
		if x.status == 0 {
			s.fail(x, x.req, newProblem(&x.ctx, http.StatusInternalServerError, codeInternal, nil))
		} else {
			defer panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}
	if span != nil {
		s.endSpan(x, span)
	}
	elapsed := time.Since(x.started)
	s.metrics.observe(&x.ctx, x, elapsed)
	s.logRequest(x, elapsed)
}

// slow is how long a request takes that is logged even if nothing was wrong with it.
const slow = time.Second

func (s *Server) logRequest(x *exchange, elapsed time.Duration) {
	level := slog.LevelInfo
	switch {
	case x.status >= http.StatusInternalServerError:
		level = slog.LevelError
	case x.status >= http.StatusBadRequest || elapsed > slow && (x.op == nil || x.op.Class == quick):
		level = slog.LevelWarn
	case s.deps.AccessLog != AccessLogAll:
		return
	}
	if s.deps.AccessLog == AccessLogOff && level < slog.LevelError || !s.log.Enabled(&x.ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", x.req.Method),
		slog.String("route", x.route()),
		slog.Int("status", x.status),
		slog.Duration("duration", elapsed),
		slog.Int64("bytes", x.written),
		slog.String("request_id", x.requestID[0]),
	}
	if x.principal != nil {
		attrs = append(attrs, slog.String("key", x.principal.Prefix))
	}
	if x.failure != nil {
		attrs = append(attrs, slog.String("error", x.failure.Error()))
	}
	s.log.LogAttrs(&x.ctx, level, "request", attrs...)
}

// route is the pattern that matched: paths have ids, and ids have no end.
func (x *exchange) route() string {
	switch {
	case x.op != nil:
		return x.op.Path
	case x.req != nil && x.req.Pattern != "":
		return x.req.Pattern
	}
	return "unmatched"
}

// noted keeps an error for the log line and gives what the caller is told.
func noted(ctx context.Context, err error) *Problem {
	if x := exchangeOf(ctx); x != nil {
		x.failure = err
	}
	return problemOf(ctx, err)
}

// fail writes an error's answer. It is for handlers of handleHTTP; those of handle return their errors.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := noted(r.Context(), err)
	h := w.Header()
	maps.Copy(h, p.GetHeaders())
	h.Del("Content-Length")
	h.Set("Content-Type", problemContentType)
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = marshalJSON(w, p) // the client is gone, and the log line has it
	}
}

const maxRequestID = 64

// requestID takes the caller's if it is fit to be logged, and makes one otherwise.
func requestID(h http.Header) string {
	if given := h["X-Request-Id"]; len(given) == 1 && sane(given[0]) {
		return given[0]
	}
	var raw [8]byte
	for i, n := 0, rand.Uint64(); i < len(raw); i, n = i+1, n>>8 {
		raw[i] = byte(n)
	}
	var text [16]byte
	hex.Encode(text[:], raw[:])
	return string(text[:])
}

// sane says whether an id is short and of visible ASCII.
func sane(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// startSpan follows the caller's trace (W3C Trace Context). The span is nil when nothing is traced; then the caller's
// context is kept alone, so that events still carry it on.
func (s *Server) startSpan(x *exchange, r *http.Request) trace.Span {
	if len(r.Header["Traceparent"]) > 0 {
		//nolint:fatcontext // once for a request, and it ends with it
		x.ctx.Context = telemetry.Propagator.Extract(x.ctx.Context, propagation.HeaderCarrier(r.Header))
	}
	if s.tracer == nil {
		return nil
	}
	ctx, span := s.tracer.Start(x.ctx.Context, r.Method, trace.WithSpanKind(trace.SpanKindServer))
	x.ctx.Context = ctx
	return span
}

func (s *Server) endSpan(x *exchange, span trace.Span) {
	route := x.route()
	span.SetName(x.req.Method + " " + route)
	span.SetAttributes(
		attribute.String("http.request.method", x.req.Method),
		attribute.String("http.route", route),
		attribute.Int("http.response.status_code", x.status),
	)
	if x.status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
