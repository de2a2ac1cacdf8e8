package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/failedjobs"
)

// failedJobsBulk is one action for many entries.
type failedJobsBulk struct {
	Action string `json:"action" enum:"retry,resolve,discard" example:"retry" doc:"What to do with each."`
	Kind   string `json:"kind,omitempty" maxLength:"128" example:"webhook_delivery" doc:"Only jobs of this kind."`
	Queue  string `json:"queue,omitempty" maxLength:"128" example:"webhooks" doc:"Only jobs of this queue."`
	Note   string `json:"note,omitempty" maxLength:"2000" example:"The gateway was down." doc:"Why. Required to resolve and to discard."`
	Limit  int    `json:"limit,omitempty" minimum:"1" maximum:"500" default:"100" doc:"How many at most, the newest first."`
}

// failedJobsBulkResult says what became of them.
type failedJobsBulkResult struct {
	Done    int                   `json:"done" example:"42" doc:"How many were acted on."`
	Refused []failedJobsBulkError `json:"refused" doc:"Those that were not, and why."`
	More    bool                  `json:"more" doc:"Whether open entries that fit are left beyond the limit."`
}

// failedJobsBulkError is one that was not acted on.
type failedJobsBulkError struct {
	ID    uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The entry's id."`
	Error *Problem  `json:"error" doc:"Why."`
}

func (s *Server) registerFailedJobsBulk() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "act-on-failed-jobs", Method: http.MethodPost, Path: "/v1/failed-jobs/bulk", Tags: []string{tagFailedJobs},
			Summary: "Act on many failed jobs",
			Description: "Retries, resolves or discards the open entries of a kind or a queue, each by itself: one that is refused holds " +
				"back no other. Call it again while more is true.",
		},
		Auth:   needs(access.FailedJobsWrite),
		Faults: []string{"failed_job_note_missing", "failed_job_note_invalid"},
	}, func(ctx context.Context, in *struct{ Body failedJobsBulk }) (*struct{ Body failedJobsBulkResult }, error) {
		filter := failedjobs.Filter{Kind: in.Body.Kind, Queue: in.Body.Queue}
		got, err := s.deps.FailedJobs.Bulk(ctx, failedjobs.Action(in.Body.Action), filter, in.Body.Limit, principalOf(ctx).Actor(), in.Body.Note)
		if err != nil {
			return nil, err
		}
		out := &struct{ Body failedJobsBulkResult }{failedJobsBulkResult{Done: got.Done, Refused: []failedJobsBulkError{}, More: got.More}}
		for id, refused := range got.Refused {
			out.Body.Refused = append(out.Body.Refused, failedJobsBulkError{ID: id, Error: problemOf(ctx, refused)})
		}
		return out, nil
	})
}
