package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
)

// riskAssessment is what was found of an order when it was paid.
type riskAssessment struct {
	OrderID      uuid.UUID `json:"order_id" example:"019c5f6e-7c1a-7b60-9a54-1f0e8a2b3c4d" doc:"The order."`
	Decision     string    `json:"decision" enum:"pass,hold" example:"hold" doc:"hold: nothing was delivered, and the order waits for a person."`
	Rules        []string  `json:"rules" example:"[\"large-order\"]" doc:"The names of the rules that matched."`
	Scorer       string    `json:"scorer" enum:"off,pass,hold,refuse,failed" example:"hold" doc:"What the external scorer said. off: there is none. failed: it gave no answer, and its on_failure decided."`
	Score        *float64  `json:"score,omitempty" example:"0.93" doc:"The scorer's score, in its own terms."`
	ScorerReason string    `json:"scorer_reason,omitempty" example:"address seen in 14 orders" doc:"The scorer's words, or what was wrong with its answer."`
	AssessedAt   time.Time `json:"assessed_at" example:"2026-01-02T03:04:05Z" doc:"When."`
}

func (s *Server) registerRisk() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-order-risk", Method: http.MethodGet, Path: "/v1/orders/{id}/risk", Tags: []string{tagOrders},
			Summary: "Get an order's risk assessment",
			Description: "What the risk rules and the scorer found when the order was paid, before anything was delivered. An order that was not " +
				"paid, or was paid while there were no rules, has none.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.OrdersManage), Faults: []string{"risk_assessment_not_found"},
	}, s.getOrderRisk)
}

type riskAssessmentOutput struct{ Body riskAssessment }

func (s *Server) getOrderRisk(ctx context.Context, in *UUIDPath) (*riskAssessmentOutput, error) {
	a, err := s.deps.Risk.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &riskAssessmentOutput{riskAssessment{
		OrderID: a.OrderID, Decision: string(a.Decision), Rules: a.Rules, Scorer: string(a.Scorer), Score: a.Score,
		ScorerReason: a.ScorerReason, AssessedAt: utc(a.At),
	}}, nil
}
