package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/webhooks"
)

type devCmd struct {
	Addr      string `help:"Where to listen." default:"127.0.0.1:8080"`
	DataDir   string `help:"Where the database and its secrets are kept. Empty: thrown away at the end." default:".vendbox"`
	ReadyFile string `help:"Write a JSON file with the URLs and keys when everything is up." placeholder:"PATH"`
	Verbose   bool   `help:"Log every job attempt." short:"v"`

	Channels  string `name:"payment-channels" type:"existingfile" placeholder:"FILE" help:"As for serve: the payment gateways, besides the sandbox."`
	RiskRules string `name:"risk-rules" type:"existingfile" placeholder:"FILE" help:"As for serve: rules that hold or refuse orders."`
}

// ready is what a script needs to know; the names are a promise.
type ready struct {
	APIURL         string `json:"api_url"`
	ConsoleURL     string `json:"console_url"`
	APIKey         string `json:"api_key"`
	DatabaseURL    string `json:"database_url"`
	PaymentSecret  string `json:"payment_secret"`
	WebhookSinkURL string `json:"webhook_sink_url"`
	SMSSinkURL     string `json:"sms_sink_url"`
}

// Run starts the stack and keeps it until the process is told to stop.
func (c *devCmd) Run(ctx context.Context, s streams) error {
	if err := removeReadyFile(c.ReadyFile); err != nil {
		return err
	}
	fmt.Fprintln(s.err, "Starting Postgres…")
	level := slog.LevelWarn
	if c.Verbose {
		level = slog.LevelInfo
	}
	d, err := startDev(ctx, devOptions{
		Addr: c.Addr, DataDir: c.DataDir, LogLevel: level, LogTo: s.err, Channels: c.Channels, RiskRules: c.RiskRules,
	})
	if err != nil {
		return err
	}
	if err := d.seed(ctx); err != nil {
		_ = d.Close()
		return err
	}
	info := ready{
		APIURL: d.APIURL, ConsoleURL: d.APIURL + "/docs", APIKey: d.Secrets.APIKey, DatabaseURL: d.cfg.DatabaseURL.Reveal(),
		PaymentSecret: d.Secrets.PaymentSecret, WebhookSinkURL: d.WebhookURL, SMSSinkURL: d.SMSURL,
	}
	fmt.Fprintf(s.out, devBanner, info.APIURL, info.APIURL, info.APIKey, info.PaymentSecret,
		info.WebhookSinkURL, info.SMSSinkURL, info.DatabaseURL)
	if c.ReadyFile != "" {
		if err := writeReadyFile(c.ReadyFile, info); err != nil {
			_ = d.Close()
			return err
		}
		defer os.Remove(c.ReadyFile)
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err, "Stopping…")
	case <-d.done: // by itself: Close has the reason
	}
	return d.Close()
}

const devBanner = `
vendbox is up. Stop it with Ctrl-C.

  API              %s
  API description  %s/docs
  API key          %s
  payment secret   %s   (signs sandbox payment notices)
  webhooks sent    %s   (GET shows what arrived)
  SMS sent         %s   (GET shows what arrived)
  database         %s

In stock: game-card-100 (1,000 cards) and phone-topup-50 (counted, 1,000). README has the tour.
`

// removeReadyFile removes what a killed dev has left behind: whoever waits for the file is to read of the one that starts now.
func removeReadyFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ready-file: %w", err)
	}
	return nil
}

// writeReadyFile makes it appear whole: who waits for the file never reads half of it.
func writeReadyFile(path string, info ready) error {
	text, err := json.MarshalIndent(info, "", "  ") //nolint:gosec // G117: whoever runs dev is to have the key
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return fmt.Errorf("ready-file: %w", err)
	}
	defer os.Remove(temp.Name())
	if _, err := temp.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("ready-file: %w", err)
	}
	if err := temp.Close(); err != nil {
		return fmt.Errorf("ready-file: %w", err)
	}
	return os.Rename(temp.Name(), path)
}

// seed gives an empty shop something to sell, and the sinks' endpoint anew: their port changes with every start.
func (d *devStack) seed(ctx context.Context) error {
	if err := d.seedProducts(ctx); err != nil {
		return err
	}
	endpoints, _, err := d.webhooks.Endpoints(ctx, "", 100)
	if err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		if endpoint.Description == sinkDescription {
			if err := d.webhooks.DeleteEndpoint(ctx, endpoint.ID); err != nil {
				return err
			}
		}
	}
	_, secret, err := d.webhooks.CreateEndpoint(ctx, webhooks.NewEndpoint{
		URL: d.WebhookURL, EventTypes: []string{"*"}, Description: sinkDescription,
	})
	if err != nil {
		return err
	}
	return d.Sinks.Trust(secret.Secret)
}

const (
	sinkDescription = "vendbox dev's own sink"
	seedStock       = 1000
)

func (d *devStack) seedProducts(ctx context.Context) error {
	_, err := d.inventory.Create(ctx, inventory.CreateParams{
		SKU: "game-card-100", Name: "Game card 100", Kind: inventory.KindCard, Price: inventory.Money{Amount: 9900, Currency: "CNY"},
	})
	if fault.HasCode(err, "sku_taken") {
		return nil // seeded by an earlier start
	}
	if err != nil {
		return err
	}
	var cards strings.Builder
	for i := range seedStock {
		fmt.Fprintf(&cards, "GAME-%06d-%04X\n", i+1, (i*40503)%65536)
	}
	if _, err := d.inventory.Import(ctx, inventory.ImportParams{
		SKU: "game-card-100", Format: inventory.FormatText, Reader: strings.NewReader(cards.String()), Actor: "operator:dev",
	}); err != nil {
		return err
	}
	if _, err := d.inventory.Create(ctx, inventory.CreateParams{
		SKU: "phone-topup-50", Name: "Phone top-up 50", Kind: inventory.KindCounted, Price: inventory.Money{Amount: 5000, Currency: "CNY"},
	}); err != nil {
		return err
	}
	_, err = d.inventory.AdjustStock(ctx, "phone-topup-50", seedStock, "opening stock", "operator:dev")
	return err
}
