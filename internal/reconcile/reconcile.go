// Package reconcile (对账) compares what the books say with each other and with the gateways: the promises of the audit,
// what should have moved on by itself and has not, attempts whose gateways know more than we do, and a gateway's settlement
// file. Each difference is an entry with a suggested repair, open until a later run does not see it any more or a person
// says that it is resolved.
package reconcile

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// StuckAfter is how long an order may be paid and not delivered, or a refund open, before that is a difference.
const StuckAfter = 10 * time.Minute

// Difference is something that does not fit.
type Difference struct {
	Kind       string `json:"kind"`    // "paid_undelivered", "refund_open", "money_in_doubt", "I1" …, "settlement_…"
	Subject    string `json:"subject"` // the id of the order, payment, refund or product
	What       string `json:"what"`
	Expected   string `json:"expected"`
	Actual     string `json:"actual"`
	Suggestion string `json:"suggestion"` // what to do about it
}

// Report is what one run found.
type Report struct {
	From        time.Time    `json:"from"`
	To          time.Time    `json:"to"`
	Asked       bool         `json:"asked"`       // whether gateways were asked
	FoundPaid   int          `json:"found_paid"`  // lost callbacks that were found, and applied
	Gone        int          `json:"gone"`        // entries of earlier runs that are repaired
	Differences []Difference `json:"differences"` // open entries
}

// Gateways asks what became of attempts: payments.Service.
type Gateways interface {
	AskGateways(ctx context.Context) (found int, err error)
}

// Service is the room.
type Service struct {
	pool     *pgxpool.Pool
	gateways Gateways // nil: not asked
	now      func() time.Time
}

// New makes the room.
func New(pool *pgxpool.Pool, gateways Gateways, now func() time.Time) *Service {
	return &Service{pool: pool, gateways: gateways, now: now}
}

// Run compares what happened in a time, writes the differences down and returns them. Gateways are asked first, so that
// what only a lost callback explains is repaired and not reported.
func (s *Service) Run(ctx context.Context, from, to time.Time) (Report, error) {
	report := Report{From: from, To: to}
	if s.gateways != nil {
		var err error
		report.Asked = true
		if report.FoundPaid, err = s.gateways.AskGateways(ctx); err != nil {
			return report, fmt.Errorf("reconcile: ask the gateways: %w", err)
		}
	}
	// First what is cheap and urgent: the books are read as a whole, which takes long in a large shop.
	stuck, err := s.stuck(ctx, from, to)
	if err != nil {
		return report, err
	}
	if err := s.keep(ctx, &report, "stuck", stuck, true); err != nil {
		return report, err
	}
	return report, s.books(ctx, &report)
}

// keep adds a scope's differences to the report and to the entries. whole says that they are all there are.
func (s *Service) keep(ctx context.Context, report *Report, scope string, found []Difference, whole bool) error {
	open, gone, err := s.save(ctx, scope, found, whole)
	report.Gone += gone
	report.Differences = append(report.Differences, open...)
	return err
}

// books are the promises of the audit, each a scope. It names the first offenders of each: as long as there are more, nobody
// can say that one is gone.
func (s *Service) books(ctx context.Context, report *Report) error {
	audited, err := audit.Run(ctx, s.pool)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	for _, check := range audited.Checks {
		var found []Difference
		for _, o := range check.Offenders {
			found = append(found, Difference{
				Kind: check.ID, Subject: o.ID, What: o.What, Expected: o.Expected, Actual: o.Actual, Suggestion: suggestions[check.ID],
			})
		}
		if err := s.keep(ctx, report, "books "+check.ID, found, check.Count == len(check.Offenders)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) stuck(ctx context.Context, from, to time.Time) ([]Difference, error) {
	rows, err := dbq.New(s.pool).ReconcileStuck(ctx, dbq.ReconcileStuckParams{
		StuckSince: s.now().Add(-StuckAfter), FromTime: from, ToTime: to,
	})
	if err != nil {
		return nil, fmt.Errorf("reconcile: what is stuck: %w", err)
	}
	found := make([]Difference, len(rows))
	for i, row := range rows {
		found[i] = Difference{
			Kind: row.Kind, Subject: row.Subject, What: row.What, Expected: row.Expected, Actual: row.Actual, Suggestion: suggestions[row.Kind],
		}
	}
	return found, nil
}

//go:embed suggestions.json
var suggestionsFile []byte

// suggestions say what a person does about a kind of difference.
var suggestions = func() (texts map[string]string) {
	if err := json.Unmarshal(suggestionsFile, &texts); err != nil {
		panic("reconcile: suggestions.json: " + err.Error())
	}
	return texts
}()

// save writes a scope's differences down and, when they are the whole of it, closes those of its entries that were not seen. It
// gives those that are open now, without what a person has resolved, and says how many were closed.
func (s *Service) save(ctx context.Context, scope string, found []Difference, whole bool) (open []Difference, gone int, err error) {
	seenAt := s.now().UTC().Truncate(time.Microsecond)
	p := dbq.ReconciliationSaveParams{Scope: scope, SeenAt: seenAt}
	seen := map[dbq.ReconciliationSaveRow]Difference{}
	for _, d := range found {
		key := dbq.ReconciliationSaveRow{Kind: d.Kind, Subject: d.Subject, What: d.What}
		if _, ok := seen[key]; ok {
			continue // an insert sees a row once
		}
		seen[key] = d
		p.IDs = append(p.IDs, uuid.Must(uuid.NewV7()))
		p.Kinds, p.Subjects, p.Whats = append(p.Kinds, d.Kind), append(p.Subjects, d.Subject), append(p.Whats, d.What)
		p.Expected, p.Actual = append(p.Expected, d.Expected), append(p.Actual, d.Actual)
		p.Suggestions = append(p.Suggestions, d.Suggestion)
	}
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if len(p.IDs) > 0 {
			rows, err := q.ReconciliationSave(ctx, p)
			if err != nil {
				return err
			}
			for _, row := range rows {
				open = append(open, seen[row])
			}
		}
		if !whole {
			return nil
		}
		n, err := q.ReconciliationGone(ctx, dbq.ReconciliationGoneParams{Scope: scope, SeenAt: seenAt})
		gone = int(n)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reconcile: write differences: %w", err)
	}
	return open, gone, nil
}
