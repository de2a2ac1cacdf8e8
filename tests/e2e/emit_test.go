package e2e

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// psql runs a script as any shell would.
func psql(t *testing.T, databaseURL, script string) result {
	t.Helper()
	return runProgram(t, nil, installed(t, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", databaseURL, "-c", script)
}

// installed finds a program of somebody else's, or skips the test.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	return path
}

// awaitEvent waits for the webhook of an event of the caller's own and gives its data.
func (s *site) awaitEvent(t *testing.T, id string) map[string]any {
	t.Helper()
	await(t, 15*time.Second, "the webhook of event "+id, func() error {
		if s.sink.webhook("msg_"+id) == nil {
			return errors.New("it has not come")
		}
		return nil
	})
	s.sink.nothingWrong(t)
	var data map[string]any
	require.NoError(t, json.Unmarshal(s.sink.webhook("msg_"+id).payload, &data))
	return data
}

const emitNumbered = `select vendbox.emit('invoice.sent', 'invoice', 'INV-%', '{"number": "%"}')`

func emit(number string) string { return strings.ReplaceAll(emitNumbered, "%", number) + ";" }

func TestEmitCommitsWithItsTransaction(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve(t)
	s.subscribe(t, "invoice.*")
	lines := func(script string) []string {
		return strings.Fields(succeed(t, psql(t, s.databaseURL, script)))
	}

	committed := lines("begin; " + emit("1") + emit("2") + "commit;")
	require.Len(t, committed, 2)
	for i, id := range committed {
		require.Equal(t, []string{"1", "2"}[i], s.awaitEvent(t, id)["number"])
	}
	require.Equal(t, 1, s.count(t, "select count(distinct txid) from vendbox.outbox where type = 'invoice.sent'"))
	require.Equal(t, 1, s.count(t, "select count(*) from vendbox.river_job where kind = 'relay'"), "events of one transaction share a job")

	rolledBack := lines("begin; " + emit("3") + "rollback;")
	require.Len(t, rolledBack, 1)
	partly := lines("begin; savepoint a; " + emit("4") + "rollback to a; " + emit("5") + "commit;")
	require.Len(t, partly, 2)

	// Events after those that must not arrive.
	s.awaitEvent(t, partly[1])
	marker := lines(emit("6"))
	s.awaitEvent(t, marker[0])
	s.awaitQuiet(t)
	require.Nil(t, s.sink.webhook("msg_"+rolledBack[0]), "its transaction was rolled back")
	require.Nil(t, s.sink.webhook("msg_"+partly[0]), "its savepoint was rolled back")
	arrived, distinct := s.sink.counts()
	require.Equal(t, []int{4, 4}, []int{arrived, distinct})
	s.audited(t)
}

func TestEmitRefusesWhatIsNotTheCallers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, script := range map[string]string{
		"reserved type":   `select vendbox.emit('order.paid', 'order', '1', '{}')`,
		"malformed type":  `select vendbox.emit('Invoice', 'invoice', '1', '{}')`,
		"no object":       `select vendbox.emit('invoice.sent', 'invoice', '1', '[1]')`,
		"nothing":         `select vendbox.emit('invoice.sent', 'invoice', '1', null)`,
		"too large":       `select vendbox.emit('invoice.sent', 'invoice', '1', jsonb_build_object('a', repeat('x', 300000)))`,
		"of nothing":      `select vendbox.emit('invoice.sent', 'invoice', '', '{}')`,
		"wrong aggregate": `select vendbox.emit('invoice.sent', 'My Invoice', '1', '{}')`,
	} {
		_, err := s.pool.Exec(t.Context(), script)
		require.Error(t, err, name)
	}
	require.Zero(t, s.count(t, "select count(*) from vendbox.outbox"))
}

// A role that may use the schema and execute emit can emit, and nothing else.
func TestEmitNeedsNoOtherRight(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve(t)
	s.subscribe(t, "invoice.*")
	role := "app_" + strings.ToLower(rand.Text()[:10])
	exec := func(sql string) {
		_, err := s.pool.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	exec("create role " + role + " login password 'app'")
	exec("grant usage on schema vendbox to " + role)
	exec("grant execute on function vendbox.emit to " + role)

	app, err := pgx.Connect(t.Context(), asRole(t, s.databaseURL, role))
	require.NoError(t, err)
	t.Cleanup(func() {
		after := context.WithoutCancel(t.Context())
		_ = app.Close(after)
		_, _ = s.pool.Exec(after, "drop owned by "+role+"; drop role "+role)
	})
	var id string
	require.NoError(t, app.QueryRow(t.Context(), strings.ReplaceAll(emitNumbered, "%", "7")).Scan(&id))
	require.Equal(t, "7", s.awaitEvent(t, id)["number"])

	refused := func(sql string) {
		_, err := app.Exec(t.Context(), sql)
		refusal, ok := errors.AsType[*pgconn.PgError](err)
		require.Truef(t, ok, "%s: %v", sql, err)
		require.Equalf(t, "42501", refusal.Code, "%s: %s", sql, refusal.Message)
	}
	rows, err := s.pool.Query(t.Context(), `select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'vendbox'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		refused("select from " + table)
		refused("insert into " + table + " default values")
		refused("delete from " + table)
	}
	refused("create table vendbox.mine (n int)")
	refused("select nextval('vendbox.outbox_seq')")
	refused("select vendbox.outbox_make_partitions(current_date + 100, current_date + 101)")
	_, err = app.Exec(t.Context(), `select vendbox.emit('order.paid', 'order', '1', '{}')`)
	require.ErrorContains(t, err, "reserved")
}

// asRole is the same database for another role.
func asRole(t *testing.T, databaseURL, role string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	u.User = url.UserPassword(role, "app")
	return u.String()
}
