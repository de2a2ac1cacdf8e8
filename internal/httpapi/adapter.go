package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// adapter puts huma's operations on the server's mux, as humago does, with the door's own work in between: it is the
// only middleware.
type adapter struct{ s *Server }

// Handle is what huma registers an operation with.
func (a adapter) Handle(described *huma.Operation, next func(huma.Context)) {
	op, ok := described.Metadata[operationKey].(*operation)
	if !ok {
		panic("httpapi: " + described.Path + " was not registered with handle or handleHTTP")
	}
	a.s.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		x.op = op
		defer a.s.limit(x, op.Class)()
		if err := a.s.authenticate(r.Context(), x, op.Auth); err != nil {
			a.s.fail(x, r, err)
			return
		}
		if encoding := r.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
			a.s.fail(x, r, newProblem(r.Context(), http.StatusUnsupportedMediaType, codeUnsupportedMediaType, nil))
			return
		}
		next(humago.NewContext(described, r, x))
	})
}

// ServeHTTP is what huma's tests call; the door is Server's own.
func (a adapter) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.s.ServeHTTP(w, r) }

// limit gives the context that handlers see its end: a deadline, or for a stream the end of the server. Other classes
// than quick leave the http.Server's own limits behind. What it returns has to be called in the end.
func (s *Server) limit(x *exchange, c class) context.CancelFunc {
	ctx, cancel := x.ctx.Context, context.CancelFunc(nil)
	switch c {
	case quick:
		ctx, cancel = context.WithTimeout(ctx, quickTimeout)
	case upload:
		ctx, cancel = context.WithTimeout(ctx, uploadTimeout)
		x.setDeadlines(x.started.Add(uploadTimeout))
	case stream:
		ctx, cancel = context.WithCancel(ctx)
		unhook := context.AfterFunc(s.stopping, cancel)
		end := cancel
		cancel = func() { unhook(); end() }
		x.setDeadlines(time.Time{})
	}
	x.ctx.Context = ctx //nolint:fatcontext // once for a request, and it ends with it
	return cancel
}

// setDeadlines replaces those of the connection. An error means one without deadlines, as tests have.
func (x *exchange) setDeadlines(deadline time.Time) {
	control := http.NewResponseController(x.ResponseWriter)
	_ = control.SetReadDeadline(deadline)
	_ = control.SetWriteDeadline(deadline)
}
