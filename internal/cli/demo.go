package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/demo"
)

type demoCmd struct {
	Orders int `help:"How many orders to sell." default:"2000"`
	Buyers int `help:"How many buyers at once." default:"16"`
}

// Run sells, then checks the books.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if c.Orders < 1 || c.Orders > 1_000_000 || c.Buyers < 1 || c.Buyers > 1000 {
		return errors.New("--orders is 1 to 1000000, --buyers 1 to 1000")
	}
	begun := time.Now()
	fmt.Fprintln(s.err, "Starting Postgres, the API, the workers, an SMS gateway and a webhook subscriber…")
	d, err := startDev(ctx, devOptions{Addr: "127.0.0.1:0", LogLevel: slog.LevelWarn, LogTo: s.err})
	if err != nil {
		return err
	}
	err = c.sell(ctx, s, d, time.Since(begun))
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (c *demoCmd) sell(ctx context.Context, s streams, d *devStack, started time.Duration) error {
	bar := progressbar.NewOptions(c.Orders, progressbar.OptionSetWriter(s.err), progressbar.OptionSetDescription("orders delivered"),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30),
		progressbar.OptionSetVisibility(isTerminal(s.err)))
	result, err := demo.Run(ctx, demo.Config{
		APIURL: d.APIURL, APIKey: d.Secrets.APIKey, PaymentSecret: d.Secrets.PaymentSecret, Sinks: d.Sinks, WebhookURL: d.WebhookURL,
		Orders: c.Orders, Buyers: c.Buyers, Progress: func() { _ = bar.Add(1) },
	})
	fmt.Fprintln(s.err)
	if err != nil {
		return err
	}
	printResult(s.out, result, started)
	report, err := audit.Run(ctx, d.pool)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	if err := report.Table(s.out); err != nil {
		return err
	}
	if !report.OK() || !result.Complete() {
		fmt.Fprintln(s.err, "\nSomething is missing or wrong: see above.")
		return errFound
	}
	return nil
}

// isTerminal says whether somebody watches: a progress bar in a file is a thousand lines.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func printResult(out io.Writer, r *demo.Result, started time.Duration) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(name string, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("orders placed over HTTP", "%d", r.Orders)
	row("paid (signed callbacks)", "%d", r.Paid)
	row("delivered, card in the buyer's hand", "%d", r.Delivered)
	row("cards sold twice", "%d", len(r.TwiceSold))
	row("SMS received by the gateway", "%d (%d distinct)", r.Counts.SMS, r.Counts.DistinctSMS)
	row("webhooks received", "%d (%d distinct)", r.Counts.Webhooks, r.Counts.DistinctWebhooks)
	row("webhooks verified by the official library", "%d", r.Counts.Verified)
	row("place an order", "p50 %s   p99 %s", ms(r.Placing.Quantile(.5)), ms(r.Placing.Quantile(.99)))
	row("pay → card", "p50 %s   p99 %s", ms(r.PayToCard.Quantile(.5)), ms(r.PayToCard.Quantile(.99)))
	row("all of it", "%.1f s (%.0f orders/s), after %.1f s to start", r.Took.Seconds(), float64(r.Orders)/r.Took.Seconds(), started.Seconds())
	_ = w.Flush()
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
