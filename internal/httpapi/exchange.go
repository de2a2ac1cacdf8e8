package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/vendbox/vendbox/internal/access"
)

// exchange is what the door knows of one request and its answer. It is the ResponseWriter that handlers see, and holds
// the context they see, so that a request costs one allocation for all of it.
type exchange struct {
	http.ResponseWriter

	ctx exchangeContext
	req *http.Request

	started   time.Time
	requestID [1]string // a header's value without a slice of its own
	principal *access.Principal
	op        *operation // nil until a route matched
	failure   error      // what an answer of 4xx or 5xx came from, for the log

	status  int
	written int64
	// unmatched is set when the mux had no route and began to answer in plain text; the door answers in its place.
	unmatched bool
	mounted   bool // answered by a handler that is not ours
}

// exchangeContext is the request's context and the way back to its exchange.
type exchangeContext struct {
	context.Context //nolint:containedctx // it is a context

	x *exchange
}

type exchangeKey struct{}

// Value gives the exchange for its key.
func (c *exchangeContext) Value(key any) any {
	if _, ok := key.(exchangeKey); ok {
		return c.x
	}
	return c.Context.Value(key)
}

// exchangeOf finds the exchange of a request's context; nil outside of a request.
func exchangeOf(ctx context.Context) *exchange {
	if c, ok := ctx.(*exchangeContext); ok {
		return c.x
	}
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// principalOf gives who the request comes from; nil on public operations, and on optional ones without a key.
func principalOf(ctx context.Context) *access.Principal {
	if x := exchangeOf(ctx); x != nil {
		return x.principal
	}
	return nil
}

// WriteHeader notes the status. It holds back the mux's own 404 and 405.
func (x *exchange) WriteHeader(status int) {
	if x.op == nil && !x.mounted && (status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		x.unmatched = true
		x.status = status
		return
	}
	if x.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (x *exchange) Write(p []byte) (int, error) {
	if x.unmatched {
		return len(p), nil
	}
	if x.status == 0 {
		x.status = http.StatusOK
	}
	n, err := x.ResponseWriter.Write(p)
	x.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController through to flush, to hijack and to set deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// requestIDOf gives the request's id, for records; empty outside of a request.
func requestIDOf(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.requestID[0]
	}
	return ""
}
