//go:build unix

package devpg

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// reachable is a directory that the server's user can enter when the test runs as root.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) { //nolint:usetesting // the place of t.TempDir itself
		require.NoError(t, os.Chmod(d, 0o755))
	}
	return dir
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	var out string
	require.NoError(t, conn.QueryRow(ctx, sql).Scan(&out))
	return out
}

func TestStartStop(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	var log bytes.Buffer
	s := start(t, Options{
		Settings: map[string]string{"max_connections": "17", "log_min_messages": "log", "listen_addresses": "*"},
		Log:      &log,
	})
	t.Logf("Postgres %s started in %v", s.Version(), time.Since(begin).Round(time.Millisecond))

	for setting, want := range map[string]string{
		"max_connections":         "17",
		"fsync":                   "on",
		"synchronous_commit":      "on",
		"jit":                     "off",
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"server_encoding":         "UTF8",
	} {
		require.Equal(t, want, query(t, s.URL(""), "show "+setting), setting)
	}

	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "a second Stop is harmless")
	<-s.Done()
	require.NoDirExists(t, s.dir.path)
	require.Error(t, ping(t.Context(), s.URL("")))
	require.Contains(t, log.String(), "ready to accept connections")
}

func TestPasswordIsAsked(t *testing.T) {
	t.Parallel()
	s := start(t, Options{NoFsync: true})
	wrong := &Server{port: s.port}
	wrong.password = "wrong"
	require.ErrorContains(t, ping(t.Context(), wrong.URL("")), "password authentication failed")
}

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	var servers [2]*Server
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { servers[i] = start(t, Options{NoFsync: true}) })
	}
	wg.Wait()
	const cluster = `select system_identifier::text from pg_control_system()`
	require.NotEqual(t, query(t, servers[0].URL(""), cluster), query(t, servers[1].URL(""), cluster))
	require.NoError(t, servers[0].Stop())
	require.NoError(t, ping(t.Context(), servers[1].URL("")), "one stops, the other stays")
}

func TestKeptData(t *testing.T) {
	t.Parallel()
	opts := Options{DataDir: filepath.Join(reachable(t), "data")}
	s := start(t, opts)
	conn, err := pgx.Connect(t.Context(), s.URL(""))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `create table kept as select 'still here' as word`)
	require.NoError(t, err)

	_, err = Start(t.Context(), opts)
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, opts.DataDir)

	require.NoError(t, s.Stop(), "with a connection open")
	again := start(t, opts)
	require.Equal(t, "still here", query(t, again.URL(""), `select word from kept`))
	require.Equal(t, s.password, again.password)
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Options{Port: port})
	require.ErrorContains(t, err, "could not bind")
}

func TestBadSettingQuotesTheLog(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, `unrecognized configuration parameter "no_such_setting"`)
}

func TestForeignClusterIsRefused(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "PG_VERSION"), []byte("15\n"), 0o600))
	_, err := Start(t.Context(), Options{DataDir: dir})
	require.ErrorContains(t, err, "choose an empty directory")
}

func TestStartIsBoundByItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, Options{})
	require.Error(t, err)
}
