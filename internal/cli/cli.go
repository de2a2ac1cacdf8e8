// Package cli has the commands of vendbox. It is the only place where the rooms are wired together.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/vendbox/vendbox/internal/httpapi"
)

type commands struct {
	Demo      demoCmd      `cmd:"" help:"Sell 2,000 orders on an embedded Postgres, from HTTP to delivered cards, SMS and webhooks, and check the books."`
	Dev       devCmd       `cmd:"" help:"Run everything on an embedded Postgres, seeded, until you stop it."`
	Serve     serveCmd     `cmd:"" help:"Serve the API and work on the jobs."`
	Migrate   migrateCmd   `cmd:"" help:"Bring the database's schema up or down, or show where it is."`
	Audit     auditCmd     `cmd:"" help:"Check every promise on a live database; name the rows that break one."`
	Reconcile reconcileCmd `cmd:"" help:"Compare the books with each other, or with a gateway's settlement file, and suggest repairs."`
	Bench     benchCmd     `cmd:"" help:"Measure orders or the whole pipeline against baselines."`
	APIKey    apiKeyCmd    `cmd:"" name:"apikey" help:"Create, list and revoke API keys."`
	Keyset    keysetCmd    `cmd:"" help:"Make a master key; rotate data keys."`
	OpenAPI   openAPICmd   `cmd:"" name:"openapi" help:"Print the API's description (OpenAPI 3.1, YAML)."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// heapGrowth is how far the heap may grow over what is alive in it, in percent, before it is collected. Little is alive
// here (20 MB under load), so Go's own 100 collects many times a second: a fifth of the process's time.
const heapGrowth = 400

// streams are where a command writes: results to out, progress and errors to err.
type streams struct{ out, err io.Writer }

// Main runs one command and returns the process's exit code: 0 done, 1 failed or found something, 2 misused.
func Main(args []string, stdout, stderr io.Writer) int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exited := -1
	parser, err := kong.New(&commands{}, kong.Name("vendbox"),
		kong.Description("vendbox sells and delivers digital goods with nothing but Postgres."),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams{stdout, stderr}))
	if err != nil {
		fmt.Fprintln(stderr, "vendbox:", err)
		return 2
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help has printed
		return exited
	}
	if err != nil {
		fmt.Fprintln(stderr, "vendbox:", err)
		return 2
	}
	switch err := command.Run(); {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	default:
		fmt.Fprintln(stderr, "vendbox:", httpapi.Explain(err))
		return 1
	}
}

// listen opens the address of the API.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: %w: end what listens there, or choose another address with --addr", addr, syscall.EADDRINUSE)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return listener, nil
}

// errFound is a command's answer, not its failure: it has printed what it found.
var errFound = errors.New("found something")

type versionCmd struct{}

func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, version())
	return err
}

// version is the module's, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "dev"
}
