package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	rescueEvery   = 2 * time.Second
	rescueTimeout = 10 * time.Second
	rescueAtOnce  = 1000
)

// RescuerConfig of a Rescuer. Pool, ClientID and Queues are required.
type RescuerConfig struct {
	Pool *pgxpool.Pool
	// ClientID is that of this process' Heart.
	ClientID string
	// Queues are those whose workers all have a Heart.
	Queues []string
	// Roster is that of ClientID's client. Default: none, and what that client never heard of stays running until River's
	// RescueStuckJobsAfter.
	Roster *Roster
	// Log gets a warning for every lost job. Default: none.
	Log *slog.Logger
}

func (c RescuerConfig) withDefaults() RescuerConfig {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c RescuerConfig) validate() error {
	if c.Pool == nil || c.ClientID == "" || len(c.Queues) == 0 {
		return errors.New("upkeep: a rescuer needs Pool, ClientID and Queues")
	}
	return nil
}

// Rescuer gives the jobs of lost workers back, and those that its own client never heard of. Every process that works jobs
// has one; they take turns.
type Rescuer struct {
	cfg  RescuerConfig
	stop context.CancelFunc
	done chan struct{}
}

// Rescued counts what became of lost jobs.
type Rescued struct {
	Available int // are to be worked again
	Discarded int // had used up their attempts; the failed jobs have them
	Cancelled int // somebody had asked for that
}

// Total is how many there were.
func (r Rescued) Total() int { return r.Available + r.Discarded + r.Cancelled }

// StartRescuer rescues until Close, with pauses of 2 s.
func StartRescuer(ctx context.Context, cfg RescuerConfig) (*Rescuer, error) {
	r, err := newRescuer(cfg)
	if err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go r.run(ctx)
	return r, nil
}

func newRescuer(cfg RescuerConfig) (*Rescuer, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Rescuer{cfg: cfg, done: make(chan struct{})}, nil
}

// Close stops it.
func (r *Rescuer) Close() {
	r.stop()
	<-r.done
}

func (r *Rescuer) run(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(rescueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := r.RunOnce(ctx); err != nil && ctx.Err() == nil {
			r.cfg.Log.WarnContext(ctx, "upkeep: rescue failed", "error", err)
		}
		tick.Reset(rescueEvery) // a slow round brings the next one no closer: the roster counts on the pause
	}
}

// RunOnce rescues what is lost now. It does nothing while another process is at it, and as long as the caller's own
// heart has not been steady for 8 s.
func (r *Rescuer) RunOnce(ctx context.Context) (Rescued, error) {
	ctx, cancel := context.WithTimeout(ctx, rescueTimeout)
	defer cancel()
	var rescued Rescued
	ours, err := r.unheardOf(ctx)
	if err != nil {
		return rescued, fmt.Errorf("upkeep: look at our own jobs: %w", err)
	}
	for {
		lost, err := r.rescueSome(ctx, ours)
		if err != nil {
			return rescued, fmt.Errorf("upkeep: rescue: %w", err)
		}
		for _, job := range lost {
			switch rivertype.JobState(job.State) {
			case rivertype.JobStateDiscarded:
				rescued.Discarded++
			case rivertype.JobStateCancelled:
				rescued.Cancelled++
			default:
				rescued.Available++
			}
			r.cfg.Log.WarnContext(ctx, "upkeep: lost job", "reason", r.reason(job), "job_id", job.ID, "job_kind", job.Kind,
				"queue", job.Queue, "client_id", job.ClientID, "state", job.State)
		}
		if len(lost) < rescueAtOnce {
			return rescued, nil
		}
	}
}

// reason says how a job was lost.
func (r *Rescuer) reason(job dbq.UpkeepRescueRow) string {
	if job.ClientID == r.cfg.ClientID {
		return "its fetch, or its result, got lost"
	}
	return "its worker has no heartbeat any more"
}

// unheardOf are the attempts that the database takes for at work here, and are not.
func (r *Rescuer) unheardOf(ctx context.Context) (unheard, error) {
	var attempts unheard
	if r.cfg.Roster == nil {
		return attempts, nil
	}
	running, err := dbq.New(r.cfg.Pool).UpkeepOwnRunning(ctx, dbq.UpkeepOwnRunningParams{
		Queues: r.cfg.Queues, LostAfter: lostAfter, ClientID: r.cfg.ClientID,
	})
	if err != nil {
		return attempts, err
	}
	for _, row := range r.cfg.Roster.unheardOf(running) {
		attempts.jobs = append(attempts.jobs, row.ID)
		attempts.at = append(attempts.at, row.AttemptedAt)
	}
	return attempts, nil
}

// unheard is a set of attempts, in the form in which a statement takes it.
type unheard struct {
	jobs []int64
	at   []time.Time
}

func (r *Rescuer) rescueSome(ctx context.Context, ours unheard) ([]dbq.UpkeepRescueRow, error) {
	var lost []dbq.UpkeepRescueRow
	err := pgdb.InTx(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if turn, err := q.UpkeepRescueTurn(ctx); err != nil || !turn {
			return err
		}
		var err error
		lost, err = q.UpkeepRescue(ctx, dbq.UpkeepRescueParams{
			Queues: r.cfg.Queues, LostAfter: lostAfter, ClientID: r.cfg.ClientID, Silence: silence, MaxRows: rescueAtOnce,
			UnheardJobs: ours.jobs, UnheardAt: ours.at,
		})
		if err != nil || len(lost) == 0 {
			return err
		}
		return q.RelayNotify(ctx, dbq.RelayNotifyParams{Queues: queuesOf(lost)}) // is sent by the commit
	})
	return lost, err
}

func queuesOf(jobs []dbq.UpkeepRescueRow) []string {
	var queues []string
	for _, job := range jobs {
		if job.State == string(rivertype.JobStateAvailable) && !slices.Contains(queues, job.Queue) {
			queues = append(queues, job.Queue)
		}
	}
	return queues
}
