package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/failedjobs"
)

// FailedJob is one bad end of one job.
type FailedJob struct {
	ID          uuid.UUID  `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The entry's id."`
	JobID       string     `json:"job_id" example:"10482" doc:"River's id of the job."`
	Kind        string     `json:"kind" example:"webhook_delivery" doc:"What sort of work it is."`
	Queue       string     `json:"queue" example:"webhooks" doc:"The queue it was in."`
	Args        jsonObject `json:"args" doc:"What it was to work on: ids, never secrets."`
	State       string     `json:"state" enum:"discarded,cancelled" example:"discarded" doc:"discarded: its attempts were used up. cancelled: its worker, or a person, gave it up."`
	Attempt     int        `json:"attempt" example:"12" doc:"The attempt that was the last."`
	MaxAttempts int        `json:"max_attempts" example:"12" doc:"How many it had."`
	Error       string     `json:"error" example:"the endpoint answered 500" doc:"The last error; empty when the process died."`
	FailedAt    time.Time  `json:"failed_at" example:"2025-01-02T03:04:05Z" doc:"When it failed for good."`
	Status      string     `json:"status" enum:"open,retried,resolved,discarded" example:"open" doc:"open until somebody acts."`
	ClosedAt    *time.Time `json:"closed_at" nullable:"true" example:"2025-01-02T04:00:00Z" doc:"When somebody did; null while open."`
}

// failedJobDetail is an entry with its story.
type failedJobDetail struct {
	FailedJob

	Metadata      jsonObject     `json:"metadata" doc:"What travelled with the job, such as its traceparent."`
	Interventions []intervention `json:"interventions" doc:"What was done about it, oldest first. It is never changed."`
}

// intervention is what somebody did about a failed job.
type intervention struct {
	Action    string    `json:"action" enum:"retry,resolve,discard" example:"resolve" doc:"What was done."`
	Actor     string    `json:"actor" example:"key:7k2m9qx4" doc:"Who did it: key:<prefix>, operator:<name>, database:<role> or sweep."`
	Note      string    `json:"note" example:"Sent by hand." doc:"Why, in that person's words."`
	JobID     *string   `json:"job_id,omitempty" example:"10482" doc:"Of a retry: the job that was set to work."`
	CreatedAt time.Time `json:"created_at" example:"2025-01-02T04:00:00Z" doc:"When."`
}

func (s *Server) registerFailedJobs() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-failed-jobs", Method: http.MethodGet, Path: "/v1/failed-jobs", Tags: []string{tagFailedJobs},
			Summary:     "List failed jobs",
			Description: "Work that failed for good, newest first. Ask for status=open to see what waits for a person.",
		},
		Auth:   needs(access.FailedJobsRead),
		Faults: []string{"cursor_invalid"},
	}, s.listFailedJobs)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-failed-job", Method: http.MethodGet, Path: "/v1/failed-jobs/{id}", Tags: []string{tagFailedJobs},
			Summary: "Get a failed job", Description: "One entry with everything that was done about it.",
			Errors: []int{http.StatusNotFound},
		},
		Auth:   needs(access.FailedJobsRead),
		Faults: []string{"failed_job_not_found"},
	}, s.getFailedJob)
	s.registerFailedJobAction("retry", "Retry a failed job",
		"Sets the job to work again with all its attempts; one just like it, if the queue has forgotten it. What its room had given up "+
			"is opened again. If it fails again, that is a new entry.", []string{"failed_job_superseded"},
		func(ctx context.Context, in *failedJobActionInput) error {
			_, err := s.deps.FailedJobs.Retry(ctx, in.ID, principalOf(ctx).Actor(), in.note())
			return err
		})
	s.registerFailedJobAction("resolve", "Resolve a failed job",
		"Closes the entry: the work was done by other means. The note, which is required, says how.", []string{"failed_job_note_missing"},
		func(ctx context.Context, in *failedJobActionInput) error {
			return s.deps.FailedJobs.Resolve(ctx, in.ID, principalOf(ctx).Actor(), in.note())
		})
	s.registerFailedJobAction("discard", "Discard a failed job",
		"Closes the entry: the work need not be done. The note, which is required, says why.", []string{"failed_job_note_missing"},
		func(ctx context.Context, in *failedJobActionInput) error {
			return s.deps.FailedJobs.Discard(ctx, in.ID, principalOf(ctx).Actor(), in.note())
		})
}

type failedJobActionInput struct {
	UUIDPath

	Body *struct {
		Note string `json:"note,omitempty" maxLength:"2000" example:"Sent by hand." doc:"Why; kept with the entry for good."`
	}
}

func (in *failedJobActionInput) note() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Note
}

// registerFailedJobAction adds one of the three ways to close an entry. All answer with the entry as it is then.
func (s *Server) registerFailedJobAction(
	action, summary, text string, faults []string, act func(context.Context, *failedJobActionInput) error,
) {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: action + "-failed-job", Method: http.MethodPost, Path: "/v1/failed-jobs/{id}/" + action,
			Tags: []string{tagFailedJobs}, Summary: summary,
			Description: text + " Of several who act on an entry at once one succeeds; the others get failed_job_closed.",
			Errors:      []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth:   needs(access.FailedJobsWrite),
		Faults: append(faults, "failed_job_not_found", "failed_job_closed", "failed_job_note_invalid"),
	}, func(ctx context.Context, in *failedJobActionInput) (*failedJobOutput, error) {
		if err := act(ctx, in); err != nil {
			return nil, err
		}
		return s.getFailedJob(ctx, &in.UUIDPath)
	})
}

type listFailedJobsInput struct {
	PageQuery

	Status string `query:"status" enum:"open,retried,resolved,discarded" example:"open" doc:"Only entries of this status."`
	Kind   string `query:"kind" maxLength:"128" example:"webhook_delivery" doc:"Only jobs of this kind."`
	Queue  string `query:"queue" maxLength:"128" example:"webhooks" doc:"Only jobs of this queue."`
}

type listFailedJobsOutput struct{ Body listBody[FailedJob] }

func (s *Server) listFailedJobs(ctx context.Context, in *listFailedJobsInput) (*listFailedJobsOutput, error) {
	filter := failedjobs.Filter{Status: failedjobs.Status(in.Status), Kind: in.Kind, Queue: in.Queue}
	entries, next, err := s.deps.FailedJobs.List(ctx, filter, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]FailedJob, len(entries))
	for i, entry := range entries {
		views[i] = viewFailedJob(entry)
	}
	return &listFailedJobsOutput{list(views, next)}, nil
}

type failedJobOutput struct{ Body failedJobDetail }

func (s *Server) getFailedJob(ctx context.Context, in *UUIDPath) (*failedJobOutput, error) {
	entry, done, err := s.deps.FailedJobs.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	view := failedJobDetail{
		FailedJob: viewFailedJob(entry), Metadata: objectOf(entry.Metadata), Interventions: make([]intervention, len(done)),
	}
	for i, one := range done {
		view.Interventions[i] = intervention{Action: one.Action, Actor: one.Actor, Note: one.Note, CreatedAt: utc(one.CreatedAt)}
		if one.JobID != nil {
			view.Interventions[i].JobID = new(strconv.FormatInt(*one.JobID, 10))
		}
	}
	return &failedJobOutput{view}, nil
}

func viewFailedJob(entry failedjobs.Entry) FailedJob {
	return FailedJob{
		ID: entry.ID, JobID: strconv.FormatInt(entry.JobID, 10), Kind: entry.Kind, Queue: entry.Queue, Args: objectOf(entry.Args),
		State: entry.State, Attempt: entry.Attempt, MaxAttempts: entry.MaxAttempts, Error: entry.Error, FailedAt: utc(entry.FailedAt),
		Status: string(entry.Status), ClosedAt: utcPtr(entry.ClosedAt),
	}
}

func objectOf(raw json.RawMessage) jsonObject { return jsonObject{raw} }
