// Package audit checks the promises of the design on a live database, in SQL, and names the rows that break them.
//
// All checks see one snapshot, in a transaction that reads only. A busy system is no offence: what one transaction
// changes together is seen together, and of what happens later (relay, delivery, retries) only that is reported which
// cannot happen by itself any more. Checks are as sharp as SQL can be; what only a test can prove (what survives a kill,
// say) is not claimed.
package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// MaxOffenders bounds the offenders that a check names; it counts them all.
const MaxOffenders = 20

// Offender is something that breaks a promise.
type Offender struct {
	ID       string `json:"id"`       // of the row, or the name of a constraint
	What     string `json:"what"`     // is wrong with it
	Expected string `json:"expected"` // and
	Actual   string `json:"actual"`   // as the snapshot has it
}

// Check is what was found about one promise.
type Check struct {
	ID        string        `json:"id"` // "I1"
	Title     string        `json:"title"`
	Statement string        `json:"statement"` // the promise
	Offenders []Offender    `json:"offenders"` // the first MaxOffenders
	Count     int           `json:"count"`     // of all
	Took      time.Duration `json:"took_ns"`
}

// OK says whether nothing breaks the promise.
func (c Check) OK() bool { return c.Count == 0 }

// Report is what was found.
type Report struct {
	At     time.Time `json:"at"` // of the snapshot, by the database's clock
	Checks []Check   `json:"checks"`
}

// OK says whether every promise is kept.
func (r Report) OK() bool {
	for _, check := range r.Checks {
		if !check.OK() {
			return false
		}
	}
	return true
}

// Run checks every promise.
func Run(ctx context.Context, pool *pgxpool.Pool) (Report, error) {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	// Nothing was written, so how the transaction ends makes no difference.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	report, err := run(ctx, tx)
	if err != nil {
		return Report{}, fmt.Errorf("audit: %w", err)
	}
	return report, nil
}

func run(ctx context.Context, tx pgx.Tx) (Report, error) {
	var report Report
	// Each check is one large query, run once: room to hash, nothing compiled, and no loop over a table that the planner
	// takes for empty because it was not analysed yet.
	if err := pgdb.WholeTables(ctx, tx); err != nil {
		return report, err
	}
	if _, err := tx.Exec(ctx, `set local work_mem = '64MB'; set local enable_nestloop = off`); err != nil {
		return report, err
	}
	// The first query takes the snapshot.
	if err := tx.QueryRow(ctx, `select now()`).Scan(&report.At); err != nil {
		return report, err
	}
	schema, err := brokenSchema(ctx, tx)
	if err != nil {
		return report, err
	}
	for _, p := range promises {
		check := Check{ID: p.id, Title: p.title, Statement: p.statement, Offenders: []Offender{}}
		began := time.Now()
		found, total, err := offenders(ctx, tx, p.query)
		if err != nil {
			return report, fmt.Errorf("%s (%s): %w", p.id, p.title, err)
		}
		check.Took = time.Since(began)
		check.Count = len(schema[p.id]) + total
		check.Offenders = append(check.Offenders, schema[p.id]...) // there are fewer than MaxOffenders
		check.Offenders = append(check.Offenders, found[:min(len(found), MaxOffenders-len(check.Offenders))]...)
		report.Checks = append(report.Checks, check)
	}
	return report, nil
}

// offenders runs a check's query.
func offenders(ctx context.Context, tx pgx.Tx, query string) (found []Offender, total int, err error) {
	rows, err := tx.Query(ctx, `select id, what, expected, actual, count(*) over () from (`+query+`) as offenders
		order by what, id limit $1`, MaxOffenders)
	if err != nil {
		return nil, 0, err
	}
	found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (o Offender, err error) {
		return o, row.Scan(&o.ID, &o.What, &o.Expected, &o.Actual, &total)
	})
	return found, total, err
}

// brokenSchema finds, by promise, what is missing of the constraints and triggers that the promises rest on.
func brokenSchema(ctx context.Context, tx pgx.Tx) (map[string][]Offender, error) {
	rows, err := tx.Query(ctx, requiredQuery)
	if err != nil {
		return nil, fmt.Errorf("constraints and triggers: %w", err)
	}
	broken := map[string][]Offender{}
	var promise string
	var o Offender
	_, err = pgx.ForEachRow(rows, []any{&promise, &o.ID, &o.What, &o.Expected, &o.Actual}, func() error {
		broken[promise] = append(broken[promise], o)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("constraints and triggers: %w", err)
	}
	return broken, nil
}
