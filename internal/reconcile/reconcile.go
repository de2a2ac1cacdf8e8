// Package reconcile (对账) compares what the books say with each other and with the gateways: the promises of the audit,
// what should have moved on by itself and has not, attempts whose gateways know more than we do, and a gateway's settlement
// file. Each difference is an entry with a suggested repair, open until a later run does not see it any more or a person
// says that it is resolved.
package reconcile

import (
	"context"
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
	books, err := s.books(ctx)
	if err != nil {
		return report, err
	}
	stuck, err := s.stuck(ctx, from, to)
	if err != nil {
		return report, err
	}
	for scope, found := range map[string][]Difference{"books": books, "stuck": stuck} {
		gone, err := s.save(ctx, scope, found)
		if err != nil {
			return report, err
		}
		report.Gone += gone
		report.Differences = append(report.Differences, found...)
	}
	return report, nil
}

// books are the promises of the audit.
func (s *Service) books(ctx context.Context) ([]Difference, error) {
	report, err := audit.Run(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	var found []Difference
	for _, check := range report.Checks {
		for _, o := range check.Offenders {
			found = append(found, Difference{
				Kind: check.ID, Subject: o.ID, What: o.What, Expected: o.Expected, Actual: o.Actual, Suggestion: suggestions[check.ID],
			})
		}
	}
	return found, nil
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

// suggestions say what a person does about a kind of difference.
var suggestions = map[string]string{
	"paid_undelivered": "Look at the order's timeline. On hold: release or reject it. Processing: look for its job among the failed jobs, and retry it.",
	"refund_open":      "manual: give the money back at the gateway, then settle the refund. unknown: look at the gateway, then settle it or retry its failed job. refused: do it by other means, then settle it.",
	"money_in_doubt":   "Compare with the gateway. Give the money back there, or release the order if it is held and the amount is right after all.",
	"I1":               "Stock does not add up: look for changes made by hand. Correct a counted product with a stock adjustment; disable or import cards.",
	"I2":               "A card was given twice or to nobody. Disable it, and give the buyer another one by refunding the unit and ordering anew.",
	"I3":               "An order does not hold what it says. Hold it and compare with its card deliveries.",
	"I4":               "Two orders of one idempotency key: cancel or refund one of them.",
	"I5":               "An order is paid without a notice, or the other way round: compare with the gateway.",
	"I6":               "A state without its event: subscribers have not heard of it. Tell them, and find out who changed the row.",
	"I7":               "An event has not become its jobs: look at the failed jobs of the relay, and retry them.",
	"I8":               "A webhook is neither delivered nor given up: use recover on its endpoint.",
	"I9":               "A payment was applied against the rules: compare with the gateway, and refund what is too much.",
	"I10":              "Money does not add up: compare the order's timeline, refunds and deliveries.",
	"I11":              "A failed job has no entry: upkeep's sweep notes it within a minute; if not, look at the trigger failed_jobs_note.",
	"I12":              "A secret stands in plain text: rotate it, and remove it from where it stands.",

	"settlement_unknown":      "The gateway settled a payment that we do not know: find out whom it was for, and give it back.",
	"settlement_not_applied":  "The gateway has the money and our payment did not succeed: replay its callback, or ask the gateway again.",
	"settlement_amount":       "The gateway settled another amount: compare the payment at the gateway, then refund or write it off.",
	"settlement_missing":      "We count a payment that the gateway did not settle in this time: look at the next file, then at the gateway.",
	"settlement_refund":       "What the gateway gave back is not what we recorded: settle the refund, or compare it at the gateway.",
	"settlement_line_invalid": "A line of the file could not be read: correct the file or the names of its columns, and import it again.",
}

// save writes a scope's differences down and closes those of its entries that were not seen. It says how many.
func (s *Service) save(ctx context.Context, scope string, found []Difference) (gone int, err error) {
	seenAt := s.now().UTC().Truncate(time.Microsecond)
	p := dbq.ReconciliationSaveParams{Scope: scope, SeenAt: seenAt}
	seen := map[[3]string]bool{}
	for _, d := range found {
		key := [3]string{d.Kind, d.Subject, d.What}
		if seen[key] {
			continue // an insert sees a row once
		}
		seen[key] = true
		p.IDs = append(p.IDs, uuid.Must(uuid.NewV7()))
		p.Kinds, p.Subjects, p.Whats = append(p.Kinds, d.Kind), append(p.Subjects, d.Subject), append(p.Whats, d.What)
		p.Expected, p.Actual = append(p.Expected, d.Expected), append(p.Actual, d.Actual)
		p.Suggestions = append(p.Suggestions, d.Suggestion)
	}
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if len(p.IDs) > 0 {
			if err := q.ReconciliationSave(ctx, p); err != nil {
				return err
			}
		}
		n, err := q.ReconciliationGone(ctx, dbq.ReconciliationGoneParams{Scope: scope, SeenAt: seenAt})
		gone = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reconcile: write differences: %w", err)
	}
	return gone, nil
}
