package httpapi

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/live"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/reconcile"
	"github.com/vendbox/vendbox/internal/risk"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// Deps are what the routes are made of. A room adds its service as a field here. New must work when it is the zero
// value (the documentation is made that way), so routes use a service when a request comes, not before.
type Deps struct {
	// Log gets one line per request. Default: none.
	Log *slog.Logger
	// AccessLog says which requests are logged. Default: what failed and what was slow.
	AccessLog AccessLog
	// MaxBody bounds a JSON body, in bytes, where the operation says nothing else. Default 1 MiB.
	MaxBody int64
	// MaxUpload bounds the body of an operation of class upload, in the same way. Default 512 MiB.
	MaxUpload int64
	// PublicURL is the address the documentation shows, such as https://shop.example.com. Default: the relative "/".
	PublicURL string
	// Version of the program, for the documentation.
	Version string
	// Tracing makes server spans; nil for none.
	Tracing trace.TracerProvider
	// Metering makes the HTTP metrics; nil for none.
	Metering metric.MeterProvider
	// Authenticate finds the principal of a token: access.Keys.Authenticate.
	Authenticate func(ctx context.Context, token string) (*access.Principal, error)
	// HealthOnly leaves out everything but health and metrics, for a process that only works on jobs.
	HealthOnly bool
	// Checks are what /readyz asks.
	Checks []Check

	// The rooms.

	Box        *outbox.Box
	Vault      *cardvault.Vault
	Inventory  *inventory.Service
	Orders     *ordering.Service
	Live       *live.Hub
	Payments   *payments.Service
	Books      *reconcile.Service
	Cards      *ordering.Reveals
	Risk       *risk.Service
	FailedJobs *failedjobs.Room
	SMS        *sms.Service
	SMSSandbox *sms.Sandbox // nil unless it is the provider
	Webhooks   *webhooks.Service
}

// AccessLog says which requests are logged.
type AccessLog string

// The ways.
const (
	AccessLogErrors AccessLog = "errors" // answers that are not 2xx or 3xx, and those that took over a second
	AccessLogAll    AccessLog = "all"
	AccessLogOff    AccessLog = "off" // only 5xx
)

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.AccessLog == "" {
		d.AccessLog = AccessLogErrors
	}
	if d.MaxBody == 0 {
		d.MaxBody = defaultMaxBody
	}
	if d.MaxUpload == 0 {
		d.MaxUpload = defaultMaxUpload
	}
	if d.Version == "" {
		d.Version = "dev"
	}
	if d.Authenticate == nil {
		d.Authenticate = func(context.Context, string) (*access.Principal, error) {
			return nil, fault.New(fault.Unauthenticated, "api_key_invalid")
		}
	}
	return d
}
