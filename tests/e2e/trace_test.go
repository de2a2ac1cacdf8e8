package e2e

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traces is an OpenTelemetry collector: OTLP over HTTP, in protobuf.
type traces struct {
	url string

	mu    sync.Mutex
	spans map[string][]string // names, by trace id
	wrong []string
}

func newTraces(t *testing.T) *traces {
	t.Helper()
	c := &traces{spans: map[string][]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.receive)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *traces) receive(w http.ResponseWriter, r *http.Request) {
	request, err := readExport(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.wrong = append(c.wrong, err.Error())
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				c.spans[id] = append(c.spans[id], span.GetName())
			}
		}
	}
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(answer)
}

func readExport(r *http.Request) (*collector.ExportTraceServiceRequest, error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		body = unzipped
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	request := &collector.ExportTraceServiceRequest{}
	return request, proto.Unmarshal(data, request)
}

// namesOf gives the distinct names of a trace's spans.
func (c *traces) namesOf(traceID string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := map[string]bool{}
	for _, name := range c.spans[traceID] {
		names[name] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// One order is one trace, from the client's own to the last delivery, over a process, four queues and a gateway's call.
func TestOneTraceFromRequestToDeliveries(t *testing.T) {
	t.Parallel()
	s, c := newSite(t), newTraces(t)
	s.serveWith(t, s.env("OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_BSP_SCHEDULE_DELAY=100"))
	newShop(t, s, "trace", 1)

	const traceID = "0af7651916cd43dd8448eb211c80319c"
	placed := s.place(t, cart("trace", 1), "Traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
	s.pay(t, placed) // the payment gateway knows nothing of the trace
	s.awaitCompleted(t, placed, 15*time.Second)
	s.awaitQuiet(t)
	s.everythingArrived(t)

	want := []string{"POST /v1/orders", "deliver order", "send SMS", "deliver webhook"}
	await(t, 15*time.Second, "the spans", func() error {
		got := c.namesOf(traceID)
		for _, name := range want {
			if !slices.Contains(got, name) {
				return fmt.Errorf("no %q in %q", name, got)
			}
		}
		return nil
	})
	for _, kind := range []string{"order.created", "order.paid", "order.completed"} {
		hooks := s.sink.ofType(kind)
		require.Len(t, hooks, 1, kind)
		parts := strings.Split(hooks[0].header.Get("Traceparent"), "-")
		require.Lenf(t, parts, 4, "traceparent of %s: %q", kind, hooks[0].header.Get("Traceparent"))
		require.Equal(t, traceID, parts[1], kind)
	}
	require.Empty(t, c.wrong)
}
