package telemetry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracing is the process's tracing, on or off. The zero value is off.
type Tracing struct {
	provider *sdktrace.TracerProvider
}

// flushTimeout bounds the last export: an end must not wait for a collector that is away.
const flushTimeout = 5 * time.Second

// StartTracing reads OpenTelemetry's own environment variables, as every tool does. Tracing is on when
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set and OTEL_SDK_DISABLED is not true;
// OTEL_EXPORTER_OTLP_PROTOCOL (or …_TRACES_PROTOCOL) is http/protobuf unless it says grpc. The exporter and the sampler
// take the rest of their settings from there as well, and OTEL_SERVICE_NAME replaces service.
//
// The Propagator is set in either case, so that an incoming trace is carried on.
func StartTracing(ctx context.Context, service, version string) (*Tracing, error) {
	otel.SetTextMapPropagator(Propagator)
	if !wanted(os.Getenv) {
		return &Tracing{}, nil
	}
	exporter, err := newExporter(ctx, protocol(os.Getenv))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithFromEnv(), // last, so that it wins
	)
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, errors.Join(fmt.Errorf("tracing: %w", err), exporter.Shutdown(ctx))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	otel.SetTracerProvider(provider)
	return &Tracing{provider: provider}, nil
}

// On says whether spans are made.
func (t *Tracing) On() bool { return t.provider != nil }

// Provider is nil when tracing is off, which is what those who would make spans ask for.
func (t *Tracing) Provider() trace.TracerProvider {
	if t.provider == nil {
		return nil
	}
	return t.provider
}

// QueryTracer traces the queries of a pool; nil when tracing is off. Spans have the statement and never its parameters.
func (t *Tracing) QueryTracer() pgx.QueryTracer {
	if t.provider == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.provider), otelpgx.WithDisableConnectionDetailsInAttributes())
}

// Shutdown exports what has gathered, for at most five seconds.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("tracing: the last spans were not exported: %w", err)
	}
	return nil
}

func wanted(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || strings.EqualFold(getenv("OTEL_TRACES_EXPORTER"), "none") {
		return false
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

func protocol(getenv func(string) string) string {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return "http/protobuf"
}

func newExporter(ctx context.Context, protocol string) (*otlptrace.Exporter, error) {
	switch protocol {
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: want http/protobuf or grpc", protocol)
}

// TracingWith makes it of a provider that is there already: a test's, or a program's that has vendbox inside.
func TracingWith(provider *sdktrace.TracerProvider) *Tracing { return &Tracing{provider: provider} }
