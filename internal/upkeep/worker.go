package upkeep

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Queue is where the tasks run.
const Queue = "upkeep"

// maxAttempts are few: the task comes again by itself.
const maxAttempts = 3

// Args of a task's job.
type Args struct {
	Task string `json:"task"`
}

// Kind is "upkeep".
func (Args) Kind() string { return "upkeep" }

// AddWorkers registers the room's worker.
func (u *Upkeep) AddWorkers(workers *river.Workers) { river.AddWorker(workers, &worker{u: u}) }

// PeriodicJobs are for river.Config, in every process that may become River's leader. A task whose job has not ended is
// not given another one.
func (u *Upkeep) PeriodicJobs() []*river.PeriodicJob {
	jobs := make([]*river.PeriodicJob, len(u.tasks))
	for i, task := range u.tasks {
		jobs[i] = river.NewPeriodicJob(river.PeriodicInterval(task.Every),
			func() (river.JobArgs, *river.InsertOpts) {
				return Args{Task: task.Name}, &river.InsertOpts{
					Queue: Queue, MaxAttempts: maxAttempts,
					UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: unfinished},
				}
			},
			&river.PeriodicJobOpts{ID: "upkeep_" + task.Name, RunOnStart: task.OnStart})
	}
	return jobs
}

var unfinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning,
	rivertype.JobStateScheduled,
}

// worker runs tasks.
type worker struct {
	river.WorkerDefaults[Args]

	u *Upkeep
}

// Timeout is the task's own.
func (w *worker) Timeout(job *river.Job[Args]) time.Duration {
	task, _ := w.u.task(job.Args.Task)
	return task.Timeout
}

// NextRetry comes soon, with full jitter: what fails here is the database, or a lock that others hold.
func (w *worker) NextRetry(*river.Job[Args]) time.Time {
	const ceiling = 10 * time.Second
	return w.u.cfg.Now().Add(rand.N(ceiling))
}

// Work runs the job's task. One that this process does not know, because a newer one asked for it, fails and is tried
// again, maybe by that one.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	task, known := w.u.task(job.Args.Task)
	if !known {
		return fmt.Errorf("upkeep: no task %q", job.Args.Task)
	}
	began := w.u.cfg.Now()
	did, err := task.Run(ctx)
	if err != nil {
		return fmt.Errorf("upkeep: %s: %w", task.Name, err)
	}
	if did != "" {
		w.u.cfg.Log.InfoContext(ctx, "upkeep", "task", task.Name, "did", did, "took", w.u.cfg.Now().Sub(began))
	}
	return nil
}
