package pgdb_test

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/migrations"
)

// freshSchema is a schema that does not exist yet, in a database of the test's own, beside a migrated one.
func freshSchema(t *testing.T) (pgtest.DB, pgdb.Config) {
	t.Helper()
	db := pgtest.NewDB(t)
	cfg := db.Config
	cfg.Schema = "fresh"
	return db, cfg
}

// objects counts what a schema holds.
func objects(t *testing.T, db pgtest.DB, schema string) int {
	t.Helper()
	var n int
	require.NoError(t, db.Pool.QueryRow(t.Context(), `select
		(select count(*) from pg_class where relnamespace = $1::regnamespace) +
		(select count(*) from pg_proc where pronamespace = $1::regnamespace) +
		(select count(*) from pg_type where typnamespace = $1::regnamespace)`, schema).Scan(&n))
	return n
}

func applied(t *testing.T, cfg pgdb.Config) (done, open int) {
	t.Helper()
	status, err := pgdb.Status(t.Context(), cfg)
	require.NoError(t, err)
	for _, s := range status {
		if s.Applied {
			done++
		} else {
			open++
		}
	}
	return done, open
}

func TestMigrateUpDownUp(t *testing.T) {
	t.Parallel()
	db, cfg := freshSchema(t)
	ctx := t.Context()
	done, all := applied(t, cfg)
	require.Zero(t, done, "no schema is a valid status")
	inDefault := objects(t, db, pgdb.DefaultSchema)

	up, err := pgdb.MigrateUp(ctx, cfg)
	require.NoError(t, err)
	require.Len(t, up, all)
	require.Equal(t, "000001_river_v2", up[0].String())
	done, open := applied(t, cfg)
	require.Equal(t, all, done)
	require.Zero(t, open)
	full := objects(t, db, "fresh")
	require.Equal(t, inDefault, full, "every object goes to the schema of the search path")

	again, err := pgdb.MigrateUp(ctx, cfg)
	require.NoError(t, err)
	require.Empty(t, again)

	one, err := pgdb.MigrateDown(ctx, cfg, 1)
	require.NoError(t, err)
	require.Equal(t, up[len(up)-1:], one)

	down, err := pgdb.MigrateDown(ctx, cfg, 0)
	require.NoError(t, err)
	require.Len(t, down, all-1)
	require.Zero(t, objects(t, db, "fresh"), "the schema is empty")
	require.Equal(t, inDefault, objects(t, db, pgdb.DefaultSchema), "the neighbour is untouched")

	up, err = pgdb.MigrateUp(ctx, cfg)
	require.NoError(t, err)
	require.Len(t, up, all)
	require.Equal(t, full, objects(t, db, "fresh"))
}

func TestMigrateUpTwiceAtOnce(t *testing.T) {
	t.Parallel()
	_, cfg := freshSchema(t)
	_, all := applied(t, cfg)
	var total int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			up, err := pgdb.MigrateUp(t.Context(), cfg)
			mu.Lock()
			defer mu.Unlock()
			total += len(up)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, all, total, "each migration is applied once")
}

func TestMigrateWaitsItsTurnLongerThanForALock(t *testing.T) {
	t.Parallel()
	_, cfg := freshSchema(t)
	cfg.LockTimeout = 20 * time.Millisecond
	slow := fstest.MapFS{
		"1_slow.up.sql":   {Data: []byte(`select pg_sleep(0.3); create table once ()`)},
		"1_slow.down.sql": {Data: []byte(`drop table once`)},
	}
	errs := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := pgdb.MigrateUpFrom(t.Context(), cfg, slow)
			errs <- err
		}()
	}
	require.NoError(t, <-errs)
	require.NoError(t, <-errs)
}

func TestMigrateSaysWhoHoldsTheLock(t *testing.T) {
	t.Parallel()
	db, cfg := freshSchema(t)
	ctx := t.Context()
	cfg.LockTimeout = 400 * time.Millisecond
	files := fstest.MapFS{
		"1_book.up.sql":  {Data: []byte(`create table book (id int)`)},
		"2_pages.up.sql": {Data: []byte(`create table page (); alter table book add column pages int`)},
	}
	_, err := pgdb.MigrateUpFrom(ctx, cfg, fstest.MapFS{"1_book.up.sql": files["1_book.up.sql"]})
	require.NoError(t, err)

	holder, err := db.Pool.Begin(ctx)
	require.NoError(t, err)
	_, err = holder.Exec(ctx, `lock table fresh.book in access share mode`)
	require.NoError(t, err)

	_, err = pgdb.MigrateUpFrom(ctx, cfg, files)
	var timeout *pgdb.LockTimeoutError
	require.ErrorAs(t, err, &timeout)
	require.True(t, pgdb.IsLockTimeout(err))
	t.Log(err)
	require.ErrorContains(t, err, "migration 000002_pages: could not get a lock within 400ms")
	require.ErrorContains(t, err, "AccessExclusiveLock on book: held by process")
	require.ErrorContains(t, err, `lock table fresh.book in access share mode`)
	require.ErrorContains(t, err, "pg_terminate_backend")

	require.NoError(t, holder.Rollback(ctx))
	up, err := pgdb.MigrateUpFrom(ctx, cfg, files)
	require.NoError(t, err, "nothing was changed, so it can be run again")
	require.Equal(t, []pgdb.Migration{{Version: 2, Name: "pages"}}, up)
}

func TestMigrateFailureLeavesNothing(t *testing.T) {
	t.Parallel()
	db, cfg := freshSchema(t)
	ctx := t.Context()
	bad := fstest.MapFS{"1_bad.up.sql": {Data: []byte("create table half ();\ncreate tabel other ();")}}
	_, err := pgdb.MigrateUpFrom(ctx, cfg, bad)
	require.ErrorContains(t, err, "migration 000001_bad")
	require.ErrorContains(t, err, `syntax error at or near "tabel"`)
	var half bool
	require.NoError(t, db.Pool.QueryRow(ctx, `select to_regclass('fresh.half') is not null`).Scan(&half))
	require.False(t, half)

	good := fstest.MapFS{"1_bad.up.sql": {Data: []byte(`create table half ()`)}}
	_, err = pgdb.MigrateUpFrom(ctx, cfg, good)
	require.NoError(t, err)
	bad["1_bad.up.sql"] = good["1_bad.up.sql"]
	bad["1_bad.down.sql"] = &fstest.MapFile{Data: []byte(`drop table no_such_table`)}
	_, err = pgdb.MigrateDownFrom(ctx, cfg, bad, 0)
	require.ErrorContains(t, err, "no_such_table")
	bad["1_bad.down.sql"] = &fstest.MapFile{Data: []byte(`drop table half`)}
	_, err = pgdb.MigrateDownFrom(ctx, cfg, bad, 0)
	require.NoError(t, err, "the version was kept, so the corrected file runs")
}

func TestMigrateStopsWhenCanceled(t *testing.T) {
	t.Parallel()
	_, cfg := freshSchema(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := pgdb.MigrateUpFrom(ctx, cfg, fstest.MapFS{"1_long.up.sql": {Data: []byte(`select pg_sleep(60)`)}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 30*time.Second)

	_, err = pgdb.MigrateUpFrom(t.Context(), cfg, fstest.MapFS{"1_long.up.sql": {Data: []byte(`select 1`)}})
	require.NoError(t, err, "it is not dirty")
}

func TestDirtyVersionSaysWhatToDo(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	ctx := t.Context()
	_, err := db.Pool.Exec(ctx, `update schema_migrations set version = 3, dirty = true`)
	require.NoError(t, err)

	_, upErr := pgdb.MigrateUp(ctx, db.Config)
	_, downErr := pgdb.MigrateDown(ctx, db.Config, 1)
	_, statusErr := pgdb.Status(ctx, db.Config)
	_, pendingErr := pgdb.Pending(ctx, db.Pool)
	for _, err := range []error{upErr, downErr, statusErr, pendingErr} {
		var dirty *pgdb.DirtyError
		require.ErrorAs(t, err, &dirty)
		require.ErrorContains(t, err, "000003_river_v4 was cut off")
		require.ErrorContains(t, err, `update "vendbox"."schema_migrations" set version = 2, dirty = false;`)
	}
}

func TestPendingAndANewerDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	ctx := t.Context()
	last, err := pgdb.MigrateDown(ctx, db.Config, 1)
	require.NoError(t, err)
	pending, err := pgdb.Pending(ctx, db.Pool)
	require.NoError(t, err)
	require.Equal(t, last, pending)
	_, err = pgdb.MigrateUp(ctx, db.Config)
	require.NoError(t, err)

	_, err = db.Pool.Exec(ctx, `update schema_migrations set version = 999999`)
	require.NoError(t, err)
	up, err := pgdb.MigrateUp(ctx, db.Config)
	require.NoError(t, err, "an older program leaves a newer database alone")
	require.Empty(t, up)
	_, err = pgdb.MigrateDown(ctx, db.Config, 1)
	require.ErrorContains(t, err, "version 999999")
}

// A file has to be one transaction: a failed one is taken for undone, and the program says so.
func TestFilesAreOneTransaction(t *testing.T) {
	t.Parallel()
	control := regexp.MustCompile(`(?im)^\s*(begin|commit|rollback|start\s+transaction|vacuum)\s*(work|transaction)?\s*;|\bconcurrently\b`)
	comment := regexp.MustCompile(`--[^\n]*`)
	entries, err := migrations.FS.ReadDir(".")
	require.NoError(t, err)
	for _, e := range entries {
		sql, err := migrations.FS.ReadFile(e.Name())
		require.NoError(t, err)
		require.NotRegexp(t, control, comment.ReplaceAllString(string(sql), ""), e.Name())
		require.Regexp(t, `^\d{6}_[a-z0-9_]+\.(up|down)\.sql$`, e.Name())
		other := strings.NewReplacer(".up.sql", ".down.sql", ".down.sql", ".up.sql").Replace(e.Name())
		_, err = migrations.FS.Open(other)
		require.NoError(t, err, "every migration goes both ways")
	}
}
