package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/trace"
)

// Server is the API. It is an http.Handler by itself.
type Server struct {
	deps     Deps
	log      *slog.Logger
	mux      *http.ServeMux
	api      huma.API
	tracer   trace.Tracer
	metrics  *metrics
	health   *health
	draining atomic.Bool
	stopping context.Context //nolint:containedctx // it ends the streams; see Serve
	stop     context.CancelFunc
	sockets  sync.WaitGroup // WebSockets, which http.Server does not wait for
	closers  []func()

	heartbeat, messages time.Duration // heartbeatEvery and messageTimeout, but in tests
}

const (
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
)

// New makes the server and all its routes. With zero Deps it serves the documentation and answers nothing else.
func New(deps Deps) *Server {
	configureHuma()
	deps = deps.withDefaults()
	s := &Server{deps: deps, log: deps.Log, mux: http.NewServeMux(), heartbeat: heartbeatEvery, messages: messageTimeout}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if deps.Tracing != nil {
		s.tracer = deps.Tracing.Tracer("github.com/vendbox/vendbox/internal/httpapi")
	}
	var err error
	if s.metrics, err = newMetrics(deps.Metering); err != nil {
		s.log.Error("no HTTP metrics", "error", err)
		s.metrics = &metrics{}
	}
	s.api = huma.NewAPI(description(deps), adapter{s})
	s.routes()
	return s
}

// Handler is the server as a handler, for tests and for those who bring their own http.Server.
func (s *Server) Handler() http.Handler { return s }

// Mount serves a handler of another room (the console, metrics) under a mux pattern. It gets a request id and a log
// line, no authentication and no deadline.
func (s *Server) Mount(pattern string, h http.Handler) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if x := exchangeOf(r.Context()); x != nil {
			x.mounted = true
		}
		w.Header().Del("Cache-Control")
		h.ServeHTTP(w, r)
	})
}

// onClose registers what has to end after the last request, such as a groupcommit.Group.
func (s *Server) onClose(fn func()) { s.closers = append(s.closers, fn) }

// Serve accepts connections until ctx ends. Then /readyz fails, no more connections are accepted, the contexts of
// streams end, and what else is in flight is let finish, for as long as grace. It returns nil after a clean end. It
// closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener, grace time.Duration) error {
	hs := s.httpServer()
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(listener) }()
	select {
	case err := <-failed:
		s.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	s.stop()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := hs.Shutdown(end)
	if err == nil {
		err = s.awaitSockets(end)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("requests were still running after %s: %w", grace, errors.Join(err, hs.Close()))
	}
	s.Close()
	return err
}

// awaitSockets lets WebSockets say goodbye.
func (s *Server) awaitSockets(ctx context.Context) error {
	gone := make(chan struct{})
	go func() {
		s.sockets.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Draining says whether Serve is ending.
func (s *Server) Draining() bool { return s.draining.Load() }

// Close ends what the server started by itself. Serve calls it; call it after using Handler.
func (s *Server) Close() {
	s.stop()
	for _, fn := range s.closers {
		fn()
	}
	s.closers = nil
}

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes - 4096, // net/http allows 4 KiB more than it is told
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
