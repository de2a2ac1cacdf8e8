package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/vendbox/vendbox/internal/bench"
	"github.com/vendbox/vendbox/internal/webhooks"
)

type benchCmd struct {
	Orders   benchOrdersCmd   `cmd:"" help:"Place orders over HTTP: vendbox, one transaction per order, and no database at all, in one run."`
	Pipeline benchPipelineCmd `cmd:"" help:"From payment to delivered card at fixed rates, and the whole path as fast as it goes."`
}

// benchFlags are both benchmarks'.
type benchFlags struct {
	JSON  string        `name:"json" help:"Write the report as JSON to this file; - is standard output, instead of the table." placeholder:"FILE"`
	Quick bool          `help:"A second per measurement: to see that it works, not to compare."`
	Each  time.Duration `name:"duration" help:"Of each measurement."`
}

func (f benchFlags) duration(usual time.Duration) time.Duration {
	switch {
	case f.Each > 0:
		return f.Each
	case f.Quick:
		return time.Second
	default:
		return usual
	}
}

// report prints the table, or the JSON, or both.
func (f benchFlags) report(s streams, report interface{ Table(io.Writer) error }) error {
	if f.JSON == "-" {
		return json.NewEncoder(s.out).Encode(report)
	}
	if f.JSON != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.JSON, append(text, '\n'), 0o644); err != nil { //nolint:gosec // a report is for everybody
			return err
		}
	}
	return report.Table(s.out)
}

type benchOrdersCmd struct {
	benchFlags `embed:""`

	Concurrency []int `help:"Buyers at a time." default:"64,256,1024" placeholder:"N,…"`
	SKUs        []int `name:"skus" help:"Products that they choose from." default:"1,1000" placeholder:"N,…"`
	Rounds      int   `help:"How often everything is measured." default:"1"`
}

// Run measures three servers behind the same door, on one database.
func (c *benchOrdersCmd) Run(ctx context.Context, s streams) error {
	d, err := startDev(ctx, devOptions{Addr: "127.0.0.1:0", LogLevel: slog.LevelError, LogTo: s.err})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	targets := []bench.Target{{Name: "vendbox", BaseURL: d.APIURL, APIKey: d.Secrets.APIKey}}
	for _, other := range []struct {
		name  string
		place bench.Placer
	}{{"naive", bench.NaivePlacer(d.pool, time.Now, d.relay.Hand)}, {"no database", bench.NoDatabasePlacer()}} {
		url, err := d.serveBeside(ctx, other.place)
		if err != nil {
			return err
		}
		targets = append(targets, bench.Target{Name: other.name, BaseURL: url, APIKey: d.Secrets.APIKey})
	}
	report, err := bench.Orders(ctx, bench.OrdersConfig{
		Targets: targets, Pool: d.pool, Postmaster: d.postmaster, Concurrency: c.Concurrency, SKUs: c.SKUs, Rounds: c.Rounds,
		Duration: c.duration(5 * time.Second),
	}, func(line string) { fmt.Fprintln(s.err, line) })
	if err != nil {
		return err
	}
	return c.report(s, &report)
}

// serveBeside serves the same API on the same database, with another way to place orders. It ends with the stack.
func (d *devStack) serveBeside(ctx context.Context, place bench.Placer) (string, error) {
	beside, err := openStack(ctx, d.cfg, d.log, d.tracing, stackOptions{place: place})
	if err != nil {
		return "", err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		beside.Close()
		return "", err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = beside.run(ctx, beside.newDoor(nil, false), nil, listener)
	}()
	d.ends = append(d.ends, func() {
		stop()
		<-done
		beside.Close()
	})
	return "http://" + listener.Addr().String(), nil
}

type benchPipelineCmd struct {
	benchFlags `embed:""`

	Rates     []int `help:"Payments per second." default:"50,500" placeholder:"N,…"`
	Sustained int   `help:"Orders that go through the whole path as fast as they can." default:"10000"`

	RiskRules string `name:"risk-rules" type:"existingfile" help:"Measure with these risk rules, which must hold no order." placeholder:"FILE"`
}

// Run measures the whole path, with an SMS gateway and a subscriber on this machine.
func (c *benchPipelineCmd) Run(ctx context.Context, s streams) error {
	d, err := startDev(ctx, devOptions{Addr: "127.0.0.1:0", LogLevel: slog.LevelError, LogTo: s.err, RiskRules: c.RiskRules})
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	sink := bench.NewWebhookSink()
	url, err := d.serveSink(ctx, sink)
	if err != nil {
		return err
	}
	if _, _, err := d.webhooks.CreateEndpoint(ctx, webhooks.NewEndpoint{URL: url, EventTypes: []string{"order.completed"}}); err != nil {
		return err
	}
	report, err := bench.Pipeline(ctx, bench.PipelineConfig{
		BaseURL: d.APIURL, APIKey: d.Secrets.APIKey, PaymentSecret: d.Secrets.PaymentSecret, Pool: d.pool, Postmaster: d.postmaster,
		Inventory: d.inventory,
		Webhooks:  sink, SMSReceived: func() int { counts, _ := d.Sinks.Counts(); return counts.DistinctSMS },
		Rates: c.Rates, Duration: c.duration(10 * time.Second), SustainedOrders: c.Sustained,
	}, func(line string) { fmt.Fprintln(s.err, line) })
	if err != nil {
		return err
	}
	return c.report(s, &report)
}
