package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/devpg"
)

// A purchase is three answers: the order, the payment attempt, the notice.
const answersEach = 3

// newShop is a site that sells one card product and tells the sink of everything.
func newShop(t *testing.T, s *site, sku string, cards int) {
	t.Helper()
	s.stockCards(t, sku, cards)
	s.subscribe(t, "order.*")
	s.textOn(t, "order.completed")
}

func TestKilledProcessKeepsItsPromises(t *testing.T) {
	t.Parallel()
	const orders = 600
	s := newSite(t)
	running := s.serve(t)
	newShop(t, s, "crash", 2*orders)

	buyers := enter(t.Context(), s, "crash", 16, orders, true)
	for _, answers := range []int64{orders * answersEach / 5, orders * answersEach * 3 / 5} {
		buyers.awaitAcked(t, answers+rand.Int64N(orders*answersEach/5))
		running.kill()
		running = s.serve(t)
	}
	bought := buyers.gone(t)
	require.Len(t, bought, orders)
	require.NotZero(t, buyers.strayed.Load(), "nobody noticed the kill: it proves nothing")
	require.Equal(t, orders, s.count(t, "select count(*) from vendbox.orders"), "repeats made orders of their own")
	s.keptPromises(t, bought)
}

func TestCrashedPostgresKeepsItsPromises(t *testing.T) {
	t.Parallel()
	const orders = 300
	options := devpg.Options{DataDir: passable(t), Settings: settings}
	postgres, err := devpg.Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, postgres.Stop()) })
	options.Port = postgres.Port() // the connection string stays as it is
	s := newSiteOn(t, postgres)
	s.serve(t)
	newShop(t, s, "crash", 2*orders)

	buyers := enter(t.Context(), s, "crash", 16, orders, true)
	buyers.awaitAcked(t, orders*answersEach/4+rand.Int64N(orders*answersEach/2))
	crash(t, postgres)
	s.pool.Reset()
	postgres, err = devpg.Start(t.Context(), options)
	require.NoError(t, err)

	bought := buyers.gone(t)
	require.Len(t, bought, orders)
	require.NotZero(t, buyers.strayed.Load(), "nobody noticed the crash: it proves nothing")
	require.Equal(t, orders, s.count(t, "select count(*) from vendbox.orders"), "repeats made orders of their own")
	s.keptPromises(t, bought)
}

// crash kills every process of the server at once, so that nothing is written any more.
func crash(t *testing.T, postgres *devpg.Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), postgres.URL(""))
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), "select pid from pg_stat_activity where pid <> pg_backend_pid()")
	require.NoError(t, err)
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	require.NoError(t, err)
	require.NotEmpty(t, pids)
	for _, pid := range append([]int{postgres.PID()}, pids...) {
		process, err := os.FindProcess(pid)
		require.NoError(t, err)
		_ = process.Kill() // a backend may have ended just now
	}
	<-postgres.Done()
	_ = conn.Close(t.Context()) // it is broken
	require.NoError(t, postgres.Stop())
}

// passable is a directory that the server's user can enter when the test runs as root.
func passable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Clean(os.TempDir()); d = filepath.Dir(d) { //nolint:usetesting // the place of t.TempDir itself
		require.NoError(t, os.Chmod(d, 0o755))
	}
	return dir
}
