package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/reconcile"
)

// reconciliationEntry is a difference that reconciliation found.
type reconciliationEntry struct {
	ID          uuid.UUID  `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The entry's id."`
	Scope       string     `json:"scope" example:"stuck" doc:"What was compared: books, stuck, or a settlement file with its time."`
	Kind        string     `json:"kind" example:"paid_undelivered" doc:"Which sort of difference."`
	Subject     string     `json:"subject" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d1" doc:"The order, payment, refund or product."`
	What        string     `json:"what" example:"paid and not delivered" doc:"What does not fit."`
	Expected    string     `json:"expected" example:"completed" doc:"What it should be."`
	Actual      string     `json:"actual" example:"on_hold (card_shortage)" doc:"What it is."`
	Suggestion  string     `json:"suggestion" example:"Release or reject it." doc:"What to do about it."`
	Status      string     `json:"status" enum:"open,gone,resolved" example:"open" doc:"gone: a later run did not see it any more."`
	FirstSeenAt time.Time  `json:"first_seen_at" example:"2026-01-02T03:04:05Z" doc:"When it was found."`
	LastSeenAt  time.Time  `json:"last_seen_at" example:"2026-01-02T09:04:05Z" doc:"When it was seen last."`
	ClosedAt    *time.Time `json:"closed_at,omitempty" example:"2026-01-02T10:04:05Z" doc:"When it was closed."`
	ClosedBy    string     `json:"closed_by,omitempty" example:"key:ab12cd34" doc:"Who resolved it."`
	Note        string     `json:"note,omitempty" example:"Refunded at the gateway." doc:"What was done."`
}

func (s *Server) registerReconciliation() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-reconciliation", Method: http.MethodGet, Path: "/v1/reconciliation", Tags: []string{tagPayments},
			Summary: "List differences in the books",
			Description: "What reconciliation found, newest first: broken promises of the audit, paid orders that are not delivered, refunds " +
				"that do not end, money in doubt, and what differs from a gateway's settlement file. It runs every six hours, and by " +
				"vendbox reconcile.",
		},
		Auth: needs(access.OrdersManage), Faults: []string{"cursor_invalid"},
	}, s.listReconciliation)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "resolve-reconciliation", Method: http.MethodPost, Path: "/v1/reconciliation/{id}/resolve", Tags: []string{tagPayments},
			Summary:     "Resolve a difference",
			Description: "Closes an entry: you have dealt with it. If the difference is there still, the next run opens another.",
			Errors:      []int{http.StatusNotFound},
		},
		Auth: needs(access.OrdersManage), Faults: []string{"reconciliation_entry_not_open", "reason_invalid"},
	}, s.resolveReconciliation)
}

type listReconciliationInput struct {
	PageQuery

	Status string `query:"status" enum:"open,gone,resolved" default:"open" example:"open" doc:"Entries of this status."`
}

type listReconciliationOutput struct{ Body listBody[reconciliationEntry] }

func (s *Server) listReconciliation(ctx context.Context, in *listReconciliationInput) (*listReconciliationOutput, error) {
	entries, next, err := s.deps.Books.List(ctx, in.Status, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]reconciliationEntry, len(entries))
	for i, e := range entries {
		views[i] = viewReconciliation(e)
	}
	return &listReconciliationOutput{list(views, next)}, nil
}

func viewReconciliation(e reconcile.Entry) reconciliationEntry {
	return reconciliationEntry{
		ID: e.ID, Scope: e.Scope, Kind: e.Kind, Subject: e.Subject, What: e.What, Expected: e.Expected, Actual: e.Actual,
		Suggestion: e.Suggestion, Status: e.Status, FirstSeenAt: utc(e.FirstSeen), LastSeenAt: utc(e.LastSeen),
		ClosedAt: utcPtr(e.ClosedAt), ClosedBy: e.ClosedBy, Note: e.Note,
	}
}

type resolveReconciliationInput struct {
	UUIDPath

	Body struct {
		Note string `json:"note" minLength:"1" maxLength:"2000" example:"Refunded at the gateway." doc:"What was done."`
	}
}

type reconciliationOutput struct{ Body reconciliationEntry }

func (s *Server) resolveReconciliation(ctx context.Context, in *resolveReconciliationInput) (*reconciliationOutput, error) {
	entry, err := s.deps.Books.Resolve(ctx, in.ID, principalOf(ctx).Actor(), in.Body.Note)
	if err != nil {
		return nil, err
	}
	return &reconciliationOutput{viewReconciliation(entry)}, nil
}
