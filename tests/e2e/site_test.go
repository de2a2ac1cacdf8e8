package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/devpg"
)

// site is one shop: a migrated database, its secrets, and the world that it delivers to.
type site struct {
	databaseURL   string
	masterKey     string
	paymentSecret string
	apiKey        string
	pool          *pgxpool.Pool // to look into the database
	sink          *sink
	gateway       string // file

	http *http.Client
	url  atomic.Pointer[string] // of the process that requests go to
}

// newSite makes one on the common server.
func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOn(t, server)
}

func newSiteOn(t *testing.T, server *devpg.Server) *site {
	t.Helper()
	s := &site{
		databaseURL: newDatabase(t, server), paymentSecret: "e2e_" + rand.Text(), sink: newSink(t),
		http: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	s.masterKey = strings.TrimSpace(succeed(t, runVendbox(t, nil, "keyset", "new")))
	s.gateway = s.sink.gateway(t)
	succeed(t, runVendbox(t, s.env(), "migrate", "up"))
	s.apiKey = strings.TrimSpace(succeed(t, runVendbox(t, s.env(), "apikey", "create", "--name", "e2e", "--scopes", "admin")))
	pool, err := pgxpool.New(t.Context(), s.databaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	t.Cleanup(s.http.CloseIdleConnections)
	s.pool = pool
	t.Cleanup(func() {
		if t.Failed() {
			s.showOpenJobs(t)
		}
	})
	return s
}

// showOpenJobs logs the work that is left.
func (s *site) showOpenJobs(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	rows, err := s.pool.Query(ctx, `select to_jsonb(j)::text from (
		select id, kind, state, attempt, attempted_at, scheduled_at, attempted_by, errors, now() from vendbox.river_job
		 where state not in ('completed', 'cancelled') order by id limit 20) j
		union all select to_jsonb(h)::text from vendbox.worker_heartbeats h`)
	if err != nil {
		t.Log(err)
		return
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	t.Logf("open jobs, then hearts (%v):\n%s", err, strings.Join(jobs, "\n"))
}

func newDatabase(t *testing.T, server *devpg.Server) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(""))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	name := "e2e_" + strings.ToLower(rand.Text()[:12])
	_, err = conn.Exec(t.Context(), "create database "+name)
	require.NoError(t, err)
	return server.URL(name) // goes with the server
}

// succeed wants exit code 0 and gives what was printed.
func succeed(t *testing.T, r result) string {
	t.Helper()
	require.Zero(t, r.code, "%s%s", r.stdout, r.stderr)
	return r.stdout
}

// env is the configuration of all its processes.
func (s *site) env(more ...string) []string {
	return append([]string{
		"VENDBOX_DATABASE_URL=" + s.databaseURL, "VENDBOX_MASTER_KEY=" + s.masterKey, "VENDBOX_ADDR=127.0.0.1:0",
		"VENDBOX_PAYMENT_SANDBOX_SECRET=" + s.paymentSecret, "VENDBOX_WEBHOOK_ALLOW_HTTP=true", "VENDBOX_WEBHOOK_ALLOW_PRIVATE=true",
		"VENDBOX_SMS_PROVIDER=http", "VENDBOX_SMS_GATEWAY=" + s.gateway, "VENDBOX_SHUTDOWN_GRACE=10s",
	}, more...)
}

// node is a running vendbox serve.
type node struct {
	*child

	url string
}

// serve starts a process and waits until it is ready. Requests go to the one that was started last.
func (s *site) serve(t *testing.T, args ...string) *node {
	t.Helper()
	return s.serveWith(t, s.env(), args...)
}

func (s *site) serveWith(t *testing.T, env []string, args ...string) *node {
	t.Helper()
	n := &node{child: spawn(t, strings.Join(append([]string{"vendbox", "serve"}, args...), " "), env,
		binary, append([]string{"serve"}, args...)...)}
	await(t, 30*time.Second, n.name, func() error {
		if n.ended() {
			require.Failf(t, "ended", "%s: %s", n.name, n.stderr.String())
		}
		n.url = servingAt(n.stderr.String())
		if n.url == "" {
			return errors.New("it does not say where it serves")
		}
		return s.healthy(n.url + "/readyz")
	})
	s.url.Store(&n.url)
	return n
}

// servingAt finds the address in the log.
func servingAt(log string) string {
	for line := range strings.Lines(log) {
		var entry struct {
			Msg  string `json:"msg"`
			Addr string `json:"addr"`
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "serving" {
			return "http://" + entry.Addr
		}
	}
	return ""
}

func (s *site) healthy(url string) error {
	response, err := s.http.Get(url) //nolint:noctx // the client has a timeout
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}

// count asks the database for a number.
func (s *site) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// audited runs the audit.
func (s *site) audited(t *testing.T) {
	t.Helper()
	succeed(t, runVendbox(t, s.env(), "audit"))
}
