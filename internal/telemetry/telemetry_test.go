package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTraceparentGoesThrough(t *testing.T) {
	t.Parallel()
	require.Empty(t, Traceparent(t.Context()))
	ctx := WithTraceparent(t.Context(), traceparent)
	require.Equal(t, traceparent, Traceparent(ctx))
	require.True(t, trace.SpanContextFromContext(ctx).IsRemote())
	const zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01"
	for _, broken := range []string{"", "x", zero, traceparent[:50], "ff" + traceparent[2:]} {
		require.Empty(t, Traceparent(WithTraceparent(t.Context(), broken)), broken)
	}
}

func TestLogHasTheTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo, JSON).With("a", 1)
	log.InfoContext(WithTraceparent(t.Context(), traceparent), "x")
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", line["trace_id"])
	require.Equal(t, "b7ad6b7169203331", line["span_id"])
	require.InDelta(t, 1, line["a"], 0)

	out.Reset()
	log.InfoContext(t.Context(), "x")
	require.NotContains(t, out.String(), "trace_id")
	log.DebugContext(t.Context(), "hidden")
	require.NotContains(t, out.String(), "hidden")

	out.Reset()
	NewLogger(&out, slog.LevelInfo, Text).InfoContext(WithTraceparent(t.Context(), traceparent), "x")
	require.Contains(t, out.String(), "trace_id=0af7651916cd43dd8448eb211c80319c")
}

func TestWhenTracingIsWanted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing":          {nil, false},
		"an endpoint":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		"one for traces":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, true},
		"switched off":     {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, false},
		"only for metrics": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, false},
		"no exporter":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, false},
	} {
		require.Equal(t, tc.want, wanted(func(name string) string { return tc.env[name] }), name)
	}
	require.Equal(t, "http/protobuf", protocol(func(string) string { return "" }))
	require.Equal(t, "grpc", protocol(func(name string) string { return map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}[name] }))
}

// Spans reach a collector at the latest at the end, over HTTP.
func TestSpansAreExportedAtTheEnd(t *testing.T) {
	got := make(chan []byte, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- append([]byte(r.URL.Path+" "), body...)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	tracing, err := StartTracing(t.Context(), "vendbox", "test")
	require.NoError(t, err)
	require.True(t, tracing.On())
	require.NotNil(t, tracing.QueryTracer())

	ctx := WithTraceparent(t.Context(), traceparent)
	ctx, span := tracing.Provider().Tracer("t").Start(ctx, "a span with a name")
	require.Equal(t, traceparent[:36], Traceparent(ctx)[:36], "the trace goes on")
	require.NotEqual(t, traceparent, Traceparent(ctx), "in a span of its own")
	span.End()
	require.NoError(t, tracing.Shutdown(t.Context()))
	exported := string(<-got)
	require.Contains(t, exported, "/v1/traces")
	require.Contains(t, exported, "a span with a name")
	require.Contains(t, exported, "vendbox")
}

func TestTracingThatIsOff(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	tracing, err := StartTracing(t.Context(), "vendbox", "test")
	require.NoError(t, err)
	require.False(t, tracing.On())
	require.Nil(t, tracing.Provider())
	require.Nil(t, tracing.QueryTracer())
	require.NoError(t, tracing.Shutdown(t.Context()))
}

func TestAWrongProtocol(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
	_, err := StartTracing(t.Context(), "vendbox", "test")
	require.ErrorContains(t, err, "want http/protobuf or grpc")
}
