package sms

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Status of a message in the ledger.
type Status string

// The statuses.
const (
	StatusPending     Status = "pending"     // waits for its job
	StatusSending     Status = "sending"     // is with the provider right now, or its process died
	StatusSent        Status = "sent"        // the provider has taken it over
	StatusDelivered   Status = "delivered"   // the provider says that it arrived
	StatusUndelivered Status = "undelivered" // the provider says that it did not
	StatusFailed      Status = "failed"      // refused, or given up; it was not sent
	StatusUnknown     Status = "unknown"     // it may have been sent; a person decides
)

// claim asks for the right to make the next attempt at a message.
type claim struct {
	id       uuid.UUID
	round    int32
	attempts int32 // so far; the attempt asked for is the next
	segments int
}

// verdict is what became of an attempt.
type verdict struct {
	id                uuid.UUID
	round             int32
	attempts          int32 // the attempt's number
	status            Status
	providerMessageID string
	code, detail      string
}

// newClaims gathers claims. The result says whether it was granted: of several for one attempt one is.
func (s *Service) newClaims() *groupcommit.Group[claim, bool] {
	return groupcommit.New(groupcommit.Config[claim, bool]{
		Interval: groupcommit.CalmInterval, UnderLoad: groupcommit.CalmUnderLoad, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
		Flush: func(ctx context.Context, batch []claim) ([]groupcommit.Result[bool], error) {
			p := dbq.SMSMessageClaimParams{Provider: s.deps.Provider.Name()}
			for _, c := range batch {
				p.IDs, p.Rounds = append(p.IDs, c.id), append(p.Rounds, c.round)
				p.Attempts, p.Segments = append(p.Attempts, c.attempts), append(p.Segments, int32(c.segments))
			}
			return s.inTx(ctx, p.IDs, func(q *dbq.Queries) ([]uuid.UUID, error) { return q.SMSMessageClaim(ctx, p) })
		},
	})
}

// newResults gathers verdicts. The result says whether it was written: false when the message has moved on since.
func (s *Service) newResults() *groupcommit.Group[verdict, bool] {
	return groupcommit.New(groupcommit.Config[verdict, bool]{
		Interval: groupcommit.CalmInterval, UnderLoad: groupcommit.CalmUnderLoad, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
		Flush: func(ctx context.Context, batch []verdict) ([]groupcommit.Result[bool], error) {
			p := dbq.SMSMessageSettleParams{Now: s.now()}
			for _, v := range batch {
				p.IDs, p.Rounds, p.Attempts = append(p.IDs, v.id), append(p.Rounds, v.round), append(p.Attempts, v.attempts)
				p.Statuses = append(p.Statuses, string(v.status))
				p.ProviderMessageIds = append(p.ProviderMessageIds, v.providerMessageID)
				p.ErrorCodes, p.Errors = append(p.ErrorCodes, v.code), append(p.Errors, v.detail)
			}
			return s.inTx(ctx, p.IDs, func(q *dbq.Queries) ([]uuid.UUID, error) { return q.SMSMessageSettle(ctx, p) })
		},
	})
}

// inTx runs one statement over a set in a transaction and says for each member whether its row was among those
// returned. A message that stands in the set twice was changed once, so only its first member is told so.
func (s *Service) inTx(
	ctx context.Context, ids []uuid.UUID, run func(*dbq.Queries) ([]uuid.UUID, error),
) ([]groupcommit.Result[bool], error) {
	var changed []uuid.UUID
	var end pgdb.End
	err := pgdb.InTxEnd(ctx, s.deps.Pool, &end, func(pgx.Tx) error {
		return end.Ask(func(db pgdb.DB) (err error) { changed, err = run(dbq.New(db)); return err })
	})
	if err != nil {
		return nil, fmt.Errorf("sms: write to the ledger: %w", err)
	}
	left := make(map[uuid.UUID]bool, len(changed))
	for _, id := range changed {
		left[id] = true
	}
	results := make([]groupcommit.Result[bool], len(ids))
	for i, id := range ids {
		results[i].Value = left[id]
		delete(left, id)
	}
	return results, nil
}

// How long a result is held on to while the database is away. A restart takes seconds; a result that is lost makes the
// message unknown.
const (
	settleFor   = 30 * time.Second
	settlePause = 250 * time.Millisecond
)

// settle writes a verdict, whatever has become of the job's context. It does not give up before settleFor has passed.
// written is false when the message had moved on; after a try whose outcome is not known, that one is taken to have done it.
func (s *Service) settle(ctx context.Context, v verdict) (written bool, err error) {
	ctx = context.WithoutCancel(ctx)
	over := time.NewTimer(settleFor)
	defer over.Stop()
	pause, tried := settlePause, false
	for {
		if written, err = s.results.Do(ctx, v); err == nil || pgdb.IsDataError(err) {
			return written || tried, err
		}
		tried = true
		next := time.NewTimer(pause)
		select {
		case <-over.C:
			next.Stop()
			return false, err
		case <-next.C:
			pause = min(2*pause, 4*time.Second)
		}
	}
}
