package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/inventory"
)

// PipelineConfig of Pipeline. BaseURL, APIKey, PaymentSecret, Pool, Inventory and Webhooks are required. The measured
// system must send SMS for at least one of an order's events, in English, and send order.completed to Webhooks.
type PipelineConfig struct {
	BaseURL       string // http://host:port
	APIKey        string // with orders:write and payments:write
	PaymentSecret string // of the sandbox channel
	// Pool is the system's database, for the watcher and for the checks.
	Pool *pgxpool.Pool
	// Postmaster is the process id of the database's server, where it runs on this machine: its processor time is then
	// measured too.
	Postmaster int
	// Inventory imports the cards that are sold.
	Inventory *inventory.Service
	// Webhooks is where an enabled endpoint for order.completed points.
	Webhooks *WebhookSink
	// SMSReceived counts the messages that the SMS gateway was given. Default: what the ledger says was sent.
	SMSReceived func() int
	// Rates are the payments per second whose delivery times are measured. Default 50 and 500.
	Rates []int
	// Duration of each rate. Default 10 s.
	Duration time.Duration
	// SustainedOrders go through the whole path as fast as they can. Default 10,000.
	SustainedOrders int
	// Warmup orders go through the path before anything is measured: connections, caches, and tables that are large
	// enough for the plans that they will have. Default 2,000.
	Warmup int
	// Buyers are the connections that place and pay. Default 256.
	Buyers int
	// Outstanding bounds the orders that are paid and have not reached the subscriber yet. Default 2,000.
	Outstanding int
	// Drain is how long after the last payment everything may take to arrive. Default 60 s.
	Drain time.Duration
}

func (c PipelineConfig) withDefaults() PipelineConfig {
	if len(c.Rates) == 0 {
		c.Rates = []int{50, 500}
	}
	if c.Duration == 0 {
		c.Duration = 10 * time.Second
	}
	if c.SustainedOrders == 0 {
		c.SustainedOrders = 10_000
	}
	if c.Warmup == 0 {
		c.Warmup = 2000
	}
	if c.Buyers == 0 {
		c.Buyers = 256
	}
	if c.Outstanding == 0 {
		c.Outstanding = 2000
	}
	if c.Drain == 0 {
		c.Drain = time.Minute
	}
	return c
}

// Quick returns the configuration with measurements of seconds: to see that it works, not to quote.
func (c PipelineConfig) Quick() PipelineConfig {
	c.Duration, c.SustainedOrders, c.Warmup = 2*time.Second, 1000, 200
	return c
}

func (c PipelineConfig) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("bench: "+format, args...))
		}
	}
	wrong(c.Pool == nil || c.Inventory == nil || c.Webhooks == nil, "Pool, Inventory and Webhooks are required")
	wrong(c.PaymentSecret == "", "no payment secret")
	for _, rate := range c.Rates {
		wrong(rate < 1 || rate > 100_000, "a rate of %d per second: want 1 to 100,000", rate)
	}
	wrong(c.Duration < 0 || c.Drain < 0, "a negative duration")
	wrong(c.Warmup < 0, "%d orders to warm up", c.Warmup)
	wrong(c.SustainedOrders < 1, "%d sustained orders: want at least 1", c.SustainedOrders)
	wrong(c.Buyers < 1 || c.Outstanding < c.Buyers, "%d buyers and %d outstanding orders: want at least 1 and as many",
		c.Buyers, c.Outstanding)
	return errors.Join(errs...)
}

// ordersOf is how many orders a rate takes.
func (c PipelineConfig) ordersOf(rate int) int {
	return max(1, int(float64(rate)*c.Duration.Seconds()))
}

// pipelineRun is one run of Pipeline.
type pipelineRun struct {
	cfg       PipelineConfig
	door      door
	progress  func(string)
	sku       string
	began     time.Time
	paid      int // orders so far, all of which have to arrive
	perOrder  int // SMS
	sinkBase  int // different order.completed that the sink had before
	smsBase   int // messages that the gateway had before
	cardCount int
}

// Pipeline measures what happens after an order is paid: at fixed rates, how soon its card is there; and as fast as it
// goes, how many orders a second are placed, paid, delivered, told to the buyer by SMS and to a subscriber by webhook.
// After each measurement SQL and the subscriber have to agree that all of it arrived, once. progress may be nil.
func Pipeline(ctx context.Context, cfg PipelineConfig, progress func(string)) (PipelineReport, error) {
	cfg = cfg.withDefaults()
	report := PipelineReport{StartedAt: time.Now().UTC(), Duration: cfg.Duration.Seconds()}
	if err := cfg.validate(); err != nil {
		return report, err
	}
	if progress == nil {
		progress = func(string) {}
	}
	d, err := newDoor(cfg.BaseURL, cfg.APIKey)
	if err != nil {
		return report, err
	}
	if report.Machine, err = machineOf(ctx, cfg.Pool); err != nil {
		return report, err
	}
	r := &pipelineRun{cfg: cfg, door: d, progress: progress, began: time.Now().Add(-time.Second)}
	if err := r.prepare(ctx); err != nil {
		return report, err
	}
	slices.Sort(cfg.Rates)
	for _, rate := range cfg.Rates {
		r.progress(fmt.Sprintf("%d payments a second for %s", rate, cfg.Duration))
		result, err := r.atRate(ctx, rate)
		if err != nil {
			return report, fmt.Errorf("%d payments a second: %w", rate, err)
		}
		report.Rates = append(report.Rates, result)
	}
	r.progress(fmt.Sprintf("the whole path, %s orders", thousands(float64(cfg.SustainedOrders))))
	sustained, err := r.sustained(ctx, cfg.SustainedOrders)
	if err != nil {
		return report, fmt.Errorf("the whole path: %w", err)
	}
	report.Sustained = &sustained
	return report, nil
}

// prepare imports the cards and warms the path up.
func (r *pipelineRun) prepare(ctx context.Context) error {
	err := r.cfg.Pool.QueryRow(ctx, `select count(distinct event_type) from sms_templates
		where enabled and locale = 'en' and event_type in ('order.created', 'order.paid', 'order.completed')`).Scan(&r.perOrder)
	if err != nil {
		return fmt.Errorf("bench: templates: %w", err)
	}
	if r.perOrder == 0 {
		return errors.New("bench: no SMS template for an order's events: nothing would be sent")
	}
	r.cardCount = r.cfg.Warmup + r.cfg.SustainedOrders
	for _, rate := range r.cfg.Rates {
		r.cardCount += r.cfg.ordersOf(rate)
	}
	r.progress(fmt.Sprintf("importing %s cards", thousands(float64(r.cardCount))))
	r.sku = fmt.Sprintf("bench-%08x", rand.Uint32())
	if err := stockCards(ctx, r.cfg.Inventory, r.sku, r.cardCount); err != nil {
		return err
	}
	_, r.sinkBase = r.cfg.Webhooks.Count(orderCompleted)
	if r.cfg.SMSReceived != nil {
		r.smsBase = r.cfg.SMSReceived()
	}
	r.progress("warming up")
	if _, err := r.sustained(ctx, r.cfg.Warmup); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	return analyse(ctx, r.cfg.Pool, "orders", "order_items", "payments", "cards", "card_deliveries", "sms_messages",
		"webhook_deliveries", "outbox", "river_job")
}
