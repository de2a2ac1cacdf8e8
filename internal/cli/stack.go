package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/live"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/gateways"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/reconcile"
	"github.com/vendbox/vendbox/internal/relay"
	"github.com/vendbox/vendbox/internal/risk"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/telemetry"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// stack is one process's rooms, wired: what serve, dev, demo and bench run.
type stack struct {
	cfg     config.Config
	log     *slog.Logger
	tracing *telemetry.Tracing
	metrics *telemetry.Metrics

	pool       *pgxpool.Pool
	vault      *cardvault.Vault
	box        *outbox.Box
	relay      *relay.Relay
	keys       *access.Keys
	inventory  *inventory.Service
	orders     *ordering.Service
	payments   *payments.Service
	live       *live.Hub
	cards      *ordering.Reveals
	delivery   *fulfillment.Worker
	risk       *risk.Service
	sms        *sms.Service
	smsSandbox *sms.Sandbox
	webhooks   *webhooks.Service
	failedJobs *failedjobs.Room
	books      *reconcile.Service
	jobs       *river.Client[pgx.Tx] // inserts only

	closers []func() // in the order of opening; run in reverse
}

// stackOptions are what a benchmark or a test changes about a stack. The zero value is production.
type stackOptions struct {
	noFastPath bool // leave all relaying to the safety jobs
	place      func(context.Context, ordering.PlaceParams) (ordering.Placed, error)
	smsGateway *sms.GatewayConfig // instead of the configured provider
	retryBase  time.Duration      // of webhooks
}

// openStack opens the database and the rooms. Nothing runs yet but the relay's fast path. Close it.
func openStack(ctx context.Context, cfg config.Config, log *slog.Logger, tracing *telemetry.Tracing, opts stackOptions) (*stack, error) {
	s := &stack{cfg: cfg, log: log, tracing: tracing}
	if err := s.open(ctx, opts); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *stack) onClose(fn func()) { s.closers = append(s.closers, fn) }

// Close ends the rooms in the reverse order of their opening: whatever is at hand is finished before what it needs goes.
func (s *stack) Close() {
	for _, fn := range slices.Backward(s.closers) {
		fn()
	}
	s.closers = nil
}

func (s *stack) open(ctx context.Context, opts stackOptions) error {
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	var err error
	if s.metrics, err = telemetry.NewMetrics(); err != nil {
		return err
	}
	if s.jobs, err = river.NewClient(riverpgxv5.New(s.pool), &river.Config{Schema: s.cfg.Schema, Logger: s.log}); err != nil {
		return fmt.Errorf("river: %w", err)
	}
	handOff := func(batch outbox.Batch) { s.relay.Hand(batch) }
	if opts.noFastPath {
		handOff = nil
	}
	s.box = outbox.NewBox(s.pool, time.Now, handOff)
	if err := s.openDelivery(opts); err != nil {
		return err
	}
	//nolint:contextcheck // it relays until Close, whatever becomes of the context
	s.relay = relay.New(s.pool, s.jobs, s.log, s.deliveryRoute().Enlist, s.sms.Enlist, s.webhooks.Enlist,
		func(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
			return s.payments.Enlist(ctx, tx, events) // it is opened after the relay, and closed before
		})
	s.onClose(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayGrace)
		defer cancel()
		s.relay.Close(ctx)
	})
	//nolint:contextcheck // watching goes on until Close, whatever becomes of the context
	if err := s.openDoorRooms(opts); err != nil {
		return err
	}
	return errors.Join(s.relay.Measure(s.metrics.Provider()), s.failedJobs.Measure(s.metrics.Provider(), s.log))
}

func (s *stack) openDatabase(ctx context.Context) error {
	master, err := cardvault.ParseMasterKey(s.cfg.MasterKey.Reveal())
	if err != nil {
		return err
	}
	s.pool, err = pgdb.Open(ctx, databaseConfig(s.cfg.Database, "vendbox", s.tracing))
	if err != nil {
		return err
	}
	s.onClose(s.pool.Close)
	pending, err := pgdb.Pending(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if len(pending) > 0 {
		return fmt.Errorf("%d migrations are pending (the first is %s): run vendbox migrate up", len(pending), pending[0])
	}
	s.vault, err = cardvault.Open(ctx, s.pool, master)
	return err
}

func databaseConfig(d config.Database, appName string, tracing *telemetry.Tracing) pgdb.Config {
	cfg := pgdb.Config{URL: d.DatabaseURL.Reveal(), Schema: d.Schema, MaxConns: d.MaxConns, AppName: appName}
	if tracing != nil {
		cfg.Tracer = tracing.QueryTracer()
	}
	return cfg
}

// openDelivery opens the rooms that jobs deliver from.
func (s *stack) openDelivery(opts stackOptions) error {
	s.delivery = fulfillment.NewWorker(s.box, s.log, s.tracing.Provider())
	s.onClose(s.delivery.Close)
	if err := s.openRisk(); err != nil {
		return err
	}
	provider, err := s.smsProvider(opts)
	if err != nil {
		return err
	}
	s.sms, err = sms.NewService(sms.Config{PublicURL: s.cfg.PublicURL}, sms.Deps{
		Pool: s.pool, Vault: s.vault, Provider: provider, Jobs: s.jobs, Log: s.log, Tracing: s.tracing.Provider(),
	})
	if err != nil {
		return err
	}
	s.onClose(s.sms.Close)
	s.webhooks, err = webhooks.NewService(webhooks.Config{
		Version: version(), AllowHTTP: s.cfg.AllowHTTP, AllowPrivate: s.cfg.AllowPrivate, Timeout: s.cfg.Timeout,
		MaxAttempts: s.cfg.MaxAttempts, MaxWorkers: s.cfg.WebhookWorkers, RetryBase: opts.retryBase,
	}, webhooks.Deps{
		Pool: s.pool, Box: s.box, Vault: s.vault, Jobs: s.jobs, Log: s.log, Tracing: s.tracing.Provider(), Metering: s.metrics.Provider(),
	})
	if err != nil {
		return err
	}
	s.onClose(s.webhooks.Close)
	return nil
}

// openRisk opens the room of the risk rules. Without a file it has none, and nobody asks it.
func (s *stack) openRisk() error {
	cfg := risk.Config{Region: s.cfg.DefaultRegion}
	if s.cfg.RiskRules != "" {
		text, err := os.ReadFile(s.cfg.RiskRules)
		if err != nil {
			return fmt.Errorf("risk-rules: %w", err)
		}
		if cfg.File, err = risk.Parse(text, cfg.Region, os.LookupEnv); err != nil {
			return err
		}
	}
	var err error
	s.risk, err = risk.NewService(cfg, risk.Deps{
		Pool: s.pool, Box: s.box, Vault: s.vault, Jobs: s.jobs, Delivery: fulfillment.Job, Queue: fulfillment.Queue,
		Log: s.log, Tracing: s.tracing.Provider(), Metering: s.metrics.Provider(),
	})
	if err != nil {
		return err
	}
	s.onClose(s.risk.Close)
	return nil
}

// deliveryRoute is the way of a paid order to its delivery: straight, where there is nothing to assess it by.
func (s *stack) deliveryRoute() fulfillment.Route {
	if !s.risk.Assesses() {
		return fulfillment.Route{}
	}
	return fulfillment.Route{Before: s.risk.Before}
}

func (s *stack) smsProvider(opts stackOptions) (sms.Provider, error) {
	switch {
	case opts.smsGateway != nil:
		return sms.NewGateway(*opts.smsGateway, os.LookupEnv)
	case s.cfg.SMSProvider == "http":
		text, err := os.ReadFile(s.cfg.SMSGateway)
		if err != nil {
			return nil, fmt.Errorf("sms-gateway: %w", err)
		}
		return sms.ParseGateway(text, os.LookupEnv)
	default:
		s.smsSandbox = sms.NewSandbox(s.pool, s.vault, time.Now)
		s.onClose(s.smsSandbox.Close)
		return s.smsSandbox, nil
	}
}

// openDoorRooms opens the rooms that requests come to.
func (s *stack) openDoorRooms(opts stackOptions) error {
	s.keys = access.NewKeys(s.pool, time.Now)
	s.inventory = inventory.NewService(s.pool, s.vault, s.box, time.Now)
	s.orders = ordering.NewService(ordering.Config{
		TTL: s.cfg.OrderTTL, Region: s.cfg.DefaultRegion, Committers: placingCommitters, Place: opts.place,
		Guard: s.risk.Guard(),
	}, s.pool, s.box, s.vault)
	s.onClose(s.orders.Close)
	channels, err := s.paymentChannels()
	if err != nil {
		return err
	}
	s.payments = payments.NewService(s.pool, s.box, time.Now, channels...)
	s.onClose(s.payments.Close)
	if !s.risk.Assesses() { // else the assessment comes between payment and delivery
		s.payments.DeliverAtOnce(payments.AtOnce{
			Deliver: fulfillment.AtOnce, Delivered: s.delivery.Trace, Failed: func(ctx context.Context, err error) {
				s.log.WarnContext(ctx, "payments are recorded without their deliveries, which are left to jobs", "error", err)
			},
		})
	}
	s.live = live.New(live.Config{Pool: s.pool, Log: s.log, MaxWatchers: s.cfg.MaxWatchers})
	s.onClose(s.live.Close)
	s.cards = ordering.NewReveals(s.pool, s.vault, time.Now)
	s.books = reconcile.New(s.pool, s.payments, time.Now)
	s.failedJobs = failedjobs.New(s.pool, time.Now)
	// A room that had given up opens its ledger again when a person says so.
	s.failedJobs.OnRetry(sms.Args{}.Kind(), s.sms.BeforeRetry)
	s.failedJobs.OnRetry(webhooks.Args{}.Kind(), s.webhooks.BeforeRetry)
	return nil
}

func (s *stack) paymentChannels() (channels []payments.Channel, err error) {
	if s.cfg.Channels != "" {
		text, err := os.ReadFile(s.cfg.Channels)
		if err != nil {
			return nil, fmt.Errorf("payment-channels: %w", err)
		}
		channels, err = gateways.Parse(text, gateways.Deps{PublicURL: s.cfg.PublicURL, Now: time.Now, Getenv: os.LookupEnv})
		if err != nil {
			return nil, err
		}
	}
	if s.cfg.SandboxSecret.IsSet() {
		channels = append(channels, payments.NewSandbox(time.Now, s.cfg.SandboxSecret.Reveal()))
	}
	return channels, nil
}

// placingCommitters: while the process admits what one transaction has locked, Postgres works for the other. Each is half as
// large then, which costs more per order than a third would gain.
const placingCommitters = 2

// relayGrace is what the fast path gets at the end of the process. The safety jobs have the rest.
const relayGrace = 5 * time.Second

var errNoWorkers = errors.New("no queue to work on: --queues names none of relay, cards, sms, webhooks, payments, upkeep")
