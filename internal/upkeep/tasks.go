package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/webhooks"
)

const (
	// MinRetention is the least that may be kept: `vendbox audit` and late subscribers look a day back.
	MinRetention = 24 * time.Hour

	daysAhead = 7
	// importsStaleAfter is some of the signs that a live import gives every ten seconds.
	importsStaleAfter = 2 * time.Minute

	day = 24 * time.Hour
)

// Task is one kind of periodic work.
type Task struct {
	Name    string        // unique; the argument of its job
	Every   time.Duration // at least a second
	OnStart bool          // also as soon as a process becomes River's leader
	Timeout time.Duration // default a minute
	// Run does it once, and says what it did ("" for nothing to speak of). It may be run again, and by two processes at
	// once.
	Run func(ctx context.Context) (did string, err error)
}

// Config of the room. Pool, Box, Inventory and FailedJobs are required.
type Config struct {
	Pool       *pgxpool.Pool
	Box        *outbox.Box
	Inventory  *inventory.Service
	FailedJobs *failedjobs.Room
	// Webhooks adds the sweep and the retention of deliveries.
	Webhooks *webhooks.Service
	// Retention is how long events and ended webhook deliveries are kept. Default 30 days, at least one.
	Retention time.Duration
	// More tasks, of rooms that this one does not know.
	More []Task
	// Log gets a line for every task that did something. Default: none.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.Retention == 0 {
		c.Retention = 30 * day
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Pool == nil || c.Box == nil || c.Inventory == nil || c.FailedJobs == nil {
		errs = append(errs, errors.New("upkeep: Pool, Box, Inventory and FailedJobs are required"))
	}
	if c.Retention < MinRetention {
		errs = append(errs, fmt.Errorf("upkeep: retention of %s: want at least %s", c.Retention, MinRetention))
	}
	return errors.Join(errs...)
}

// Upkeep is the room.
type Upkeep struct {
	cfg   Config
	tasks []Task
}

// New makes the room. The error lists every problem of the configuration.
func New(cfg Config) (*Upkeep, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	u := &Upkeep{cfg: cfg}
	for _, task := range append(u.own(), cfg.More...) {
		if err := u.add(task); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (u *Upkeep) add(task Task) error {
	if task.Name == "" || task.Run == nil || task.Every < time.Second {
		return fmt.Errorf("upkeep: task %q: want a name, something to run, and at least a second", task.Name)
	}
	if _, taken := u.task(task.Name); taken {
		return fmt.Errorf("upkeep: two tasks %q", task.Name)
	}
	if task.Timeout == 0 {
		task.Timeout = time.Minute
	}
	u.tasks = append(u.tasks, task)
	return nil
}

// Tasks lists them.
func (u *Upkeep) Tasks() []Task { return u.tasks }

func (u *Upkeep) task(name string) (Task, bool) {
	for _, task := range u.tasks {
		if task.Name == name {
			return task, true
		}
	}
	return Task{}, false
}

func (u *Upkeep) own() []Task {
	tasks := []Task{
		{Name: "make_partitions", Every: time.Hour, OnStart: true, Run: u.makePartitions},
		{Name: "drop_partitions", Every: time.Hour, Run: u.dropPartitions},
		{Name: "analyze_grown", Every: 5 * time.Second, Run: u.analyzeGrown},
		{Name: "clean_card_imports", Every: time.Minute, OnStart: true, Run: u.cleanImports},
		{Name: "take_out_expired_cards", Every: 15 * time.Second, OnStart: true, Run: u.takeOutExpired},
		{Name: "sweep_failed_jobs", Every: time.Minute, OnStart: true, Run: u.sweepFailedJobs},
		{Name: "forget_heartbeats", Every: time.Hour, Run: u.forgetHeartbeats},
	}
	if u.cfg.Webhooks != nil {
		tasks = append(tasks,
			Task{Name: "sweep_webhooks", Every: 5 * time.Minute, OnStart: true, Timeout: 5 * time.Minute, Run: u.sweepWebhooks},
			Task{Name: "prune_webhooks", Every: time.Hour, Timeout: 10 * time.Minute, Run: u.pruneWebhooks})
	}
	return tasks
}

func (u *Upkeep) makePartitions(ctx context.Context) (string, error) {
	made, err := u.cfg.Box.MakePartitions(ctx, daysAhead)
	return count(made, "partitions made"), err
}

// dropPartitions drops whole days, each in a transaction of its own.
func (u *Upkeep) dropPartitions(ctx context.Context) (string, error) {
	before := u.cfg.Now().UTC().Add(-u.cfg.Retention).Truncate(day)
	dropped := 0
	for {
		partition, err := dbq.New(u.cfg.Pool).UpkeepDropPartition(ctx, before)
		if err != nil {
			return "", fmt.Errorf("drop a partition: %w", err)
		}
		if partition == "" {
			return count(dropped, "partitions dropped"), nil
		}
		dropped++
	}
}

func (u *Upkeep) analyzeGrown(ctx context.Context) (string, error) {
	grown, err := dbq.New(u.cfg.Pool).UpkeepAnalyzeGrown(ctx)
	if err != nil {
		return "", fmt.Errorf("analyze what has grown: %w", err)
	}
	return count(int(grown), "tables analysed"), nil
}

func (u *Upkeep) cleanImports(ctx context.Context) (string, error) {
	cleaned, err := u.cfg.Inventory.CleanStaleImports(ctx, importsStaleAfter)
	return count(cleaned, "abandoned card imports ended"), err
}

func (u *Upkeep) takeOutExpired(ctx context.Context) (string, error) {
	taken, err := u.cfg.Inventory.TakeOutExpired(ctx)
	return count(int(taken), "expired cards taken from the shelf"), err
}

func (u *Upkeep) sweepFailedJobs(ctx context.Context) (string, error) {
	swept, err := u.cfg.FailedJobs.Sweep(ctx)
	if err != nil || swept == (failedjobs.Swept{}) {
		return "", err
	}
	return fmt.Sprintf("failed jobs that the trigger had not noted: %d; entries of jobs at work again: %d", swept.Missed, swept.Revived), nil
}

func (u *Upkeep) forgetHeartbeats(ctx context.Context) (string, error) {
	forgotten, err := dbq.New(u.cfg.Pool).UpkeepHeartsForget(ctx)
	if err != nil {
		return "", fmt.Errorf("forget heartbeats: %w", err)
	}
	return count(int(forgotten), "heartbeats of long ago forgotten"), nil
}

func (u *Upkeep) sweepWebhooks(ctx context.Context) (string, error) {
	swept, err := u.cfg.Webhooks.Sweep(ctx)
	return count(swept.Requeued, "webhook deliveries had lost their job"), err
}

func (u *Upkeep) pruneWebhooks(ctx context.Context) (string, error) {
	pruned, err := u.cfg.Webhooks.Prune(ctx, u.cfg.Now().UTC().Add(-u.cfg.Retention))
	return count(int(pruned), "ended webhook deliveries dropped"), err
}

func count(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}
