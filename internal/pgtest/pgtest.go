// Package pgtest gives every test a Postgres database of its own, migrated and empty, in some tens of milliseconds.
//
// The server is VENDBOX_TEST_DATABASE_URL (a superuser's, or one with CREATEDB) when that is set. Otherwise all test
// binaries of a user share one embedded server, which the first one starts and which ends by itself soon after the last
// one has ended, however that came about.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// maxConns bounds a test's pool: tests run in parallel and share the server's connections.
const maxConns = 8

// DB is a test's own database.
type DB struct {
	// Pool is open until the test ends.
	Pool *pgxpool.Pool
	// Config opens further pools on the same database.
	Config pgdb.Config
	// URL names the database as its owner.
	URL string
	// AdminURL names the server's "postgres" database, for what cannot be done from inside the test's own.
	AdminURL string
}

// New returns a pool on a database of the test's own, with every migration applied. Both are gone when the test ends.
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return NewDB(tb).Pool
}

// NewDB is New for tests that need more than a pool.
func NewDB(tb testing.TB) DB {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context()) // the test's own is done before its cleanups run
	srv, err := shared(ctx)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	name := databaseName()
	if err := srv.create(ctx, name); err != nil {
		tb.Fatalf("pgtest: create database: %v", err)
	}
	tb.Cleanup(func() {
		if err := srv.drop(ctx, name); err != nil {
			tb.Errorf("pgtest: drop database: %v", err)
		}
	})
	dbURL, err := withDatabase(srv.adminURL, name)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	cfg := pgdb.Config{URL: dbURL, Schema: pgdb.DefaultSchema, MaxConns: maxConns, AppName: appName(tb)}
	pool, err := pgdb.Open(ctx, cfg)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() { closePool(tb, pool) })
	return DB{Pool: pool, Config: cfg, URL: dbURL, AdminURL: srv.adminURL}
}

// closePool closes the pool, but does not wait for ever for connections that the test has not given back: the drop
// that follows ends them, and a hanging test says less than a failed one.
func closePool(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	const patience = 10 * time.Second
	done := make(chan struct{})
	go func() {
		defer close(done)
		pool.Close()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		tb.Errorf("pgtest: the test still holds %d connections of its pool", pool.Stat().AcquiredConns())
	}
}

// databaseName carries the time, so that databases of killed tests can be recognised as old on a server that lives on.
func databaseName() string {
	return fmt.Sprintf("%s%d_%s", testPrefix, time.Now().Unix(), strings.ToLower(rand.Text()[:10]))
}

// appName is the test's name as far as Postgres keeps it, so that pg_stat_activity says who is there.
func appName(tb testing.TB) string {
	tb.Helper()
	name := tb.Name()
	const kept = 63
	if len(name) > kept {
		name = name[len(name)-kept:]
	}
	return name
}

// withDatabase names another database of the same server.
func withDatabase(serverURL, name string) (string, error) {
	u, err := url.Parse(serverURL)
	if err != nil || u.Scheme == "" {
		return "", errors.New("the server's URL must look like postgres://user:password@host:port/postgres")
	}
	u.Path = "/" + name
	return u.String(), nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
