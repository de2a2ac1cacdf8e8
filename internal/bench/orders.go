package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The names of the three targets, by which the report finds its ratios.
const (
	Vendbox    = "vendbox"
	Naive      = "naive"
	NoDatabase = "no database"
)

// Target is a server to place orders at. All of one run have the same door and the same database.
type Target struct {
	Name    string // Vendbox, Naive or NoDatabase
	BaseURL string // http://host:port
	APIKey  string
}

// OrdersConfig of Orders. Targets and Pool are required.
type OrdersConfig struct {
	Targets []Target
	// Pool is the servers' database, for seeding and for the checks.
	Pool *pgxpool.Pool
	// Postmaster is the process id of the database's server, where it runs on this machine: its processor time is then
	// measured too.
	Postmaster int
	// Concurrency is how many buyers there are at a time. Default 64, 256, 1024.
	Concurrency []int
	// SKUs is how many products they choose from, evenly. Default 1 (all want the same) and 1,000.
	SKUs []int
	// Duration of each measurement. Default 5 s.
	Duration time.Duration
	// Warmup before it, under the same load. Default 1 s.
	Warmup time.Duration
	// Rounds is how often everything is measured; the targets take turns. Default 1.
	Rounds int
	// KeyShare is the share of requests with an Idempotency-Key. Default 0.5; below zero none.
	KeyShare float64
	// Settle is how long a measurement may wait until what the one before left to the relay is done. Default 15 s.
	Settle time.Duration
}

func (c OrdersConfig) withDefaults() OrdersConfig {
	if len(c.Concurrency) == 0 {
		c.Concurrency = []int{64, 256, 1024}
	}
	if len(c.SKUs) == 0 {
		c.SKUs = []int{1, 1000}
	}
	if c.Duration == 0 {
		c.Duration = 5 * time.Second
	}
	if c.Warmup == 0 {
		c.Warmup = time.Second
	}
	if c.Rounds == 0 {
		c.Rounds = 1
	}
	if c.KeyShare == 0 {
		c.KeyShare = 0.5
	}
	if c.Settle == 0 {
		c.Settle = 15 * time.Second
	}
	return c
}

// Quick returns the configuration with measurements of about a second: to see that it works, not to quote.
func (c OrdersConfig) Quick() OrdersConfig {
	c.Duration, c.Warmup, c.Rounds = time.Second, 300*time.Millisecond, 1
	return c
}

func (c OrdersConfig) validate() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf("bench: "+format, args...))
		}
	}
	wrong(c.Pool == nil, "no database")
	wrong(len(c.Targets) == 0, "no targets")
	for _, n := range c.Concurrency {
		wrong(n < 1 || n > 10_000, "%d buyers: want 1 to 10,000", n)
	}
	for _, n := range c.SKUs {
		wrong(n < 1 || n > 10_000, "%d SKUs: want 1 to 10,000", n)
	}
	wrong(c.Duration < 0 || c.Warmup < 0 || c.Settle < 0, "a negative duration")
	wrong(c.Rounds < 1, "%d rounds: want at least 1", c.Rounds)
	wrong(c.KeyShare > 1, "a share of %g with idempotency keys: want at most 1", c.KeyShare)
	return errors.Join(errs...)
}

// Orders measures how many orders a second each target takes, and how long a buyer waits. Targets are measured in
// turns, one at a time. progress (nil for none) is told what is being done.
//
// An error ends the run: of a server that cannot be reached, or of a check that failed. The report then holds what was
// measured and checked before.
func Orders(ctx context.Context, cfg OrdersConfig, progress func(string)) (OrdersReport, error) {
	cfg = cfg.withDefaults()
	report := OrdersReport{StartedAt: time.Now().UTC(), Duration: cfg.Duration.Seconds(), Rounds: cfg.Rounds, KeyShare: max(cfg.KeyShare, 0)}
	if err := cfg.validate(); err != nil {
		return report, err
	}
	if progress == nil {
		progress = func(string) {}
	}
	var err error
	if report.Machine, err = machineOf(ctx, cfg.Pool); err != nil {
		return report, err
	}
	r := &ordersRun{cfg: cfg, progress: progress, run: rand.Uint32()}
	if err := r.prime(ctx); err != nil {
		return report, fmt.Errorf("priming: %w", err)
	}
	for _, skus := range cfg.SKUs {
		for _, buyers := range cfg.Concurrency {
			cells, err := r.compare(ctx, skus, buyers)
			report.Cells = append(report.Cells, cells...)
			report.Ratios = report.ratios()
			if err != nil {
				return report, err
			}
		}
	}
	return report, nil
}

type ordersRun struct {
	cfg      OrdersConfig
	progress func(string)
	run      uint32 // changes with each measurement, so that nothing of one is taken for another's
}

// prime fills the tables a little and analyses them. On an empty table Postgres plans to read it whole, and a connection
// keeps that plan: what was measured first would be measured with it.
func (r *ordersRun) prime(ctx context.Context) error {
	const buyers = 64
	for _, target := range r.cfg.Targets {
		if target.Name == NoDatabase {
			continue
		}
		r.progress(target.Name + ": priming")
		if err := r.measure(ctx, target, 100, buyers, &cellSum{}); err != nil {
			return err
		}
	}
	return analyse(ctx, r.cfg.Pool, "orders", "order_items", "outbox", "river_job")
}

// compare measures all targets under one load, round by round, each round beginning with another target.
func (r *ordersRun) compare(ctx context.Context, skus, buyers int) ([]OrdersCell, error) {
	sums := make([]cellSum, len(r.cfg.Targets))
	order := make([]int, len(r.cfg.Targets))
	for i := range order {
		order[i] = i
	}
	for round := range r.cfg.Rounds {
		for _, i := range order {
			target := r.cfg.Targets[i]
			r.progress(fmt.Sprintf("%s: %s, %d buyers (round %d of %d)", target.Name, productsText(skus), buyers, round+1, r.cfg.Rounds))
			if err := r.measure(ctx, target, skus, buyers, &sums[i]); err != nil {
				return nil, fmt.Errorf("%s, %s, %d buyers: %w", target.Name, productsText(skus), buyers, err)
			}
		}
		order = slices.Concat(order[1:], order[:1])
	}
	cells := make([]OrdersCell, len(sums))
	for i := range sums {
		cells[i] = sums[i].cell(r.cfg.Targets[i].Name, skus, buyers)
	}
	return cells, nil
}

// measure runs one load against one target and checks what it left behind.
func (r *ordersRun) measure(ctx context.Context, target Target, skus, buyers int, sum *cellSum) error {
	const plenty = 1 << 40
	r.run++
	if err := settle(ctx, r.cfg.Pool, r.cfg.Settle); err != nil {
		return err
	}
	goods, err := stockShelf(ctx, r.cfg.Pool, fmt.Sprintf("bench-%08x", r.run), skus, plenty)
	if err != nil {
		return err
	}
	d, err := newDoor(target.BaseURL, target.APIKey)
	if err != nil {
		return err
	}
	l := load{
		door: d, buyers: buyers, warmup: r.cfg.Warmup, duration: r.cfg.Duration, keyShare: r.cfg.KeyShare, run: r.run,
	}
	for _, sku := range goods.skus {
		l.requests = append(l.requests, newOrderRequest(d, sku))
	}
	cpu := cpuClock{r.cfg.Postmaster}
	before, err := cpu.read()
	if err != nil {
		return err
	}
	t, err := l.do(ctx)
	if err != nil {
		return err
	}
	after, err := cpu.read()
	if err != nil {
		return err
	}
	check, err := goods.read(ctx, r.cfg.Pool)
	if err != nil {
		return err
	}
	placed, unknown := t.placed.Load(), t.unknown.Load()
	if target.Name == NoDatabase {
		placed, unknown = 0, 0
	}
	if err := check.against(placed, unknown); err != nil {
		return fmt.Errorf("the check failed: %w", err)
	}
	sum.add(t, check, r.cfg.Duration, after.since(before))
	return nil
}

// settle waits until no event waits for the relay any more, or until patience ends: where no relay runs, none ever goes.
func settle(ctx context.Context, pool *pgxpool.Pool, patience time.Duration) error {
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var waiting bool
		err := pool.QueryRow(ctx, `select exists (select 1 from river_job where kind = 'relay'
			and state in ('available', 'pending', 'retryable', 'running', 'scheduled'))`).Scan(&waiting)
		if err != nil || !waiting {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-tick.C:
		}
	}
}

// cellSum adds up the rounds of one cell.
type cellSum struct {
	placed, measured int64
	seconds          float64
	rates            []float64
	latency          *hdrhistogram.Histogram
	failures         map[string]int
	check            Check
	used             cpuTime
}

func (s *cellSum) add(t *tally, check Check, duration time.Duration, spent cpuTime) {
	if s.latency == nil {
		s.latency, s.failures = newHistogram(), map[string]int{}
	}
	s.placed += t.placed.Load()
	s.used.process += spent.process
	s.used.postgres += spent.postgres
	s.measured += t.measured.Load()
	s.seconds += duration.Seconds()
	s.rates = append(s.rates, float64(t.measured.Load())/duration.Seconds())
	s.latency.Merge(t.latency.merged())
	for why, n := range t.failures {
		s.failures[why] += n
	}
	s.check.Orders += check.Orders
	s.check.Units += check.Units
	s.check.Taken += check.Taken
	s.check.Events += check.Events
	s.check.Silent += check.Silent
	s.check.Wrong += check.Wrong
}

func (s *cellSum) cell(target string, skus, buyers int) OrdersCell {
	c := OrdersCell{
		Target: target, SKUs: skus, Buyers: buyers, OrdersPerSecond: float64(s.measured) / s.seconds, Rounds: s.rates,
		Latency: latencyOf(s.latency), Acknowledged: s.placed, Failures: s.failures, Check: s.check,
		Processor: s.used.per(s.placed),
	}
	for _, n := range s.failures {
		c.Errors += n
	}
	return c
}
