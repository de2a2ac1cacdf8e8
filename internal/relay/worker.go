package relay

import (
	"context"
	"encoding/json"
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

// progress of a safety job is kept in its row by whatever ends an attempt, except the death of its process. It only
// saves work: what is relayed again is in the ledgers already.
type progress struct {
	After int64 `json:"after"` // all events up to this seq are relayed
}

// Work relays the events of the job's transaction, page by page. Those that were relayed before are in the ledgers and
// stay as they are.
func (w *Worker) Work(ctx context.Context, job *river.Job[Args]) error {
	transaction, err := job.Args.transaction()
	if err != nil {
		return river.JobCancel(fmt.Errorf("relay: %w", err))
	}
	var done progress
	if output := job.Output(); output != nil {
		if err := json.Unmarshal(output, &done); err != nil {
			return fmt.Errorf("relay: progress: %w", err)
		}
	}
	for range w.relay.pages {
		events, last, err := transaction.Events(ctx, w.relay.pool, done.After, w.relay.pageSize)
		if err != nil {
			return err
		}
		if len(events) < w.relay.pageSize {
			return w.relay.gather(ctx, events)
		}
		if err := w.relay.tryHop(ctx, events, nil); err != nil {
			return err
		}
		done.After = last
		if err := river.RecordOutput(ctx, done); err != nil {
			return fmt.Errorf("relay: progress: %w", err)
		}
	}
	return river.JobSnooze(0) // to the end of the queue: the safety jobs of other transactions have waited
}

func (a Args) transaction() (outbox.Transaction, error) {
	t := outbox.Transaction{Epoch: a.Epoch}
	var err error
	if t.ID, err = strconv.ParseUint(a.TxID, 10, 64); err != nil {
		return t, fmt.Errorf("transaction id: %w", err)
	}
	if t.Day, err = time.Parse(time.DateOnly, a.Day); err != nil {
		return t, fmt.Errorf("day: %w", err)
	}
	return t, nil
}
