package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// devRun is a running vendbox dev, and what its ready file says.
type devRun struct {
	*child

	info map[string]string
}

func startDev(t *testing.T, dataDir, readyFile string) *devRun {
	t.Helper()
	d := &devRun{child: spawn(t, "vendbox dev", nil, binary, "dev", "--addr", "127.0.0.1:0", "--data-dir", dataDir, "--ready-file", readyFile)}
	await(t, time.Minute, "the ready file", func() error {
		if d.ended() {
			require.Failf(t, "ended", "%s", d.stderr.String())
		}
		text, err := os.ReadFile(readyFile)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &d.info)
	})
	return d
}

// site is what a client makes of the ready file.
func (d *devRun) site(t *testing.T) *site {
	t.Helper()
	s := &site{
		apiKey: d.info["api_key"], paymentSecret: d.info["payment_secret"], databaseURL: d.info["database_url"],
		http: &http.Client{Timeout: 20 * time.Second},
	}
	url := d.info["api_url"]
	s.url.Store(&url)
	pool, err := pgxpool.New(t.Context(), s.databaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	s.pool = pool
	return s
}

// postmaster is the process id of the embedded server.
func postmaster(t *testing.T, dataDir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dataDir, "postgres", "cluster", "postmaster.pid"))
	require.NoError(t, err)
	return strings.TrimSpace(strings.Split(string(text), "\n")[0])
}

// awaitNoProcess waits until a process is gone, where the system shows processes as files.
func awaitNoProcess(t *testing.T, pid string) {
	t.Helper()
	await(t, 20*time.Second, "the end of process "+pid, func() error {
		if commandLine, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil && len(commandLine) > 0 {
			return fmt.Errorf("it runs: %q", commandLine)
		}
		return nil
	})
}

// The path that a newcomer takes, three times on one data directory: stopped, killed, and started again.
func TestDevKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	dataDir := passable(t)
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	first := startDev(t, dataDir, readyFile)
	require.ElementsMatch(t, []string{
		"api_url", "console_url", "api_key", "database_url", "payment_secret", "webhook_sink_url", "sms_sink_url",
	}, slices.Collect(maps.Keys(first.info)))
	for name, value := range first.info {
		require.NotEmpty(t, value, name)
		require.Eventually(t, func() bool { // what it printed comes through a pipe
			return strings.Contains(first.stdout.String(), strings.TrimSuffix(value, "/docs"))
		}, 10*time.Second, 5*time.Millisecond, "the banner has %s", name)
	}
	s := first.site(t)
	require.NoError(t, s.healthy(first.info["console_url"]))
	placed := s.place(t, cart("game-card-100", 2))
	s.pay(t, placed)
	s.awaitCompleted(t, placed, 15*time.Second)
	codes := s.codes(t, placed)
	require.Len(t, codes, 2)
	for url, want := range map[string]string{first.info["webhook_sink_url"]: placed.ID, first.info["sms_sink_url"]: "+8613800138000"} {
		await(t, 10*time.Second, url, func() error { return showing(s, url, want) })
	}
	server := postmaster(t, dataDir)
	require.Zero(t, first.terminate(t, 30*time.Second))
	require.NoFileExists(t, readyFile)
	awaitNoProcess(t, server)

	second := startDev(t, dataDir, readyFile)
	for _, name := range []string{"api_key", "payment_secret"} {
		require.Equal(t, first.info[name], second.info[name], name)
	}
	s = second.site(t)
	require.Equal(t, codes, s.codes(t, placed), "the order, its token and its cards are still there")
	require.Equal(t, 1, s.count(t, "select count(*) from vendbox.webhook_endpoints where deleted_at is null"), "one sink, not one a start")
	server = postmaster(t, dataDir)
	second.kill()
	require.FileExists(t, readyFile, "a killed process removes nothing")
	require.NoError(t, os.Remove(readyFile))

	third := startDev(t, dataDir, readyFile)
	awaitNoProcess(t, server)
	s = third.site(t)
	require.Equal(t, codes, s.codes(t, placed))
	again := s.place(t, cart("game-card-100", 1))
	s.pay(t, again)
	s.awaitCompleted(t, again, 15*time.Second)
	busy := runVendbox(t, nil, "dev", "--addr", "127.0.0.1:0", "--data-dir", dataDir)
	require.Equal(t, 1, busy.code)
	require.Contains(t, busy.stderr, "in use")
	require.Zero(t, third.terminate(t, 30*time.Second))
}

// showing wants a page to have a text.
func showing(s *site, url, want string) error {
	got, err := s.callAt(context.Background(), url, http.MethodGet, "", nil)
	if err == nil && !strings.Contains(string(got.body), want) {
		err = fmt.Errorf("it does not show %s", want)
	}
	return err
}
