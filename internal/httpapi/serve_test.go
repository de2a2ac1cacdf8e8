package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
)

func rawOperation(id, path string, c class) operation {
	return operation{
		Operation: huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Summary: "Raw", Description: "Raw.", Tags: []string{tagOrders},
			Responses: map[string]*huma.Response{"200": {Description: "OK"}}, MaxBodyBytes: 10,
		},
		Auth: optionally(access.CardsRead), Class: c,
	}
}

func TestPlainHandlers(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Deps{})
	handleHTTP(s.Server, rawOperation("raw", "/v1/raw", upload), func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && string(body) == "fault" {
			err = fault.New(fault.Gone, "failed_job_not_found")
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if p := principalOf(r.Context()); p != nil {
			_, _ = io.WriteString(w, p.Prefix+" ")
		}
		_, _ = w.Write(body)
	})
	post := func(body string, header ...string) *answer {
		return s.do("POST", "/v1/raw", body, append([]string{"Content-Type", "text/plain"}, header...)...)
	}
	require.Equal(t, "abc", string(post("abc").body))
	require.Equal(t, "testtest abc", string(post("abc", "Authorization", "Bearer cards:read").body))
	post("abc", "Authorization", "Bearer orders:read").problem(http.StatusForbidden, "scope_missing")
	post("abc", "Authorization", "Bearer x").problem(http.StatusUnauthorized, "api_key_invalid")
	post("fault").problem(http.StatusGone, "failed_job_not_found")
	members := post(strings.Repeat("x", 11)).problem(http.StatusRequestEntityTooLarge, "body_too_large")
	require.InDelta(t, 10, members["limit"], 0)
	require.Contains(t, s.api.OpenAPI().Paths["/v1/raw"].Post.Responses, "413")
}

// A stream is flushed as it is written, and its context ends when the server stops, so that it holds nobody up.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, Deps{})
	handleHTTP(ts.Server, rawOperation("stream", "/v1/stream", stream), func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		_, _ = io.WriteString(w, "last\n")
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ts.Serve(ctx, listener, time.Minute) }()

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String()+"/v1/stream", nil)
	require.NoError(t, err)
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	require.True(t, lines.Scan())
	require.Equal(t, "first", lines.Text())
	stop()
	require.True(t, lines.Scan())
	require.Equal(t, "last", lines.Text())
	require.NoError(t, <-served)
}

func TestServeGivesUpAfterItsGrace(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	ts := newThingServer(t, func(_ context.Context, in *ThingInput) (*thingOutput, error) {
		close(entered)
		<-leave
		return &thingOutput{in.Body}, nil
	}, Deps{})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ts.Serve(ctx, listener, time.Millisecond) }()
	url := "http://" + listener.Addr().String() + thingPath
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(goodThing))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+writer)
	gone := make(chan error, 1)
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			err = response.Body.Close()
		}
		gone <- err
	}()
	<-entered
	stop()
	require.ErrorContains(t, <-served, "still running after 1ms")
	require.Error(t, <-gone)
	close(leave)
}

func TestMountedHandlers(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Deps{})
	s.Mount("GET /metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "their own 404")
	}))
	got := s.do("GET", "/metrics", "")
	require.Equal(t, "their own 404", string(got.body))
	require.NotEmpty(t, got.Header.Get("X-Request-ID"))
	require.Contains(t, s.log.String(), `"route":"GET /metrics"`)
}

func TestSpansAndMetrics(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	reader := sdkmetric.NewManualReader()
	s := newThingServer(t, func(context.Context, *ThingInput) (*thingOutput, error) { return nil, errors.New("x") }, Deps{
		Tracing:  sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)),
		Metering: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	})
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	s.as(writer, "POST", thingPath, goodThing, "Traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
	s.do("BREW", "/v1/nothing/"+traceID, "")

	require.Eventually(t, func() bool { return len(spans.Ended()) == 2 }, 10*time.Second, time.Millisecond)
	span := spans.Ended()[0]
	require.Equal(t, "POST /v1/things/{id}", span.Name())
	require.Equal(t, traceID, span.SpanContext().TraceID().String())
	require.Equal(t, "b7ad6b7169203331", span.Parent().SpanID().String())
	require.Contains(t, spans.Ended()[1].Name(), "unmatched")

	var got metricdata.ResourceMetrics
	require.Eventually(t, func() bool {
		require.NoError(t, reader.Collect(t.Context(), &got))
		return len(got.ScopeMetrics) == 1 &&
			len(got.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints) == 2
	}, 10*time.Second, time.Millisecond)
	for _, point := range got.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64]).DataPoints {
		text := point.Attributes.Encoded(attributeText{})
		require.NotContains(t, text, traceID, "paths are not series")
		require.NotContains(t, text, "BREW", "nor are invented methods")
	}
}

// Descriptions with holes are found when the server is made.
func TestIncompleteOperationsPanic(t *testing.T) {
	t.Parallel()
	s := New(Deps{})
	defer s.Close()
	whole := rawOperation("x", "/v1/x", quick)
	for name, spoil := range map[string]func(*operation){
		"no id":       func(op *operation) { op.OperationID = "" },
		"no summary":  func(op *operation) { op.Summary = "" },
		"no text":     func(op *operation) { op.Description = "" },
		"no tag":      func(op *operation) { op.Tags = nil },
		"no auth":     func(op *operation) { op.Auth = auth{} },
		"bad fault":   func(op *operation) { op.Faults = []string{"nonsense"} },
		"no response": func(op *operation) { op.Responses = nil },
	} {
		op := whole
		spoil(&op)
		require.Panics(t, func() { handleHTTP(s, op, nil) }, name)
	}
	require.Panics(t, func() {
		type hidden struct {
			Name string `query:"name"`
		}
		handle(s, whole, func(context.Context, *struct{ hidden }) (*struct{}, error) { return nil, bytes.ErrTooLarge })
	}, "an embedded struct that huma would not see")
}

// attributeText writes attributes as text.
type attributeText struct{}

func (attributeText) Encode(all attribute.Iterator) string {
	var out strings.Builder
	for all.Next() {
		out.WriteString(string(all.Attribute().Key) + "=" + all.Attribute().Value.String() + " ")
	}
	return out.String()
}

func (attributeText) ID() attribute.EncoderID { return attribute.NewEncoderID() }
