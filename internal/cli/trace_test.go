package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/demo"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// One order's spans, from the request that placed it to the last webhook, are one trace, although a gateway's callback
// and four queues lie between.
func TestOneOrderIsOneTrace(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	sinks := demo.NewSinks(time.Now)
	far := httptest.NewServer(sinks.Handler())
	t.Cleanup(far.Close)

	cfg := devConfig()
	cfg.DatabaseURL = config.DatabaseURL{Secret: config.NewSecret(pgtest.NewDB(t).URL)}
	cfg.MasterKey = config.NewSecret(cardvault.NewMasterKey().Reveal())
	cfg.SandboxSecret = config.NewSecret("secret")
	cfg.PublicURL = "http://shop.test"
	cfg.MaxConns = 8
	gateway := sinkGateway(far.URL + "/sms")
	log := &bytes.Buffer{}
	s, err := openStack(t.Context(), cfg, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelError})),
		telemetry.TracingWith(provider), stackOptions{smsGateway: &gateway})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.sms.SeedTemplates(t.Context()))
	_, key, err := s.keys.Create(t.Context(), "test", []string{"admin"}, nil)
	require.NoError(t, err)
	workers, err := s.startWorkers(t.Context())
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.run(ctx, s.newDoor(workers, false), workers, listener) }()

	result, err := demo.Run(t.Context(), demo.Config{
		APIURL: "http://" + listener.Addr().String(), APIKey: key, PaymentSecret: "secret", Sinks: sinks,
		WebhookURL: far.URL + "/webhooks", Orders: 1, Buyers: 1,
	})
	require.NoError(t, err)
	require.True(t, result.Complete(), "%+v", result)
	stop()
	require.NoError(t, <-stopped, log.String())

	traceID, names := traceOf(t, exporter.GetSpans(), "POST /v1/orders")
	for _, name := range []string{"POST /v1/orders", "deliver order", "send SMS", "deliver webhook"} {
		require.Positive(t, names[name], "%s is missing from the trace; it has %v", name, names)
	}
	require.Equal(t, 3, names["deliver webhook"], "%v", names)
	requireTraceparents(t, far.URL, traceID)
}

// traceOf finds the trace of the first span of a name, and counts the spans in it by name.
func traceOf(t *testing.T, spans tracetest.SpanStubs, first string) (string, map[string]int) {
	t.Helper()
	var traceID string
	for _, span := range spans {
		if span.Name == first {
			traceID = span.SpanContext.TraceID().String()
		}
	}
	require.NotEmpty(t, traceID)
	names := map[string]int{}
	for _, span := range spans {
		if span.SpanContext.TraceID().String() == traceID {
			names[span.Name]++
		}
	}
	return traceID, names
}

// requireTraceparents wants what arrived at the subscriber to carry the trace on.
func requireTraceparents(t *testing.T, sinkURL, traceID string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sinkURL+"/webhooks", nil)
	require.NoError(t, err)
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	var list struct {
		Data []demo.ReceivedWebhook `json:"data"`
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&list))
	require.Len(t, list.Data, 3)
	for _, hook := range list.Data {
		require.True(t, strings.HasPrefix(hook.Traceparent, "00-"+traceID+"-"), hook.Traceparent)
	}
}
