package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"go.opentelemetry.io/otel/trace"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// worker sends messages.
type worker struct {
	river.WorkerDefaults[Args]

	s *Service
}

// Timeout is above the provider's own and everything the database may take around it.
func (w *worker) Timeout(*river.Job[Args]) time.Duration {
	return w.s.deps.Provider.Timeout() + settleFor + time.Minute
}

// NextRetry backs off exponentially with full jitter.
func (w *worker) NextRetry(job *river.Job[Args]) time.Time {
	ceiling := w.s.cfg.RetryCap
	if doublings := max(job.Attempt-1, 0); doublings < 30 {
		ceiling = min(w.s.cfg.RetryBase<<doublings, ceiling)
	}
	return w.s.deps.Now().Add(rand.N(ceiling + 1))
}

// Work makes one attempt.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	ctx = telemetry.WithTraceparent(ctx, traceparentOf(job.Metadata))
	ctx, span := w.s.tracer.Start(ctx, "send SMS", trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	a := &attempt{s: w.s, job: job, began: w.s.deps.Now()}
	err := a.run(ctx)
	a.report(ctx, span, err)
	return err
}

func traceparentOf(metadata []byte) string {
	var m struct {
		Traceparent string `json:"traceparent"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return ""
	}
	return m.Traceparent
}

// errTaken says that another run of the same job has claimed the attempt. This one comes back to see what became of it.
var errTaken = errors.New("sms: another run of this job is at the message")

// attempt is one run of a job, with what its log line says.
type attempt struct {
	s        *Service
	job      *river.Job[Args]
	began    time.Time
	draft    draft
	segments int
	asked    bool // the provider
	latency  time.Duration
	result   Result
	note     string // why nothing was sent
}

func (a *attempt) run(ctx context.Context) error {
	var err error
	if a.draft, err = a.s.drafts.Do(ctx, a.job.Args.MessageID); err != nil {
		if errors.Is(err, errNoMessage) {
			return river.JobCancel(err)
		}
		return err
	}
	if done, err := a.standing(ctx); done {
		return err
	}
	m, segments, problem, err := a.s.compose(ctx, a.draft)
	if err != nil {
		return err
	}
	if a.segments = segments; problem != nil {
		return a.conclude(ctx, Result{Outcome: Rejected, Code: problem.code, Detail: problem.detail})
	}
	if err := a.claim(ctx); err != nil {
		return err
	}
	a.asked = true
	asked := a.s.deps.Now()
	// Detached: a message that is on its way is worth the seconds that a stopping process waits for it.
	result := a.s.deps.Provider.Send(context.WithoutCancel(ctx), m)
	a.latency = a.s.deps.Now().Sub(asked)
	return a.conclude(ctx, result)
}

// standing deals with messages that are not simply waiting to be sent.
func (a *attempt) standing(ctx context.Context) (done bool, err error) {
	d := a.draft
	if d.Round != a.job.Args.Round {
		a.note = "superseded"
		return true, nil
	}
	switch Status(d.Status) {
	case StatusPending:
		return false, nil
	case StatusSending:
		if d.ResendUnknown {
			return false, nil
		}
		return true, a.conclude(ctx, Result{
			Outcome: Unknown, Code: "interrupted", Detail: "the process ended while the message was being sent",
		})
	case StatusFailed, StatusUnknown:
		// The process ended between the verdict and the job's own end.
		return true, river.JobCancel(fmt.Errorf("sms: the message is %s already (%s)", d.Status, d.ErrorCode))
	default:
		a.note = "already " + d.Status
		return true, nil
	}
}

// claim marks the message as being sent. From here on a crash leaves a trace.
func (a *attempt) claim(ctx context.Context) error {
	granted, err := a.s.claims.Do(context.WithoutCancel(ctx), claim{
		id: a.draft.ID, round: a.draft.Round, attempts: a.draft.Attempts, segments: a.segments,
	})
	if errors.Is(err, pgdb.ErrCommitUnknown) {
		// Should the mark have been made after all, it has to go: we know that nothing was sent.
		a.draft.Attempts++
		_, _ = a.s.settle(ctx, a.verdict(StatusPending, Result{Code: "claim_lost"}))
	}
	if err != nil {
		return err
	}
	if !granted {
		return errTaken
	}
	a.draft.Attempts++
	return nil
}

// conclude writes down what became of the attempt and tells River how to go on.
func (a *attempt) conclude(ctx context.Context, result Result) error {
	a.result = result
	status, answer := a.decide(result)
	written, err := a.s.settle(ctx, a.verdict(status, result))
	if err != nil {
		return err
	}
	if !written {
		a.note = "the message has moved on since"
		return nil
	}
	return answer
}

func (a *attempt) verdict(status Status, result Result) verdict {
	return verdict{
		id: a.draft.ID, round: a.draft.Round, attempts: a.draft.Attempts, status: status,
		providerMessageID: result.ProviderMessageID, code: result.Code, detail: result.Detail,
	}
}

// decide gives the message's next status and the answer to River.
func (a *attempt) decide(result Result) (Status, error) {
	last := a.job.Attempt >= a.job.MaxAttempts
	why := fmt.Errorf("sms %s (%s): %s", result.Outcome, result.Code, result.Detail)
	switch result.Outcome {
	case Sent:
		return StatusSent, nil
	case Rejected:
		return StatusFailed, river.JobCancel(why)
	case Throttled:
		return StatusPending, river.JobSnooze(throttleWait(result.RetryAfter))
	case Temporary:
		if last {
			return StatusFailed, fmt.Errorf("%w; it was the last attempt", why)
		}
		return StatusPending, why
	default:
		if a.draft.ResendUnknown && !last {
			return StatusPending, why
		}
		return StatusUnknown, river.JobCancel(fmt.Errorf("%w. It may have been delivered: find out, then resend it or let it be", why))
	}
}

// throttleWait spreads what was throttled together.
func throttleWait(asked time.Duration) time.Duration {
	if asked <= 0 {
		return 10*time.Second + rand.N(20*time.Second)
	}
	return asked + rand.N(asked/4+time.Millisecond)
}
