// Package pgdb is the way to Postgres: the pool, transactions, error codes and migrations. It knows nothing of the
// business.
//
// Everything of vendbox (tables, functions, River) lives in one schema. Connections have exactly that schema as their
// search path, so queries and migrations use unqualified names.
package pgdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// DefaultSchema is the schema when Config names none.
	DefaultSchema = "vendbox"
	// idleInTxTimeout ends a session that forgot its transaction: an old transaction keeps dead rows alive in every
	// table, and the job table has many.
	idleInTxTimeout = time.Minute
	// defaultLockTimeout bounds how long a migration's statement waits for a lock, because everybody else queues
	// behind that wait.
	defaultLockTimeout = 5 * time.Second
)

// Config says where the database is. URL is required.
//
// The search path and the time limits travel as startup parameters, which pgbouncer does not pass on: behind it, list
// them in ignore_startup_parameters and set the search path for the role (alter role … set search_path) or with
// connect_query. Open refuses a connection whose search path is another one. Migrations need a direct connection.
type Config struct {
	// URL is a connection string, as a URL or as key=value pairs.
	URL string
	// Schema holds everything: a lower-case name of up to 41 letters, digits and underscores. Default "vendbox".
	Schema string
	// MaxConns bounds the pool. Default: pgx's own, the larger of 4 and the number of CPUs.
	MaxConns int32
	// AppName is shown in pg_stat_activity. Default "vendbox".
	AppName string
	// Tracer sees every query; optional.
	Tracer pgx.QueryTracer
	// LockTimeout bounds each wait for a lock in a migration. Default 5 s.
	LockTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Schema == "" {
		c.Schema = DefaultSchema
	}
	if c.AppName == "" {
		c.AppName = "vendbox"
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = defaultLockTimeout
	}
	return c
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`)

func (c Config) validate() error {
	var errs []error
	if c.URL == "" {
		errs = append(errs, errors.New("no database URL"))
	}
	if !schemaName.MatchString(c.Schema) {
		errs = append(errs, fmt.Errorf("schema %q: want a lower-case letter or underscore and up to 40 letters, "+
			"digits and underscores", c.Schema))
	}
	if c.MaxConns < 0 {
		errs = append(errs, fmt.Errorf("max conns %d is negative", c.MaxConns))
	}
	if c.LockTimeout < 0 {
		errs = append(errs, fmt.Errorf("lock timeout %s is negative", c.LockTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("database config: %w", err)
	}
	return nil
}

// Open makes a pool and proves it with one query. The caller closes it.
func Open(ctx context.Context, cfg Config) (*pgxpool.Pool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	if mode := pc.ConnConfig.DefaultQueryExecMode; mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
		return nil, fmt.Errorf("database URL: default_query_exec_mode %q cannot send lists of ids: use cache_describe", mode)
	}
	cfg.apply(pc.ConnConfig)
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	pc.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		encodeUUIDs(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := checkSearchPath(ctx, pool, cfg.Schema); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// apply makes a connection one of ours.
func (c Config) apply(cc *pgx.ConnConfig) {
	cc.Tracer = c.Tracer
	cc.OnNotice = onNotice
	if cc.RuntimeParams == nil {
		cc.RuntimeParams = map[string]string{}
	}
	maps.Copy(cc.RuntimeParams, map[string]string{
		"search_path":                         c.quotedSchema(),
		"application_name":                    c.AppName,
		"idle_in_transaction_session_timeout": strconv.FormatInt(idleInTxTimeout.Milliseconds(), 10),
		// Every query of ours looks its rows up by an index. On a young table the planner would rather read all of it, by
		// itself or to merge it with the few rows asked for, and keeps that plan (a foreign key's, say) while the table
		// grows: 31 µs a row instead of 2, then milliseconds. What means to read everything, the audit and the merge of
		// an import, says so (WholeTables). JIT has nothing to win in such queries.
		"enable_seqscan":   "off",
		"enable_mergejoin": "off",
		"enable_hashjoin":  "off",
		"jit":              "off",
		// With an index for each there is one plan for each: making it anew for every batch took a sixth of the
		// database's time.
		"plan_cache_mode": "force_generic_plan",
	})
}

func (c Config) quotedSchema() string { return pgx.Identifier{c.Schema}.Sanitize() }

// checkSearchPath proves that the connection is up and that nothing on the way (a pooler, say) dropped the search path:
// without it, queries would silently go to another schema.
func checkSearchPath(ctx context.Context, q Querier, schema string) error {
	var path string
	if err := q.QueryRow(ctx, `select current_setting('search_path')`).Scan(&path); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if path != schema && path != (pgx.Identifier{schema}).Sanitize() {
		return fmt.Errorf("open database: the search path is %q and not %q: a pooler on the way drops startup "+
			"parameters; set it there (connect_query) or on the role (alter role … set search_path)", path, schema)
	}
	return nil
}

// Querier runs a query for one row: a pool, a connection or a transaction.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// notReplicated is the mark that onNotice leaves in a connection's own map, where InTx looks for it after a COMMIT.
// Notices are handled by whoever reads from the connection at the time, so no lock is needed.
const notReplicated = "vendbox.not_replicated"

// onNotice marks a connection whose COMMIT was not waited for by its synchronous standby. The message is translated by
// the server's locale, the routine that sends it is not.
func onNotice(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.Routine == "SyncRepWaitForLSN" {
		c.CustomData()[notReplicated] = n.Message
	}
}
