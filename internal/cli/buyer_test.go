package cli

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// The address of a buyer's page is the key to the order. With every request logged and traced, it is in no line and no span.
func TestABuyersAddressIsNotRecorded(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	cfg := devConfig()
	cfg.DatabaseURL = config.DatabaseURL{Secret: config.NewSecret(pgtest.NewDB(t).URL)}
	cfg.MasterKey = config.NewSecret(cardvault.NewMasterKey().Reveal())
	cfg.PublicURL, cfg.MaxConns, cfg.AccessLog = "http://shop.test", 4, "all"
	log := &bytes.Buffer{}
	s, err := openStack(t.Context(), cfg, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		telemetry.TracingWith(sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))), stackOptions{})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	door := s.newDoor(nil, false)
	t.Cleanup(door.Close)

	id := uuid.New()
	token := s.vault.OrderToken(id)
	for _, request := range []string{
		"GET /o/" + token, "POST /o/" + token, "POST /o/" + token + "/cards.txt", "GET /o/" + token + "/nonsense",
		"GET /v1/orders/" + id.String() + "/watch?access_token=" + token,
	} {
		method, path, _ := strings.Cut(request, " ")
		answer := httptest.NewRecorder()
		door.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		require.Equal(t, http.StatusNotFound, answer.Code, request)
	}
	require.Equal(t, 5, strings.Count(log.String(), `"msg":"request"`))
	require.Contains(t, log.String(), `"route":"GET /o/{access_token}"`)
	require.NotContains(t, log.String(), token)
	for _, span := range exporter.GetSpans() {
		require.NotContains(t, span.Name, token)
		for _, attribute := range span.Attributes {
			require.NotContains(t, attribute.Value.String(), token, attribute.Key)
		}
	}

	// A process that only works on jobs shows no pages.
	workers := s.newDoor(nil, true)
	t.Cleanup(workers.Close)
	answer := httptest.NewRecorder()
	workers.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/o/"+token, nil))
	require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
}
