package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/live"
	"github.com/vendbox/vendbox/internal/ordering"
)

const (
	// heartbeatEvery keeps proxies from cutting a stream on which nothing happens, and finds out who is gone.
	heartbeatEvery = 15 * time.Second
	// messageTimeout is what a client has to take one message. Who does not read is not kept.
	messageTimeout = 10 * time.Second
	// watchLife ends a stream, so that keys and tokens are looked at again. Clients come back by themselves.
	watchLife = time.Hour
)

func (s *Server) registerOrdersWatch() {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Order](), true, "Order")
	handleHTTP(s, operation{
		Operation: huma.Operation{
			OperationID: "watch-order", Method: http.MethodGet, Path: "/v1/orders/{id}/watch", Tags: []string{tagOrders},
			Summary: "Watch an order",
			Description: "The order as it stands, and again after each change, as server-sent events: event order, data as get-order " +
				"answers, id the order's sequence. A client that comes back with Last-Event-ID is not sent again what it has seen. Of two " +
				"changes in quick succession the first may be left out. Comments keep the connection alive. The stream ends when the order " +
				"has come to its end (completed, refunded, or closed unpaid for a day), after an hour, and when the server stops; 204 " +
				"tells a client that has seen the end not to come back.\n\nWith `Upgrade: websocket` the same goes over a WebSocket, one " +
				"order a text message; it is closed with 1000 after the end and with 1001 or 1013 when the client should come back.\n\n" +
				"For an API key with the scope, or for the buyer with the order's access token.",
			Parameters: watchParams,
			Responses: map[string]*huma.Response{
				"200": {Description: "The stream.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: schema}}},
				"101": {Description: "The same over a WebSocket."},
				"204": {Description: "The order has come to its end, and the client has seen it."},
			},
			Errors: []int{
				http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusTooManyRequests,
			},
		},
		Auth: optionally(access.OrdersRead), Class: stream,
		Faults: []string{"order_not_found", "access_token_invalid", "api_key_missing", "watchers_full", "order_watchers_full"},
	}, s.watchOrder)
}

var watchParams = []*huma.Param{
	{Name: "id", In: "path", Required: true, Description: "The id.", Schema: &huma.Schema{Type: huma.TypeString, Format: "uuid"}},
	{Name: "Vendbox-Access-Token", In: "header", Description: "The order's access token.", Schema: &huma.Schema{Type: huma.TypeString}},
	{
		Name: "access_token", In: "query", Description: "The same, for a browser's EventSource and WebSocket, which cannot set headers.",
		Schema: &huma.Schema{Type: huma.TypeString},
	},
	{
		Name: "Last-Event-ID", In: "header", Description: "The sequence of the state that was seen last.", Example: "2",
		Schema: &huma.Schema{Type: huma.TypeString},
	},
	{
		Name: "last_event_id", In: "query", Description: "The same, for a browser's WebSocket.", Example: "2",
		Schema: &huma.Schema{Type: huma.TypeString},
	},
}

func (s *Server) watchOrder(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), watchLife)
	defer cancel()
	id, err := s.watchedOrder(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	watcher, order, err := s.deps.Live.Watch(ctx, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer watcher.Close()
	seen := lastSeen(r, order)
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		s.watchByWebSocket(ctx, w, r, watching{watcher, order, seen})
		return
	}
	if live.Ended(order, time.Now()) && seen == order.Sequence {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	out := &eventStream{w: w, control: http.NewResponseController(w), timeout: s.messages}
	_ = s.follow(ctx, out, watching{watcher, order, seen}) // whoever does not read any more needs no answer
}

// watchedOrder says which order the request may watch. Faults: those of the token, validation_failed.
func (s *Server) watchedOrder(r *http.Request) (uuid.UUID, error) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		p := newProblem(r.Context(), http.StatusUnprocessableEntity, codeValidationFailed, nil)
		p.Errors = []ProblemError{{Location: "path.id", Message: p.Title}}
		return id, p
	}
	if principalOf(r.Context()) != nil {
		return id, nil
	}
	return id, s.checkOrderToken(r.Context(), id, tokenOf(r.Header.Get("Vendbox-Access-Token"), r.URL.Query().Get("access_token")))
}

// lastSeen is the sequence the client has seen, 0 for none. One that the order has not reached is none of ours.
func lastSeen(r *http.Request, order *ordering.Order) int {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("last_event_id")
	}
	seen, err := strconv.Atoi(text)
	if err != nil || seen < 0 || seen > order.Sequence {
		return 0
	}
	return seen
}

// watching is an order being watched by a client that has seen some of it.
type watching struct {
	watcher *live.Watcher
	order   *ordering.Order
	seen    int
}

// outlet is how states reach a client: server-sent events, or a WebSocket.
type outlet interface {
	send(ctx context.Context, order *ordering.Order) error
	heartbeat(ctx context.Context) error
}

// follow sends the state, then each change, until the order has come to its end (nil), ctx ends, or the client is gone.
func (s *Server) follow(ctx context.Context, out outlet, w watching) error {
	order, fresh := w.order, w.seen < w.order.Sequence
	if !fresh { // the client waits for an answer all the same
		if err := out.heartbeat(ctx); err != nil {
			return err
		}
	}
	for {
		if fresh {
			if err := out.send(ctx, order); err != nil {
				return err
			}
		}
		if live.Ended(order, time.Now()) {
			return nil
		}
		waiting, cancel := context.WithTimeout(ctx, s.heartbeat)
		next, err := w.watcher.Next(waiting, order)
		cancel()
		switch {
		case err == nil:
			order, fresh = next, true
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		default:
			fresh = false
			if err := out.heartbeat(ctx); err != nil {
				return err
			}
		}
	}
}

// eventStream writes server-sent events (the HTML standard, §9.2).
type eventStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of each message
	buf     bytes.Buffer
}

func (e *eventStream) send(_ context.Context, order *ordering.Order) error {
	e.buf.Reset()
	e.buf.WriteString("id: " + strconv.Itoa(order.Sequence) + "\nevent: order\ndata: ")
	if err := marshalJSON(&e.buf, Order(order.View())); err != nil { // JSON has no line ends
		return err
	}
	e.buf.WriteString("\n\n")
	return e.flush(e.buf.Bytes())
}

func (e *eventStream) heartbeat(context.Context) error { return e.flush([]byte(": heartbeat\n\n")) }

// flush has a deadline for each message: the server's own would cut the stream, and none would keep who does not read.
func (e *eventStream) flush(message []byte) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(e.timeout)) // an error means a connection without deadlines
	if _, err := e.w.Write(message); err != nil {
		return err
	}
	return e.control.Flush()
}
