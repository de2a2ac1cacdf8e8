package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/vendbox/vendbox/migrations"
)

// versionTable is golang-migrate's, inside our schema.
const versionTable = "schema_migrations"

// MigrateUp makes the schema when it is missing, applies every migration that is not applied yet and returns those it
// applied, also together with an error. Several processes may call it at once: they take turns, and the later ones find
// nothing to do. A database that is newer than this program is left as it is, so that a rollback of the program
// starts.
//
// A migration that fails leaves nothing behind and can be run again. Errors: *LockTimeoutError when a lock was not to
// be had within Config.LockTimeout; *DirtyError when an earlier run was cut off in the middle.
func MigrateUp(ctx context.Context, cfg Config) ([]Migration, error) {
	return migrateUp(ctx, cfg, migrations.FS)
}

// MigrateDown takes back the last migrations, newest first: as many as steps says, all of them when it is 0. What the
// tables hold is lost. After all, the schema exists and is empty. It returns those it took back; errors are as for
// MigrateUp.
func MigrateDown(ctx context.Context, cfg Config, steps int) ([]Migration, error) {
	return migrateDown(ctx, cfg, migrations.FS, steps)
}

func migrateUp(ctx context.Context, cfg Config, files fs.FS) ([]Migration, error) {
	var applied []Migration
	err := withRunner(ctx, cfg, files, func(r *runner) error {
		for _, m := range r.known {
			current, err := r.version()
			if err != nil {
				return err
			}
			if m.Version <= current {
				continue
			}
			if err := r.step(ctx, m, current, func() error { return r.migrate.Migrate(uint(m.Version)) }); err != nil {
				return err
			}
			applied = append(applied, m)
		}
		return nil
	})
	return applied, err
}

func migrateDown(ctx context.Context, cfg Config, files fs.FS, steps int) ([]Migration, error) {
	if steps < 0 {
		return nil, fmt.Errorf("migrate down: %d steps", steps)
	}
	var undone []Migration
	err := withRunner(ctx, cfg, files, func(r *runner) error {
		for steps == 0 || len(undone) < steps {
			current, err := r.version()
			if err != nil {
				return err
			}
			if current == 0 {
				break
			}
			i := slices.IndexFunc(r.known, func(m Migration) bool { return m.Version == current })
			if i < 0 {
				return fmt.Errorf("migrate down: the database is at version %d, which this program does not know: "+
					"use the program that brought it there", current)
			}
			m := r.known[i]
			if err := r.step(ctx, m, current, func() error { return r.migrate.Steps(-1) }); err != nil {
				return err
			}
			undone = append(undone, m)
		}
		return r.dropVersionTable(ctx)
	})
	return undone, err
}

// runner is one process's turn at migrating.
type runner struct {
	cfg     Config
	migrate *migrate.Migrate
	known   []Migration
	// control is a second connection: it holds the turn, and watches what the migrating one waits for.
	control *pgx.Conn
	// pid is the migrating connection's backend.
	pid int
}

// withRunner waits for its turn and calls fn. The turn is a lock of ours beside golang-migrate's own, because that one
// would wait no longer than the lock timeout, and another process's migrations may well take longer.
func withRunner(ctx context.Context, cfg Config, files fs.FS, fn func(*runner) error) (err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	known, err := list(files)
	if err != nil {
		return err
	}
	control, err := connect(ctx, cfg)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() { _ = control.Close(context.WithoutCancel(ctx)) }() // gives the turn up
	const takeTurn = `select pg_advisory_lock(hashtextextended('vendbox.migrate.' || $1, 0))`
	if _, err := control.Exec(ctx, takeTurn, cfg.Schema); err != nil {
		return fmt.Errorf("migrate: wait for another process's migrations: %w", err)
	}
	if err := makeSchema(ctx, control, cfg); err != nil {
		return err
	}
	r := &runner{cfg: cfg, known: known, control: control}
	db, err := r.open(ctx, files)
	if err != nil {
		return err
	}
	defer db.Close()
	defer func() {
		srcErr, dbErr := r.migrate.Close()
		err = errors.Join(err, srcErr, dbErr)
	}()
	return fn(r)
}

// open prepares golang-migrate on a connection of its own.
func (r *runner) open(ctx context.Context, files fs.FS) (*sql.DB, error) {
	cc, err := connConfig(r.cfg)
	if err != nil {
		return nil, err
	}
	cc.RuntimeParams["lock_timeout"] = strconv.FormatInt(r.cfg.LockTimeout.Milliseconds(), 10)
	db := stdlib.OpenDB(*cc)
	// One connection, so that the backend asked for its number here is the one that migrates.
	db.SetMaxOpenConns(1)
	if err := r.prepare(ctx, db, files); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate: %w", err), db.Close())
	}
	return db, nil
}

func (r *runner) prepare(ctx context.Context, db *sql.DB, files fs.FS) error {
	if err := db.QueryRowContext(ctx, `select pg_backend_pid()`).Scan(&r.pid); err != nil {
		return err
	}
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{MigrationsTable: versionTable, SchemaName: r.cfg.Schema})
	if err != nil {
		return r.explain(err, nil)
	}
	source, err := iofs.New(files, ".")
	if err != nil {
		return err
	}
	r.migrate, err = migrate.NewWithInstance("iofs", source, "pgx5", driver)
	return err
}

// version is the version the database is at, 0 for none, *DirtyError when it is not certain.
func (r *runner) version() (int, error) {
	v, dirty, err := r.migrate.Version()
	switch {
	case errors.Is(err, migrate.ErrNilVersion):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("migrate: %w", err)
	case dirty:
		return 0, newDirtyError(r.cfg.Schema, int(v), r.known)
	default:
		return int(v), nil
	}
}

// step runs one migration. golang-migrate marks the version dirty before it and clean after; when Postgres refuses the
// migration, it has rolled the file back as a whole, so the mark is taken back as well and the next run may try again.
// When the connection breaks, nobody knows, and the mark stays.
func (r *runner) step(ctx context.Context, m Migration, current int, run func() error) error {
	watch := r.watch(ctx)
	err := run()
	blocked := watch.stop()
	if err == nil {
		return nil
	}
	explained := r.explain(err, blocked)
	if pgErr, refused := postgresError(err); refused && severity(pgErr) == "ERROR" {
		explained = errors.Join(explained, r.migrate.Force(forced(current)))
	}
	if ctx.Err() != nil {
		explained = errors.Join(context.Cause(ctx), explained)
	}
	return fmt.Errorf("migration %s: %w", m, explained)
}

// forced is golang-migrate's number for a version.
func forced(version int) int {
	if version == 0 {
		return database.NilVersion
	}
	return version
}

// explain turns golang-migrate's errors, which print the whole file and hide the cause, into one to act on.
func (r *runner) explain(err error, blocked []string) error {
	pgErr, ok := postgresError(err)
	switch {
	case !ok:
		return err
	case pgErr.Code == lockNotAvailable:
		return &LockTimeoutError{Waited: r.cfg.LockTimeout, Blocked: blocked, cause: pgErr}
	case pgErr.Where != "":
		return fmt.Errorf("%w (%s)", pgErr, pgErr.Where)
	default:
		return pgErr
	}
}

// postgresError finds the server's answer in an error of golang-migrate, whose error types do not unwrap.
func postgresError(err error) (*pgconn.PgError, bool) {
	if byValue, ok := errors.AsType[database.Error](err); ok {
		err = byValue.OrigErr
	} else if byPointer, ok := errors.AsType[*database.Error](err); ok {
		err = byPointer.OrigErr
	}
	return errors.AsType[*pgconn.PgError](err)
}

// dropVersionTable removes golang-migrate's table when nothing is applied any more.
func (r *runner) dropVersionTable(ctx context.Context) error {
	if current, err := r.version(); err != nil || current != 0 {
		return err
	}
	if _, err := r.control.Exec(ctx, `drop table if exists `+versionTable); err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	return nil
}

// makeSchema asks before it creates: "create schema if not exists" wants the right to create one even if it is there.
func makeSchema(ctx context.Context, conn *pgx.Conn, cfg Config) error {
	var exists bool
	err := conn.QueryRow(ctx, `select exists (select from pg_namespace where nspname = $1)`, cfg.Schema).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.Exec(ctx, `create schema if not exists `+cfg.quotedSchema())
	}
	if err != nil {
		return fmt.Errorf("migrate: make schema %q: %w", cfg.Schema, err)
	}
	return nil
}

func connConfig(cfg Config) (*pgx.ConnConfig, error) {
	cc, err := pgx.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg.apply(cc)
	return cc, nil
}

// connect opens one connection and proves its search path.
func connect(ctx context.Context, cfg Config) (*pgx.Conn, error) {
	cc, err := connConfig(cfg)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	if err := checkSearchPath(ctx, conn, cfg.Schema); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}
