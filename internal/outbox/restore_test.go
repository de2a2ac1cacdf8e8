package outbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/devpg"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// A logical dump keeps the events' transaction ids, and a fresh cluster begins to count anew: without epochs the restored
// events would be hidden for as long as it takes to catch up, and new ones would stand before readers' cursors.
func TestADumpRestoredIntoAYoungerClusterHidesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	dump, psql := tool(t, "pg_dump"), tool(t, "psql")
	old := cluster(t)
	oldPool := database(t, old)
	burnTransactionIDs(t, oldPool, 3000)
	oldBox := outbox.NewBox(oldPool, time.Now, nil)
	appendThings(t, oldBox, "before", 5)
	read, cursor := readAll(t, oldBox, "", 3)
	require.Equal(t, []string{"before-0", "before-1", "before-2"}, read)

	text, err := exec.CommandContext(t.Context(), dump, "--schema=vendbox", old.URL("postgres")).Output()
	require.NoError(t, err)
	young := cluster(t)
	restore := exec.CommandContext(t.Context(), psql, "-q", "-v", "ON_ERROR_STOP=1", young.URL("postgres"))
	restore.Stdin = bytes.NewReader(text)
	output, err := restore.CombinedOutput()
	require.NoError(t, err, string(output))

	pool := open(t, young)
	require.Less(t, currentTransactionID(t, pool), currentTransactionID(t, oldPool), "the restored cluster is to be the younger one")
	box := outbox.NewBox(pool, time.Now, nil)
	rest, cursor := readAll(t, box, cursor, 2)
	require.Equal(t, []string{"before-3", "before-4"}, rest, "what was restored is not hidden")
	appendThings(t, box, "after", 3)
	_, err = pool.Exec(t.Context(), `select vendbox.emit('thing.made', 'thing', 'emitted', '{}')`)
	require.NoError(t, err)
	rest, _ = readAll(t, box, cursor, 4)
	require.Equal(t, []string{"after-0", "after-1", "after-2", "emitted"}, rest, "new events come after the old cursor, once")
	all, _ := readAll(t, box, "", 9)
	require.Len(t, all, 9)
}

// tool finds a Postgres client program beside the server's binaries.
func tool(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return slices.Max(found)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install postgresql-client", name)
	}
	return path
}

func cluster(t *testing.T) *devpg.Server {
	t.Helper()
	server, err := devpg.Start(t.Context(), devpg.Options{NoFsync: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

func open(t *testing.T, server *devpg.Server) *pgxpool.Pool {
	t.Helper()
	pool, err := pgdb.Open(t.Context(), pgdb.Config{URL: server.URL("postgres"), Schema: "vendbox", MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func database(t *testing.T, server *devpg.Server) *pgxpool.Pool {
	t.Helper()
	_, err := pgdb.MigrateUp(t.Context(), pgdb.Config{URL: server.URL("postgres"), Schema: "vendbox"})
	require.NoError(t, err)
	return open(t, server)
}

func burnTransactionIDs(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	_, err := pool.Exec(t.Context(), fmt.Sprintf(`do $$ begin
		for i in 1..%d loop perform pg_current_xact_id(); commit; end loop; end $$`, n))
	require.NoError(t, err)
}

func currentTransactionID(t *testing.T, pool *pgxpool.Pool) int64 {
	t.Helper()
	var id int64
	require.NoError(t, pool.QueryRow(t.Context(), `select pg_snapshot_xmax(pg_current_snapshot())::text::bigint`).Scan(&id))
	return id
}

func appendThings(t *testing.T, box *outbox.Box, name string, n int) {
	t.Helper()
	for i := range n {
		require.NoError(t, box.InTx(t.Context(), func(tx *outbox.Tx) error {
			tx.Append(outbox.Event{
				AggregateType: "thing", AggregateID: fmt.Sprintf("%s-%d", name, i), Type: "thing.made", Payload: json.RawMessage(`{"n":1}`),
			})
			return nil
		}))
	}
}

// readAll reads until it has n events, and returns their aggregates' ids and the cursor behind the last.
func readAll(t *testing.T, box *outbox.Box, cursor string, n int) ([]string, string) {
	t.Helper()
	var ids []string
	deadline := time.Now().Add(30 * time.Second)
	for len(ids) < n && time.Now().Before(deadline) {
		events, next, err := box.Feed(t.Context(), cursor, nil, n-len(ids))
		require.NoError(t, err)
		for _, event := range events {
			require.NotEqual(t, uuid.Nil, event.ID)
			ids = append(ids, event.AggregateID)
		}
		cursor = next
	}
	require.Len(t, ids, n)
	return ids, cursor
}
