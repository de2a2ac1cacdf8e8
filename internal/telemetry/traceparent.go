package telemetry

import (
	"context"
	"encoding/json"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Propagator carries a trace's context, and its baggage, in the headers of a call.
var Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

const traceparentHeader = "traceparent"

// Traceparent is the context's place in its trace as a W3C traceparent: that of the current span, or, where nothing is
// traced here, the one that came in. It is empty when there is neither.
func Traceparent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparentHeader]
}

// WithTraceparent goes on with the trace of a traceparent: spans that are started from the context become children of
// its span. An empty or broken one changes nothing, since a trace is never worth an error.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	if traceparent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparentHeader: traceparent})
}

// jobMetadata carries a trace past a queue.
type jobMetadata struct {
	Traceparent string `json:"traceparent,omitempty"`
}

// JobMetadata is the metadata of a River job that goes on with a trace.
func JobMetadata(traceparent string) []byte {
	text, err := json.Marshal(jobMetadata{traceparent})
	if err != nil {
		return []byte(`{}`) // cannot be: it is one string
	}
	return text
}

// WithJobMetadata goes on with the trace in a job's metadata, as WithTraceparent does.
func WithJobMetadata(ctx context.Context, metadata []byte) context.Context {
	var m jobMetadata
	if err := json.Unmarshal(metadata, &m); err != nil {
		return ctx
	}
	return WithTraceparent(ctx, m.Traceparent)
}

// TraceIDOf gives the trace id in a traceparent (W3C Trace Context §3.2.2), empty where there is none.
func TraceIDOf(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 {
		return ""
	}
	return parts[1]
}
