package risk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// Decision is what becomes of a paid order. Nobody's money is given back by a machine: what the scorer would refuse is
// held, and a person rejects it.
type Decision string

// The decisions.
const (
	DecisionPass Decision = "pass"
	DecisionHold Decision = "hold"
)

// verdict is an assessment that is to be written.
type verdict struct {
	orderID     uuid.UUID
	traceparent string // of the assessment
	decision    Decision
	rules       []string
	scorer      score
}

// decide weighs the rules and the scorer's answer. onFailure stands in for an answer.
func decide(rules []string, answer score, onFailure Decision) Decision {
	switch {
	case len(rules) > 0, answer.Outcome == ScorerHold, answer.Outcome == ScorerRefuse:
		return DecisionHold
	case answer.Outcome == ScorerFailed:
		return onFailure
	default:
		return DecisionPass
	}
}

// reason is for the order's timeline.
func (v *verdict) reason() string {
	var parts []string
	if len(v.rules) > 0 {
		parts = append(parts, "rules: "+strings.Join(v.rules, ", "))
	}
	if v.scorer.Outcome != ScorerOff && v.scorer.Outcome != ScorerPass {
		said := "scorer: " + string(v.scorer.Outcome)
		if v.scorer.Score != nil {
			said += fmt.Sprintf(" (%g)", *v.scorer.Score)
		}
		if v.scorer.Reason != "" {
			said += ", " + v.scorer.Reason
		}
		parts = append(parts, said)
	}
	text := strings.Join(parts, "; ")
	if utf8.RuneCountInString(text) > ordering.MaxReason {
		text = string([]rune(text)[:ordering.MaxReason-1]) + "…"
	}
	return text
}

// flushVerdicts writes verdicts in one transaction, and wakes the workers that deliver once their jobs can be seen.
func (s *Service) flushVerdicts(ctx context.Context, batch []*verdict) ([]groupcommit.Result[bool], error) {
	var written map[uuid.UUID]bool
	passed := 0
	err := s.box.InTx(ctx, func(tx *outbox.Tx) error {
		var err error
		written, passed, err = s.write(ctx, tx, batch)
		return err
	})
	if err != nil {
		return nil, err
	}
	if passed > 0 {
		if err := dbq.New(s.pool).RelayNotify(ctx, dbq.RelayNotifyParams{Queues: []string{s.queue}}); err != nil {
			s.log.WarnContext(ctx, "risk: notify failed; the workers' poll will find the jobs", "error", err)
		}
	}
	results := make([]groupcommit.Result[bool], len(batch))
	for i, v := range batch {
		results[i].Value = written[v.orderID]
		delete(written, v.orderID) // one of two that were the same
	}
	return results, nil
}

// write locks the orders, writes those that nobody has assessed before into the ledger, and does what the verdicts say: the
// delivery's job, or the hold. What a person has decided since the order was paid stays as it is.
func (s *Service) write(ctx context.Context, tx *outbox.Tx, batch []*verdict) (map[uuid.UUID]bool, int, error) {
	ids := make([]uuid.UUID, len(batch))
	for i, v := range batch {
		ids[i] = v.orderID
	}
	orders, err := ordering.Lock(ctx, tx, ids)
	if err != nil {
		return nil, 0, err
	}
	q := dbq.New(tx)
	released, err := q.RiskReleased(ctx, ids)
	if err != nil {
		return nil, 0, err
	}
	due := map[uuid.UUID]*verdict{}
	for _, v := range batch {
		if o := orders[v.orderID]; o != nil && isOpen(o) && due[o.ID] == nil {
			due[o.ID] = v
		}
	}
	inserted, err := q.RiskAssessmentInsert(ctx, ledgerColumns(due, tx))
	if err != nil {
		return nil, 0, err
	}
	written := map[uuid.UUID]bool{}
	var held []*ordering.Order
	var jobs []river.InsertManyParams
	for _, id := range inserted {
		written[id] = true
		order, v := orders[id], due[id]
		switch {
		case order.Status != ordering.Processing || slices.Contains(released, id):
		case v.decision == DecisionPass:
			jobs = append(jobs, s.delivery(id, order.Traceparent))
		default:
			by := ordering.By{Actor: "system:risk", Reason: v.reason(), Traceparent: v.traceparent}
			if err := order.Hold(tx, ordering.HoldRisk, by); err != nil {
				return nil, 0, err
			}
			held = append(held, order)
		}
	}
	if len(jobs) > 0 {
		if _, err := s.jobs.InsertManyFastTx(ctx, tx.Tx, jobs); err != nil {
			return nil, 0, fmt.Errorf("risk: insert jobs: %w", err)
		}
	}
	return written, len(jobs), ordering.Save(ctx, tx, held)
}

func ledgerColumns(due map[uuid.UUID]*verdict, tx *outbox.Tx) dbq.RiskAssessmentInsertParams {
	p := dbq.RiskAssessmentInsertParams{AssessedAt: tx.Now}
	for _, v := range due {
		p.OrderIds = append(p.OrderIds, v.orderID)
		p.Decisions = append(p.Decisions, string(v.decision))
		p.Rules = append(p.Rules, strings.Join(v.rules, ","))
		p.Scorers = append(p.Scorers, string(v.scorer.Outcome))
		value := 0.0
		if v.scorer.Score != nil {
			value = *v.scorer.Score
		}
		p.Scores, p.Scored = append(p.Scores, value), append(p.Scored, v.scorer.Score != nil)
		p.ScorerReasons = append(p.ScorerReasons, v.scorer.Reason)
	}
	return p
}
