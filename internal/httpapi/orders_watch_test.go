package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/live"
)

// newLiveShop is newShop with a hub that looks after watched orders all the time: no relay runs here that would tell it.
func newLiveShop(t *testing.T, cfg live.Config) *shop {
	t.Helper()
	s := newShop(t)
	cfg.Pool = s.pool
	if cfg.Recheck == 0 {
		cfg.Recheck = 10 * time.Millisecond
	}
	hub := live.New(cfg)
	t.Cleanup(hub.Close)
	s.deps.Live = hub
	return s
}

// sse is an open event stream.
type sse struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
}

func (s *shop) watch(path string, header ...string) *sse {
	s.t.Helper()
	return openSSE(s.t, s.url+path, header...)
}

func openSSE(t *testing.T, url string, header ...string) *sse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a thousand are opened one after the other
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return &sse{t: t, response: response, lines: bufio.NewScanner(response.Body)}
}

// next gives the next event, or false at the end of the stream. Comments are passed over.
func (e *sse) next() (id int, data string, ok bool) {
	e.t.Helper()
	for e.lines.Scan() {
		name, value, _ := strings.Cut(e.lines.Text(), ": ")
		switch name {
		case "id":
			var err error
			id, err = strconv.Atoi(value)
			require.NoError(e.t, err)
		case "event":
			require.Equal(e.t, "order", value)
		case "data":
			data = value
		}
		if e.lines.Text() == "" && data != "" {
			return id, data, true
		}
	}
	return 0, "", false
}

// order is next with a status.
func (e *sse) order(status string) Order {
	e.t.Helper()
	id, data, ok := e.next()
	require.True(e.t, ok, "the stream has ended: %v", e.lines.Err())
	var order Order
	require.NoError(e.t, json.Unmarshal([]byte(data), &order))
	require.Equal(e.t, status, order.Status)
	require.Equal(e.t, order.Sequence, id)
	return order
}

func watchPath(id uuid.UUID) string { return "/v1/orders/" + id.String() + "/watch" }

func TestAnOrderIsWatchedToItsEnd(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	placed, _ := s.place(oneA)
	stream := s.watch(watchPath(placed.ID)+"?access_token="+placed.AccessToken, "Accept", "text/event-stream")
	require.Equal(t, http.StatusOK, stream.response.StatusCode)
	require.Equal(t, "text/event-stream", stream.response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", stream.response.Header.Get("Cache-Control"))
	_, data, ok := stream.next()
	require.True(t, ok)
	require.JSONEq(t, string(s.as("orders:read", "GET", "/v1/orders/"+placed.ID.String(), "").body), data)
	s.pay(placed.ID)
	paid := stream.order("processing")
	require.Equal(t, "paid", paid.PaymentStatus)
	s.deliver(placed.ID)
	done := stream.order("completed")
	_, _, ok = stream.next()
	require.False(t, ok, "the order has come to its end")
	require.NoError(t, stream.lines.Err())

	// Who comes back is sent what is new, or told not to come again.
	byKey := []string{"Authorization", "Bearer orders:read"}
	again := s.watch(watchPath(placed.ID), append(byKey, "Last-Event-ID", strconv.Itoa(paid.Sequence))...)
	require.Equal(t, done.Sequence, again.order("completed").Sequence)
	again = s.watch(watchPath(placed.ID), append(byKey, "Last-Event-ID", strconv.Itoa(done.Sequence))...)
	require.Equal(t, http.StatusNoContent, again.response.StatusCode)
	for _, nonsense := range []string{"x", "-1", "99"} {
		again = s.watch(watchPath(placed.ID), append(byKey, "Last-Event-ID", nonsense)...)
		require.Equal(t, done.Sequence, again.order("completed").Sequence)
	}
	require.NotContains(t, s.log.String(), placed.AccessToken)
}

func TestWhatWasSeenIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	placed, _ := s.place(oneA)
	stream := s.watch(watchPath(placed.ID), "Vendbox-Access-Token", placed.AccessToken, "Last-Event-ID", "1")
	require.True(t, stream.lines.Scan())
	require.Equal(t, ": heartbeat", stream.lines.Text(), "the stream is open")
	s.pay(placed.ID)
	stream.order("processing")
}

func TestOrdersAreWatchedByNobodyElse(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{MaxWatchers: 1})
	placed, _ := s.place(oneA)
	other, _ := s.place(oneA)
	path := watchPath(placed.ID)
	s.do("GET", path, "").problem(401, "api_key_missing")
	s.as("orders:write", "GET", path, "").problem(403, "scope_missing")
	s.do("GET", path+"?access_token="+other.AccessToken, "").problem(401, "access_token_invalid")
	s.do("GET", path+"?access_token=x", "").problem(401, "access_token_invalid")
	s.as("orders:read", "GET", watchPath(uuid.New()), "").problem(404, "order_not_found")
	s.as("orders:read", "GET", "/v1/orders/x/watch", "").problem(422, "validation_failed")
	s.watch(path, "Vendbox-Access-Token", placed.AccessToken).order("pending_payment")
	full := s.as("orders:read", "GET", path, "")
	full.problem(503, "watchers_full")
	require.NotEmpty(t, full.Header.Get("Retry-After"))
}

func TestASilentStreamHasAHeartbeat(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	s.heartbeat = 5 * time.Millisecond
	placed, _ := s.place(oneA)
	stream := s.watch(watchPath(placed.ID), "Vendbox-Access-Token", placed.AccessToken)
	stream.order("pending_payment")
	beats := 0
	for beats < 3 && stream.lines.Scan() {
		if stream.lines.Text() == ": heartbeat" {
			beats++
		}
	}
	require.Equal(t, 3, beats)
}

// The server's own write timeout is for answers, and would cut a stream after a minute.
func TestAStreamOutlivesTheWriteTimeout(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	hs := s.httpServer()
	hs.WriteTimeout, hs.ReadTimeout = 50*time.Millisecond, 50*time.Millisecond
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = hs.Serve(listener) }()
	t.Cleanup(func() { hs.Close() })
	s.heartbeat = 40 * time.Millisecond
	placed, _ := s.place(oneA)
	stream := openSSE(t, "http://"+listener.Addr().String()+watchPath(placed.ID), "Vendbox-Access-Token", placed.AccessToken)
	stream.order("pending_payment")
	for range 10 { // lines: five heartbeats, 200 ms
		require.True(t, stream.lines.Scan(), stream.lines.Err())
	}
	s.pay(placed.ID)
	stream.order("processing")
}

// A client that does not read holds up the stop of nobody, and is let go when its message's time is over.
func TestWhoDoesNotReadIsLetGo(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	s.messages = 50 * time.Millisecond
	s.heartbeat = time.Microsecond // fills what lies between us soon
	placed, _ := s.place(oneA)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nVendbox-Access-Token: %s\r\n\r\n", watchPath(placed.ID), placed.AccessToken)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.deps.Live.Watchers() == 1 }, 30*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return s.deps.Live.Watchers() == 0 }, 60*time.Second, 5*time.Millisecond)
}

func TestStreamsOfOrdersEndWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	placed, _ := s.place(oneA)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, time.Minute) }()
	url := "http://" + listener.Addr().String() + watchPath(placed.ID) + "?access_token=" + placed.AccessToken
	stream := openSSE(t, url)
	stream.order("pending_payment")
	conns := make([]*websocket.Conn, 20)
	for i := range conns {
		conns[i] = dialOrder(t, url)
		readOrder(t, conns[i], "pending_payment")
	}
	stop()
	_, _, ok := stream.next()
	require.False(t, ok)
	require.NoError(t, stream.lines.Err(), "ended, not cut")
	for _, conn := range conns {
		_, _, err = conn.Read(t.Context())
		require.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err), err)
	}
	require.NoError(t, <-served)
}

func dialOrder(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://shop.example"}}})
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func readOrder(t *testing.T, conn *websocket.Conn, status string) Order {
	t.Helper()
	kind, text, err := conn.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageText, kind)
	var order Order
	require.NoError(t, json.Unmarshal(text, &order))
	require.Equal(t, status, order.Status)
	return order
}

func TestAnOrderIsWatchedOverAWebSocket(t *testing.T) {
	t.Parallel()
	s := newLiveShop(t, live.Config{})
	s.heartbeat = 5 * time.Millisecond
	placed, _ := s.place(oneA)
	url := s.url + watchPath(placed.ID) + "?access_token=" + placed.AccessToken
	conn := dialOrder(t, url)
	readOrder(t, conn, "pending_payment")
	s.pay(placed.ID)
	paid := readOrder(t, conn, "processing")
	s.deliver(placed.ID)
	readOrder(t, conn, "completed")
	_, _, err := conn.Read(t.Context())
	require.Equal(t, websocket.StatusNormalClosure, websocket.CloseStatus(err), err)

	conn = dialOrder(t, url+"&last_event_id="+strconv.Itoa(paid.Sequence))
	readOrder(t, conn, "completed")
	_, response, err := websocket.Dial(t.Context(), s.url+watchPath(placed.ID)+"?access_token=x", nil)
	require.Error(t, err)
	require.Equal(t, http.StatusUnauthorized, response.StatusCode)
	require.NotContains(t, s.log.String(), placed.AccessToken)
}

// A thousand buyers of as many orders, on one process and real sockets.
func TestAThousandStreams(t *testing.T) {
	t.Parallel()
	const n = 1000
	s := newLiveShop(t, live.Config{})
	s.as("admin", "POST", "/v1/products", `{"sku":"c","name":"C","kind":"counted","price":{"amount":1,"currency":"CNY"}}`).into(201, new(any))
	s.as("admin", "POST", "/v1/products/c/stock", `{"delta":1000,"reason":"test"}`).into(200, new(any))
	streams := make([]*sse, 0, n)
	for range n / 500 {
		member := `{"items":[{"sku":"c","quantity":1}]}`
		var batch listBody[batchResult]
		s.as("admin", "POST", "/v1/orders/batch", `{"orders":[`+strings.Repeat(member+",", 499)+member+`]}`).into(200, &batch)
		for _, result := range batch.Data {
			stream := s.watch(watchPath(result.Order.ID) + "?access_token=" + result.Order.AccessToken)
			stream.order("pending_payment")
			streams = append(streams, stream)
		}
	}
	require.Equal(t, n, s.deps.Live.Watchers())
	_, err := s.pool.Exec(t.Context(), `update orders
		set status = 'canceled', sequence = sequence + 1, closed_at = now() - interval '25 hours'`)
	require.NoError(t, err)
	var all sync.WaitGroup
	for _, stream := range streams {
		all.Go(func() {
			stream.order("canceled")
			_, _, more := stream.next()
			require.False(t, more)
		})
	}
	all.Wait()
}
