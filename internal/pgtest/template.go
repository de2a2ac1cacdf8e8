package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/migrations"
)

const (
	// EnvURL names a server to use instead of the embedded one.
	EnvURL = "VENDBOX_TEST_DATABASE_URL"

	testPrefix     = "vbtest_"
	templatePrefix = "vbtemplate_"
	// staleAfter is when a test's database is certainly nobody's: go test's own limit is ten minutes.
	staleAfter = 2 * time.Hour
)

// server is the Postgres of this test binary, with the template for the migrations it was built with.
type server struct {
	adminURL string
	admin    *pgxpool.Pool
	template string
	// strategy says that the server (15 or newer) lets us choose how to copy. Copying files is twice as fast as copying
	// through the log, 10 against 21 ms, even with the checkpoints it asks for.
	strategy bool
}

// shared makes the connection and the template once per test binary.
var shared = func() func(context.Context) (*server, error) {
	var once sync.Once
	var s *server
	var err error
	return func(ctx context.Context) (*server, error) {
		once.Do(func() { s, err = open(ctx) })
		return s, err
	}
}()

func open(ctx context.Context) (*server, error) {
	adminURL := os.Getenv(EnvURL)
	if adminURL == "" {
		var err error
		if adminURL, err = embedded(ctx); err != nil {
			return nil, err
		}
	}
	pc, err := pgxpool.ParseConfig(adminURL)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = 4 // databases are made a few at a time: more at once only wait for each other
	pc.ConnConfig.RuntimeParams["application_name"] = "pgtest"
	admin, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, err
	}
	hash, err := migrationsHash()
	if err != nil {
		return nil, err
	}
	s := &server{adminURL: adminURL, admin: admin, template: templatePrefix + hash}
	const chooses = `select current_setting('server_version_num')::int >= 150000`
	if err := admin.QueryRow(ctx, chooses).Scan(&s.strategy); err != nil {
		return nil, err
	}
	if err := s.ensureTemplate(ctx); err != nil {
		return nil, fmt.Errorf("template database: %w", err)
	}
	return s, nil
}

// migrationsHash names the content of all migrations: another content is another template.
func migrationsHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(migrations.FS, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(body), body)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

// ensureTemplate makes the template database unless it is there; test binaries take turns. The template mark is set
// last, so a database without it is an attempt that was cut off.
func (s *server) ensureTemplate(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.adminURL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // gives the turn up
	if _, err := conn.Exec(ctx, `select pg_advisory_lock(hashtextextended('vendbox.pgtest.template', 0))`); err != nil {
		return err
	}
	if err := dropStale(ctx, conn); err != nil {
		return err
	}
	var ready bool
	err = conn.QueryRow(ctx, `select datistemplate from pg_database where datname = $1`, s.template).Scan(&ready)
	if ready {
		return nil
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	name := quote(s.template)
	if err := run(ctx, conn, `drop database if exists `+name, `create database `+name); err != nil {
		return err
	}
	dbURL, err := withDatabase(s.adminURL, s.template)
	if err != nil {
		return err
	}
	if _, err := pgdb.MigrateUp(ctx, pgdb.Config{URL: dbURL, AppName: "pgtest"}); err != nil {
		return err
	}
	// Closed to everybody: a database cannot be copied while somebody is in it.
	return run(ctx, conn, `alter database `+name+` with is_template true allow_connections false`)
}

// dropStale removes what killed tests left on a server that lives on.
func dropStale(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `select datname from pg_database where starts_with(datname, $1)`, testPrefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, testPrefix), "_")
		if at, err := strconv.ParseInt(made, 10, 64); err != nil || time.Since(time.Unix(at, 0)) < staleAfter {
			continue
		}
		if err := run(ctx, conn, `drop database if exists `+quote(name)+` with (force)`); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) create(ctx context.Context, name string) error {
	sql := `create database ` + quote(name) + ` template ` + quote(s.template)
	if s.strategy {
		sql += ` strategy file_copy`
	}
	_, err := s.admin.Exec(ctx, sql)
	return err
}

func (s *server) drop(ctx context.Context, name string) error {
	_, err := s.admin.Exec(ctx, `drop database if exists `+quote(name)+` with (force)`)
	return err
}

func run(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}
