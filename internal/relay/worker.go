package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/outbox"
)

// Queue is where the safety jobs run.
const Queue = "relay"

// Args of a safety job: one transaction, by its epoch and id, and the day (UTC) whose partition holds its events.
// outbox.Box and vendbox.emit insert these jobs in SQL.
type Args struct {
	Epoch int32  `json:"epoch"`
	TxID  string `json:"txid"`
	Day   string `json:"day"`
}

// Kind is "relay".
func (Args) Kind() string { return "relay" }

// Worker runs the safety jobs.
type Worker struct {
	river.WorkerDefaults[Args]

	relay *Relay
}

// Worker of this relay, for River.
func (r *Relay) Worker() *Worker { return &Worker{relay: r} }

// Timeout is that of all the hops it may need.
func (w *Worker) Timeout(*river.Job[Args]) time.Duration { return lateTimeout }

// NextRetry backs off up to a minute, with full jitter.
func (w *Worker) NextRetry(job *river.Job[Args]) time.Time {
	ceiling := min(time.Second<<min(job.Attempt, 6), time.Minute)
	return time.Now().Add(rand.N(ceiling))
}

// Work relays the events of the job's transaction. Those that were relayed before are in the ledgers and stay as they are.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	txid, err := strconv.ParseUint(job.Args.TxID, 10, 64)
	if err != nil {
		return river.JobCancel(fmt.Errorf("relay: transaction id: %w", err))
	}
	day, err := time.Parse(time.DateOnly, job.Args.Day)
	if err != nil {
		return river.JobCancel(fmt.Errorf("relay: day: %w", err))
	}
	events, err := outbox.OfTransaction(ctx, w.relay.pool, job.Args.Epoch, txid, day)
	if err != nil || len(events) == 0 {
		return err
	}
	_, err = w.relay.late.Do(ctx, events)
	return err
}
