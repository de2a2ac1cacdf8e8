package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/demo"
	"github.com/vendbox/vendbox/internal/devpg"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// devOptions of a stack on an embedded Postgres.
type devOptions struct {
	Addr     string // of the API
	DataDir  string // "" is thrown away
	LogLevel slog.Level
	LogTo    io.Writer

	Channels  string // file of payment gateways; "": the sandbox alone
	RiskRules string // file; "": none
}

// devStack is everything on one machine: Postgres, API, workers, and the far ends of SMS and webhooks.
type devStack struct {
	*stack

	Sinks      *demo.Sinks
	APIURL     string
	WebhookURL string
	SMSURL     string
	Secrets    devSecrets

	postmaster int // process id

	stop context.CancelFunc
	done chan struct{} // closed when the API and the workers have stopped
	err  error         // why, once done
	ends []func()
}

// devSecrets are made once per data directory.
type devSecrets struct {
	MasterKey     string `json:"master_key"`
	PaymentSecret string `json:"payment_secret"`
	APIKey        string `json:"api_key"`
}

// startDev starts it all. Close it.
func startDev(ctx context.Context, opts devOptions) (*devStack, error) {
	d := &devStack{stack: &stack{log: telemetry.NewLogger(opts.LogTo, opts.LogLevel, telemetry.Text)}, done: make(chan struct{})}
	if err := d.start(ctx, opts); err != nil {
		close(d.done)
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *devStack) start(ctx context.Context, opts devOptions) error {
	if err := d.loadSecrets(opts.DataDir); err != nil {
		return err
	}
	listener, err := listen(ctx, opts.Addr)
	if err != nil {
		return err
	}
	d.ends = append(d.ends, func() { _ = listener.Close() })
	cfg, err := d.startPostgres(ctx, opts)
	if err != nil {
		return err
	}
	d.APIURL = "http://" + listener.Addr().String()
	cfg.PublicURL, cfg.Channels, cfg.RiskRules = d.APIURL, opts.Channels, opts.RiskRules
	if err := d.startSinks(ctx); err != nil {
		return err
	}
	tracing, err := telemetry.StartTracing(ctx, "vendbox", version())
	if err != nil {
		return err
	}
	d.ends = append(d.ends, func() { _ = tracing.Shutdown(ctx) })
	gateway := sinkGateway(d.SMSURL)
	opened, err := openStack(ctx, cfg, d.log, tracing, stackOptions{smsGateway: &gateway})
	if err != nil {
		return err
	}
	d.stack = opened
	d.ends = append(d.ends, opened.Close)
	if err := d.prepare(ctx, opts.DataDir); err != nil {
		return err
	}
	return d.run(ctx, listener)
}

// loadSecrets reads the data directory's secrets, or makes them.
func (d *devStack) loadSecrets(dataDir string) error {
	fresh := devSecrets{MasterKey: cardvault.NewMasterKey().Reveal(), PaymentSecret: "dev_" + rand.Text()}
	if dataDir == "" {
		d.Secrets = fresh
		return nil
	}
	text, err := os.ReadFile(secretsFile(dataDir))
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.Secrets = fresh
		return d.saveSecrets(dataDir)
	case err != nil:
		return err
	}
	if err := json.Unmarshal(text, &d.Secrets); err != nil {
		return fmt.Errorf("%s: %w (delete %s to begin anew)", secretsFile(dataDir), err, dataDir)
	}
	return nil
}

func (d *devStack) saveSecrets(dataDir string) error {
	text, err := json.MarshalIndent(d.Secrets, "", "  ") //nolint:gosec // G117: to keep them is what it is for
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataDir, 0o755); err != nil { //nolint:gosec // the server's user must be able to pass
		return err
	}
	return os.WriteFile(secretsFile(dataDir), append(text, '\n'), 0o600)
}

func secretsFile(dataDir string) string { return filepath.Join(dataDir, "secrets.json") }

// startPostgres starts the server, makes the database and migrates it.
func (d *devStack) startPostgres(ctx context.Context, opts devOptions) (config.Config, error) {
	cfg := devConfig()
	pgOpts := devpg.Options{Log: io.Discard}
	if opts.DataDir != "" {
		pgOpts.DataDir = filepath.Join(opts.DataDir, "postgres")
	}
	server, err := devpg.Start(ctx, pgOpts)
	if err != nil {
		return cfg, err
	}
	d.postmaster = server.PID()
	d.ends = append(d.ends, func() {
		if err := server.Stop(); err != nil {
			d.log.WarnContext(ctx, "stop postgres", "error", err)
		}
	})
	cfg.DatabaseURL = config.DatabaseURL{Secret: config.NewSecret(server.URL("postgres"))}
	cfg.MasterKey = config.NewSecret(d.Secrets.MasterKey)
	cfg.SandboxSecret = config.NewSecret(d.Secrets.PaymentSecret)
	if _, err := pgdb.MigrateUp(ctx, databaseConfig(cfg.Database, "vendbox migrate", nil)); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// devConfig are serve's defaults, but for what development wants: plain HTTP and private addresses, connections enough for
// all that is in this one process, nobody who waits long for its end, and a name on the buyer's page.
func devConfig() config.Config {
	cfg := config.Defaults()
	cfg.AllowHTTP, cfg.AllowPrivate = true, true
	cfg.MaxConns, cfg.ShutdownGrace = 24, 10*time.Second
	cfg.ShopName, cfg.Support = "Example shop", "help@shop.example"
	return cfg
}

func (d *devStack) startSinks(ctx context.Context) error {
	d.Sinks = demo.NewSinks(time.Now)
	url, err := d.serveSink(ctx, d.Sinks.Handler())
	d.WebhookURL, d.SMSURL = url+"/webhooks", url+"/sms"
	return err
}

// serveSink gives a far end an address of its own. It ends with the stack.
func (d *devStack) serveSink(ctx context.Context, sink http.Handler) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for a sink: %w", err)
	}
	server := &http.Server{Handler: sink, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	d.ends = append(d.ends, func() { _ = server.Close() })
	return "http://" + listener.Addr().String(), nil
}

// sinkGateway is how the generic HTTP provider speaks to the sink: as to any gateway.
func sinkGateway(url string) sms.GatewayConfig {
	return sms.GatewayConfig{
		Name: "sink", Method: http.MethodPost, URL: url, BodyFormat: "json",
		Body:          json.RawMessage(`{"to":"{to}","text":"{text}","ref":"{ref}"}`),
		Success:       sms.GatewaySuccess{Path: "code", Equals: "0"},
		MessageIDPath: "id", ErrorCodePath: "code", Timeout: sms.Duration(5 * time.Second),
	}
}

// prepare makes the API key and the SMS templates, once.
func (d *devStack) prepare(ctx context.Context, dataDir string) error {
	if err := d.sms.SeedTemplates(ctx); err != nil {
		return err
	}
	if d.Secrets.APIKey != "" {
		return nil
	}
	var err error
	if _, d.Secrets.APIKey, err = d.keys.Create(ctx, "development", []string{"admin"}, nil); err != nil {
		return err
	}
	if dataDir == "" {
		return nil
	}
	return d.saveSecrets(dataDir)
}

// run serves in the background until Close.
func (d *devStack) run(ctx context.Context, listener net.Listener) error {
	ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	workers, err := d.startWorkers(ctx)
	if err != nil {
		return err
	}
	door := d.newDoor(workers, false)
	go func() {
		defer close(d.done)
		d.err = d.stack.run(ctx, door, workers, listener)
	}()
	return nil
}

// Close stops everything, the last started first.
func (d *devStack) Close() error {
	if d.stop != nil {
		d.stop()
	}
	<-d.done
	for _, end := range slices.Backward(d.ends) {
		end()
	}
	d.ends = nil
	return d.err
}
