package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/vendbox/vendbox/internal/ordering"
)

// watchByWebSocket is watchOrder's other way out (RFC 6455).
func (s *Server) watchByWebSocket(ctx context.Context, w http.ResponseWriter, r *http.Request, watched watching) {
	s.sockets.Add(1)
	defer s.sockets.Done()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		// A page of any origin may come: there is no cookie that a browser would add by itself, only the key or the token.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // after Close there is nothing left to close
	// Clients have nothing to say: what they send closes the connection. Reading also hears that they are gone. It has to
	// outlive ctx, or there would be no saying goodbye.
	gone := conn.CloseRead(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(gone, cancel)()
	out := &socket{conn: conn, timeout: s.messages}
	switch err := s.follow(ctx, out, watched); {
	case err == nil:
		_ = conn.Close(websocket.StatusNormalClosure, "the order has come to its end")
	case s.stopping.Err() != nil:
		_ = conn.Close(websocket.StatusGoingAway, "the server is shutting down")
	case ctx.Err() != nil:
		_ = conn.Close(websocket.StatusTryAgainLater, "come back")
	}
}

// socket writes to a WebSocket.
type socket struct {
	conn    *websocket.Conn
	timeout time.Duration // of each message
	buf     bytes.Buffer
}

func (s *socket) send(ctx context.Context, order *ordering.Order) error {
	s.buf.Reset()
	if err := marshalJSON(&s.buf, Order(order.View())); err != nil {
		return err
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, s.buf.Bytes())
}

// heartbeat wants an answer.
func (s *socket) heartbeat(ctx context.Context) error {
	answered := make(chan error, 1)
	go func() {
		ctx, cancel := s.bounded(ctx)
		defer cancel()
		answered <- s.conn.Ping(ctx)
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bounded is the context of one message. A write whose context ends cuts the connection, and the server's stop would do so to whoever
// is being written to just then, without a goodbye.
func (s *socket) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
}
