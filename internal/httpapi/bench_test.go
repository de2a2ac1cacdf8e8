package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
)

// benchOrder is an operation as heavy as placing an order, without the order.
type benchOrder struct {
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255"`
	Body           struct {
		Items []struct {
			SKU      string `json:"sku" minLength:"1" maxLength:"64"`
			Quantity int    `json:"quantity" minimum:"1" maximum:"1000"`
		} `json:"items" minItems:"1" maxItems:"100"`
		Contact struct {
			Phone string `json:"phone,omitempty" maxLength:"20"`
			Email string `json:"email,omitempty" format:"email" maxLength:"254"`
		} `json:"contact"`
		Locale   string            `json:"locale,omitempty" enum:"en,zh"`
		Metadata map[string]string `json:"metadata,omitempty"`
	}
}

type benchOrderOutput struct {
	Body struct {
		ID            uuid.UUID         `json:"id"`
		Number        string            `json:"number"`
		Status        string            `json:"status"`
		PaymentStatus string            `json:"payment_status"`
		Items         []benchItem       `json:"items"`
		Total         money             `json:"total"`
		Metadata      map[string]string `json:"metadata"`
		PlacedAt      time.Time         `json:"placed_at"`
		AccessToken   string            `json:"access_token"`
	}
}

type benchItem struct {
	Line      int    `json:"line"`
	SKU       string `json:"sku"`
	Quantity  int    `json:"quantity"`
	UnitPrice money  `json:"unit_price"`
}

const benchBody = `{"items":[{"sku":"steam-50","quantity":1}],"contact":{"phone":"+8613800138000","email":"a@example.com"},` +
	`"locale":"zh","metadata":{"channel":"web"}}`

func newBenchServer() *Server {
	principal := &access.Principal{Prefix: "abcdefgh", Scopes: []access.Scope{access.OrdersWrite}}
	s := New(Deps{Authenticate: func(context.Context, string) (*access.Principal, error) { return principal, nil }})
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "bench-order", Method: http.MethodPost, Path: "/v1/bench-orders", Summary: "Bench", Description: "Bench.",
			Tags: []string{tagOrders}, DefaultStatus: http.StatusCreated,
		},
		Auth: needs(access.OrdersWrite),
	}, func(_ context.Context, in *benchOrder) (*benchOrderOutput, error) {
		out := &benchOrderOutput{}
		out.Body.ID = uuid.Must(uuid.NewV7())
		out.Body.Number, out.Body.Status, out.Body.PaymentStatus = "VB-20250101-ABCDEFG", "pending_payment", "unpaid"
		for i, item := range in.Body.Items {
			out.Body.Items = append(out.Body.Items, benchItem{i, item.SKU, item.Quantity, money{Amount: 5000, Currency: "CNY"}})
		}
		out.Body.Total, out.Body.Metadata, out.Body.PlacedAt = money{Amount: 5000, Currency: "CNY"}, in.Body.Metadata, time.Now().UTC()
		out.Body.AccessToken = "0193b4a17c1e7cc3a4ab6cf4a1f0b3d2"
		return out, nil
	})
	return s
}

const benchRequest = "POST /v1/bench-orders HTTP/1.1\r\nHost: localhost\r\n" +
	"Authorization: Bearer vb_abcdefgh_0123456789abcdefghjkmnpqrstvwxyz\r\n" +
	"Content-Type: application/json\r\nAccept: application/json\r\nIdempotency-Key: 0193b4a1-7c1e\r\nContent-Length: "

// BenchmarkDoor measures the server alone: the request's bytes are ready, and the answer is read without being parsed.
func BenchmarkDoor(b *testing.B) { benchWire(b, newBenchServer()) }

// BenchmarkNetHTTP is the floor: net/http with a handler that reads the body and writes as much.
func BenchmarkNetHTTP(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 420)
	benchWire(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(answer)
	}))
}

func benchWire(b *testing.B, h http.Handler) {
	b.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	request := []byte(benchRequest + itoa(len(benchBody)) + "\r\n\r\n" + benchBody)
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := skipAnswer(reader); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}

// skipAnswer reads one answer as cheaply as can be, and wants it to be a 201 with a length.
func skipAnswer(r *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 201")) {
			return &net.AddrError{Err: string(line)}
		}
		if after, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			for _, c := range bytes.TrimSpace(after) {
				length = length*10 + int(c-'0')
			}
		}
		if len(line) == 2 {
			break
		}
	}
	_, err := r.Discard(length)
	return err
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// BenchmarkHandler is the door without sockets.
func BenchmarkHandler(b *testing.B) {
	s := newBenchServer()
	b.ReportAllocs()
	body := []byte(benchBody)
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/bench-orders", bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer vb_abcdefgh_0123456789abcdefghjkmnpqrstvwxyz")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusCreated {
			b.Fatal(w.Body)
		}
	}
}
