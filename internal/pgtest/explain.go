package pgtest

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// Explainer is a connection that notes the plan of every query: the very one that a prepared statement of a real
// connection gets, with what it did.
type Explainer struct {
	*pgx.Conn

	plans Plans
}

// Plans are EXPLAIN (ANALYZE, BUFFERS) of some queries.
type Plans []string

// Explain takes a connection from the pool for as long as the test runs.
func Explain(tb testing.TB, pool *pgxpool.Pool) *Explainer {
	tb.Helper()
	conn, err := pool.Acquire(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(conn.Release)
	return &Explainer{Conn: conn.Conn()}
}

// Plans returns the plans since it was asked last.
func (e *Explainer) Plans() Plans {
	plans := e.plans
	e.plans = nil
	return plans
}

// Query notes the query's plan and runs it.
func (e *Explainer) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := e.explain(ctx, sql, args); err != nil {
		return nil, fmt.Errorf("explain: %w\n%s", err, sql)
	}
	return e.Conn.Query(ctx, sql, args...)
}

// QueryRow is Query for one row.
func (e *Explainer) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := e.explain(ctx, sql, args); err != nil {
		return failed{fmt.Errorf("explain: %w\n%s", err, sql)}
	}
	return e.Conn.QueryRow(ctx, sql, args...)
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

func (e *Explainer) explain(ctx context.Context, sql string, args []any) error {
	if _, err := e.Exec(ctx, `prepare explained as `+sql); err != nil {
		return err
	}
	marks := make([]string, len(args))
	all := []any{pgx.QueryExecModeSimpleProtocol}
	for i, arg := range args {
		marks[i] = "$" + strconv.Itoa(i+1)
		switch list := arg.(type) { // which the simple protocol does not know
		case []uuid.UUID:
			arg = literal(list)
		case []string:
			arg = literal(list)
		}
		all = append(all, arg)
	}
	statement := `explain (analyze, buffers) execute explained`
	if len(args) > 0 {
		statement += `(` + strings.Join(marks, ", ") + `)`
	}
	rows, err := e.Conn.Query(ctx, statement, all...)
	if err != nil {
		return err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	e.plans = append(e.plans, strings.Join(lines, "\n"))
	_, err = e.Exec(ctx, `deallocate explained`)
	return err
}

// literal writes an array of plain words.
func literal[T any](list []T) string {
	return "{" + strings.Join(strings.Fields(strings.Trim(fmt.Sprint(list), "[]")), ",") + "}"
}

var buffers = regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)

// Buffers is how many pages the queries have looked at.
func (p Plans) Buffers() int {
	sum := 0
	for _, plan := range p {
		for _, text := range buffers.FindStringSubmatch(plan)[1:] { // the first node's are the whole's
			n, _ := strconv.Atoi(text)
			sum += n
		}
	}
	return sum
}
