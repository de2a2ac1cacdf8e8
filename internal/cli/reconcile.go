package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/reconcile"
)

type reconcileCmd struct {
	config.Database `embed:""`

	From        string `help:"Begin of the time to compare: 2026-01-02 (UTC) or 2026-01-02T03:04:05Z. Default: a day before --to." placeholder:"TIME"`
	To          string `help:"Its end. Default: now." placeholder:"TIME"`
	Settlement  string `help:"Compare with this settlement file (CSV) of a gateway." type:"existingfile" placeholder:"FILE"`
	Channel     string `help:"The payment channel of the settlement file." placeholder:"NAME"`
	PaymentCol  string `name:"payment-column" help:"The file's column with our payment ids." default:"payment_id" placeholder:"NAME"`
	AmountCol   string `name:"amount-column" help:"Its column with amounts, as decimals." default:"amount" placeholder:"NAME"`
	CurrencyCol string `name:"currency-column" help:"Its column with currencies, if it has one." default:"currency" placeholder:"NAME"`
	TypeCol     string `name:"type-column" help:"Its column that tells refunds, if it has one." default:"type" placeholder:"NAME"`
	Currency    string `help:"Currency of lines that name none." default:"CNY" placeholder:"CODE"`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Run compares and prints the differences. It exits with 1 when there are any. The running service asks the gateways; this
// command has no keys of theirs.
func (c *reconcileCmd) Run(ctx context.Context, s streams) error {
	from, to, err := c.times(time.Now())
	if err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, databaseConfig(c.Database, "vendbox reconcile", nil))
	if err != nil {
		return err
	}
	defer pool.Close()
	room := reconcile.New(pool, nil, time.Now)
	report, err := c.compare(ctx, room, from, to)
	if err != nil {
		return err
	}
	if c.JSON {
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = printDifferences(s.out, report)
	}
	if err == nil && len(report.Differences) > 0 {
		return errFound
	}
	return err
}

func (c *reconcileCmd) compare(ctx context.Context, room *reconcile.Service, from, to time.Time) (reconcile.Report, error) {
	if c.Settlement == "" {
		return room.Run(ctx, from, to)
	}
	if c.Channel == "" {
		return reconcile.Report{}, errors.New("--settlement needs --channel: whose file is it?")
	}
	file, err := os.Open(c.Settlement)
	if err != nil {
		return reconcile.Report{}, err
	}
	defer file.Close()
	lines, bad, err := reconcile.ReadSettlement(file, reconcile.Columns{
		Payment: c.PaymentCol, Amount: c.AmountCol, Currency: c.CurrencyCol, Type: c.TypeCol, Default: c.Currency,
	})
	if err != nil {
		return reconcile.Report{}, err
	}
	return room.Settle(ctx, c.Channel, lines, bad, from, to)
}

func (c *reconcileCmd) times(now time.Time) (from, to time.Time, err error) {
	to = now
	if c.To != "" {
		if to, err = parseTime(c.To); err != nil {
			return from, to, fmt.Errorf("--to: %w", err)
		}
	}
	from = to.AddDate(0, 0, -1)
	if c.From != "" {
		if from, err = parseTime(c.From); err != nil {
			return from, to, fmt.Errorf("--from: %w", err)
		}
	}
	if !from.Before(to) {
		return from, to, fmt.Errorf("--from %s is not before --to %s", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	return from, to, nil
}

func parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("%q: want 2026-01-02 or 2026-01-02T03:04:05Z", text)
	}
	return at, nil
}

func printDifferences(w io.Writer, report reconcile.Report) error {
	fmt.Fprintf(w, "Compared %s to %s: %d differences, %d of earlier runs repaired.\n",
		report.From.UTC().Format(time.RFC3339), report.To.UTC().Format(time.RFC3339), len(report.Differences), report.Gone)
	if len(report.Differences) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "\nKIND\tSUBJECT\tWHAT\tEXPECTED\tFOUND")
	suggested := map[string]string{}
	for _, d := range report.Differences {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", d.Kind, d.Subject, d.What, d.Expected, d.Actual)
		suggested[d.Kind] = d.Suggestion
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("\nWhat to do:\n")
	for _, d := range report.Differences {
		if text, ok := suggested[d.Kind]; ok {
			fmt.Fprintf(&b, "  %s: %s\n", d.Kind, text)
			delete(suggested, d.Kind)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
