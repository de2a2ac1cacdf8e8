package risk

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

// Assessment is what was found of an order when it was paid.
type Assessment struct {
	OrderID      uuid.UUID
	Decision     Decision
	Rules        []string // the names of those that matched
	Scorer       ScorerOutcome
	Score        *float64 // nil: the scorer gave none
	ScorerReason string
	At           time.Time
}

// Get returns an order's assessment. Fault: risk_assessment_not_found.
func (s *Service) Get(ctx context.Context, orderID uuid.UUID) (Assessment, error) {
	row, err := dbq.New(s.pool).RiskAssessment(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Assessment{}, fault.New(fault.NotFound, "risk_assessment_not_found", "order_id", orderID)
	}
	return Assessment{
		OrderID: row.OrderID, Decision: Decision(row.Decision), Rules: row.Rules, Scorer: ScorerOutcome(row.Scorer), Score: row.Score,
		ScorerReason: row.ScorerReason, At: row.AssessedAt,
	}, err
}
