package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/telemetry"
)

type serveCmd struct {
	config.Config `embed:""`

	Only     string `help:"Only this: api, or workers (which still answers /livez, /readyz and /metrics)." enum:",api,workers" default:""`
	FastPath bool   `help:"Relay events right after their commit. Without, they wait ten seconds for their safety job." default:"true" negatable:"" env:"VENDBOX_FAST_PATH" hidden:""`
}

// Run serves until the process is told to stop, then finishes what it has accepted.
func (c *serveCmd) Run(ctx context.Context, s streams) error {
	log, err := c.logger(s)
	if err != nil {
		return err
	}
	tracing, err := telemetry.StartTracing(ctx, "vendbox", version())
	if err != nil {
		return err
	}
	defer func() {
		if err := tracing.Shutdown(ctx); err != nil {
			log.WarnContext(ctx, "tracing", "error", err)
		}
	}()
	listener, err := listen(ctx, c.Addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	if c.PublicURL == "" {
		c.PublicURL = localURL(listener.Addr())
		if c.Channels != "" {
			log.WarnContext(ctx, "payment gateways cannot call back at this address: set --public-url", "public_url", c.PublicURL)
		}
	}
	stack, err := openStack(ctx, c.Config, log, tracing, stackOptions{noFastPath: !c.FastPath})
	if err != nil {
		return err
	}
	defer stack.Close()
	var workers *working
	if c.Only != "api" {
		if workers, err = stack.startWorkers(ctx); err != nil {
			return err
		}
	}
	log.InfoContext(ctx, "serving", "addr", listener.Addr().String(), "version", version(), "only", c.Only, "config", &c.Config)
	err = stack.run(ctx, stack.newDoor(workers, c.Only == "workers"), workers, listener)
	log.InfoContext(ctx, "stopped", "error", err)
	return err
}

// localURL is where this machine reaches a listener.
func localURL(addr net.Addr) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://localhost"
	}
	return "http://localhost:" + port
}

func (c *serveCmd) logger(s streams) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("log-level: %w", err)
	}
	return telemetry.NewLogger(s.err, level, telemetry.Format(c.LogFormat)), nil
}
