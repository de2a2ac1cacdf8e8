package payments

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Queue is where money goes back.
const Queue = "payments"

const (
	refundAttempts = 12 // over about a day
	refundTimeout  = 30 * time.Second
	// refundPatience is how long a refund that its gateway has taken over is left alone.
	refundPatience = time.Minute
)

// EventRefunded and EventRefundFailed say what became of the money of a refund. Their payload names the refund, the order,
// the payment and the amount.
const (
	EventRefunded     = "payment.refunded"
	EventRefundFailed = "payment.refund_failed"
)

// Args of the job that has a gateway give money back.
type Args struct {
	RefundID uuid.UUID `json:"refund_id"`
}

// Kind is "refund_payment".
func (Args) Kind() string { return "refund_payment" }

// Enlist is the relay's route from order.refunded to the jobs that return the money: one for each refund, for good.
func (s *Service) Enlist(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]river.InsertManyParams, error) {
	p := dbq.RefundEnlistParams{Now: s.now()}
	for _, event := range events {
		if event.Type != ordering.EventRefunded || event.AggregateType != ordering.AggregateType {
			continue
		}
		if id, err := uuid.Parse(event.AggregateID); err == nil {
			p.OrderIds = append(p.OrderIds, id)
		}
	}
	if len(p.OrderIds) == 0 {
		return nil, nil
	}
	ids, err := dbq.New(tx).RefundEnlist(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("payments: enlist refunds: %w", err)
	}
	jobs := make([]river.InsertManyParams, len(ids))
	for i, id := range ids {
		jobs[i] = jobFor(id)
	}
	return jobs, nil
}

func jobFor(refundID uuid.UUID) river.InsertManyParams {
	return river.InsertManyParams{
		Args: Args{RefundID: refundID}, InsertOpts: &river.InsertOpts{Queue: Queue, MaxAttempts: refundAttempts},
	}
}

const (
	// refundForgottenAfter is how old a refund is before it is asked whether it has a job at all.
	refundForgottenAfter = 10 * time.Minute
	healAtOnce           = 200
)

// HealRefunds gives new jobs, by a client that needs no workers, to refunds that have lost theirs, and says how many there
// were. The gateway is asked under the same id, so the money still goes once.
func (s *Service) HealRefunds(ctx context.Context, client *river.Client[pgx.Tx]) (healed int, err error) {
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// All jobs that can still run are read once, and not once for each refund.
		if err := pgdb.WholeTables(ctx, tx); err != nil {
			return err
		}
		q := dbq.New(tx)
		ids, err := q.RefundForgotten(ctx, dbq.RefundForgottenParams{MadeBefore: s.now().Add(-refundForgottenAfter), MaxRows: healAtOnce})
		if err != nil || len(ids) == 0 {
			return err
		}
		jobs := make([]river.InsertManyParams, len(ids))
		for i, id := range ids {
			jobs[i] = jobFor(id)
		}
		healed = len(ids)
		if _, err := client.InsertManyTx(ctx, tx, jobs); err != nil {
			return err
		}
		return q.RefundEnlisted(ctx, dbq.RefundEnlistedParams{Now: s.now(), IDs: ids})
	})
	if err != nil {
		return 0, fmt.Errorf("payments: heal refunds: %w", err)
	}
	return healed, nil
}

// Worker has gateways give money back.
type Worker struct {
	river.WorkerDefaults[Args]

	s *Service
}

// Worker of this room, for River.
func (s *Service) Worker() *Worker { return &Worker{s: s} }

// Timeout is above the gateway's own.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return 2 * refundTimeout }

// NextRetry doubles from half a minute to four hours, with full jitter.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	ceiling := min(30*time.Second<<min(job.Attempt, 9), 4*time.Hour)
	return time.Now().Add(rand.N(ceiling))
}

// Work asks the gateway, under the refund's own id: however often that is, the money goes once. An outcome that is not
// known is recorded as such and asked about again; one that was refused is a failed job, and a person's.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	row, err := dbq.New(w.s.pool).RefundToDo(ctx, job.Args.RefundID)
	if errors.Is(err, pgx.ErrNoRows) {
		return river.JobCancel(errors.New("payments: there is no such refund"))
	}
	if err != nil {
		return err
	}
	if status := RefundStatus(row.Status); status != RefundPending && status != RefundUnknown {
		return nil
	}
	answer, asked := w.ask(ctx, row)
	if err := w.settle(context.WithoutCancel(ctx), row.ID, answer); err != nil {
		return err
	}
	switch answer.Status {
	case RefundSucceeded, RefundManual:
		return nil
	case RefundPending:
		return river.JobSnooze(refundPatience)
	case RefundRefused:
		return river.JobCancel(errors.New("payments: the gateway refused the refund: " + answer.Reason))
	default:
		return fmt.Errorf("payments: refund: %w", asked)
	}
}

func (w *Worker) ask(ctx context.Context, row dbq.RefundToDoRow) (RefundAnswer, error) {
	refunder, ok := w.s.refunder(row.Channel)
	if !ok {
		return RefundAnswer{Status: RefundManual, Reason: "the channel cannot give money back"}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, refundTimeout)
	defer cancel()
	answer, err := refunder.Refund(ctx, Refund{
		ID: row.ID, Amount: ordering.Money{Amount: row.Amount, Currency: row.Currency}, Reason: row.Reason,
		Attempt: Attempt{
			ID: row.PaymentID, OrderID: row.OrderID, OrderNumber: row.Number, Account: row.Account,
			Amount: ordering.Money{Amount: row.PaidAmount, Currency: row.Currency}, Reference: row.PaymentReference,
		},
	})
	if err != nil {
		return RefundAnswer{Status: RefundUnknown, Reason: "the gateway could not be asked"}, err
	}
	return answer, nil
}

func (s *Service) refunder(channel string) (Refunder, bool) {
	open := s.channels[channel]
	if open == nil {
		return nil, false
	}
	refunder, ok := open.Channel.(Refunder)
	return refunder, ok
}

// errGivenTwice is for a person: the gateway gave money back that somebody had settled otherwise while it was asked.
var errGivenTwice = errors.New("payments: the gateway has given the money back, and somebody else had settled the refund")

// settle records the answer. Somebody may have ended it meanwhile: then that stands.
func (w *Worker) settle(ctx context.Context, id uuid.UUID, answer RefundAnswer) error {
	err := w.s.box.InTx(ctx, func(tx *outbox.Tx) error { return settle(ctx, tx, id, jobMaySettle, answer) })
	if !fault.HasCode(err, "refund_finished") {
		return err
	}
	if answer.Status != RefundSucceeded {
		return nil
	}
	ended, err := w.s.RefundByID(ctx, id)
	if err == nil && ended.Reference != answer.Reference {
		return river.JobCancel(errGivenTwice)
	}
	return err
}
