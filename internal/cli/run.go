package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/vendbox/vendbox/internal/console"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/httpapi"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/relay"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/upkeep"
	"github.com/vendbox/vendbox/internal/webhooks"
)

// River's pace. MaxWorkers / fetchCooldown is the ceiling of a queue's throughput; the short poll covers a NOTIFY that
// was lost or came before its jobs could be seen. For cards a buyer waits; other jobs are fetched more at a time.
const (
	fetchCooldown      = 20 * time.Millisecond
	fetchCooldownCards = 2 * time.Millisecond
	fetchPoll          = 100 * time.Millisecond
	// rescueAfter is above the timeout of every delivery: at most 150 s (SMS), 80 s (webhooks), 180 s (relay), 45 s (cards).
	// River spares a job of a longer timeout, as some of upkeep's have, until that is over. Jobs of a dead process come
	// back much sooner, by upkeep's heartbeats, and those whose fetch was lost by its roster.
	rescueAfter        = 4 * time.Minute
	keepCompletedJobs  = time.Hour
	keepFailedJobs     = 30 * 24 * time.Hour
	stopHardAfterGrace = 5 * time.Second
)

// working is a stack's workers, running.
type working struct {
	client  *river.Client[pgx.Tx]
	heart   *upkeep.Heart
	rescuer *upkeep.Rescuer
}

// startWorkers starts the jobs of the configured queues, and the heart that tells other processes that they are alive.
func (s *stack) startWorkers(ctx context.Context) (*working, error) {
	id := "vendbox-" + uuid.NewString()
	roster := upkeep.NewRoster()
	client, err := s.newWorkingClient(id, roster)
	if err != nil {
		return nil, err
	}
	w := &working{client: client}
	w.heart, err = upkeep.StartHeart(ctx, upkeep.HeartConfig{Pool: s.pool, ClientID: id, Log: s.log})
	if err != nil {
		return nil, err
	}
	w.rescuer, err = upkeep.StartRescuer(ctx, upkeep.RescuerConfig{
		Pool: s.pool, ClientID: id, Queues: queueNames, Roster: roster, Log: s.log,
	})
	if err != nil {
		w.heart.Close()
		return nil, err
	}
	// The client outlives the signal that ends ctx: stop ends it, in its turn.
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		w.rescuer.Close()
		w.heart.Close()
		return nil, fmt.Errorf("river: %w", err)
	}
	return w, nil
}

func (s *stack) newWorkingClient(id string, roster *upkeep.Roster) (*river.Client[pgx.Tx], error) {
	queues := s.queues()
	if len(queues) == 0 {
		return nil, errNoWorkers
	}
	tasks, err := upkeep.New(upkeep.Config{
		Pool: s.pool, Box: s.box, Inventory: s.inventory, FailedJobs: s.failedJobs, Webhooks: s.webhooks, Log: s.log,
		More: s.lifeTasks(),
	})
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, s.relay.Worker())
	river.AddWorker(workers, s.risk.Worker())
	river.AddWorker(workers, s.delivery)
	river.AddWorker(workers, s.webhooks.Worker())
	river.AddWorker(workers, s.payments.Worker())
	s.sms.AddWorkers(workers)
	tasks.AddWorkers(workers)
	client, err := river.NewClient(riverpgxv5.New(s.pool), &river.Config{
		ID: id, Schema: s.cfg.Schema, Logger: s.riverLog(), Queues: queues, Workers: workers, PeriodicJobs: tasks.PeriodicJobs(),
		Middleware:    []rivertype.Middleware{roster.Middleware()},
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPoll, RescueStuckJobsAfter: rescueAfter,
		SoftStopTimeout:             s.cfg.ShutdownGrace,
		CompletedJobRetentionPeriod: keepCompletedJobs,
		CancelledJobRetentionPeriod: keepFailedJobs, DiscardedJobRetentionPeriod: keepFailedJobs,
	})
	if err != nil {
		return nil, fmt.Errorf("river: %w", err)
	}
	return client, nil
}

// lifeTasks are what moves orders along by itself.
func (s *stack) lifeTasks() []upkeep.Task {
	said := func(what string, run func(context.Context) (int, error)) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			n, err := run(ctx)
			if n == 0 {
				return "", err
			}
			return fmt.Sprintf("%d %s", n, what), err
		}
	}
	return []upkeep.Task{
		{Name: "expire_orders", Every: time.Second, Timeout: 5 * time.Minute, Run: said("orders expired", s.payments.ExpireDue)},
		{Name: "ask_gateways", Every: 5 * time.Second, Timeout: 5 * time.Minute, Run: said("lost callbacks found", s.payments.AskGateways)},
		{Name: "reconcile", Every: 6 * time.Hour, Timeout: 30 * time.Minute, Run: said("differences in the books", s.reconcile)},
		{Name: "release_restocked", Every: 5 * time.Second, Run: said("held orders have their goods", s.orders.ReleaseRestocked)},
		{Name: "heal_deliveries", Every: 20 * time.Second, Run: said("paid orders had lost their job", s.healer().Heal)},
		{Name: "heal_refunds", Every: time.Minute, Run: said("refunds had lost their job", func(ctx context.Context) (int, error) {
			return s.payments.HealRefunds(ctx, s.jobs)
		})},
	}
}

func (s *stack) healer() *fulfillment.Healer {
	return fulfillment.NewHealer(s.deliveryRoute(), s.pool, s.jobs, time.Now)
}

// reconcile compares the last two days, so that each is seen several times.
func (s *stack) reconcile(ctx context.Context) (int, error) {
	now := time.Now()
	report, err := s.books.Run(ctx, now.AddDate(0, 0, -2), now)
	return len(report.Differences), err
}

// riverLog leaves out River's notes on every retry and every statistic: the rooms' own lines say more.
func (s *stack) riverLog() *slog.Logger {
	return slog.New(levelAtLeast{s.log.Handler(), slog.LevelWarn})
}

// levelAtLeast narrows a handler.
type levelAtLeast struct {
	slog.Handler

	level slog.Level
}

// Enabled is the handler's own above the level.
func (h levelAtLeast) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level && h.Handler.Enabled(ctx, level)
}

// stop lets the jobs at hand finish, for as long as grace; what is left then goes back to the queue.
func (w *working) stop(ctx context.Context, grace time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+stopHardAfterGrace)
	defer cancel()
	err := w.client.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("jobs were still running after %s; other workers take them over: %w", grace, err)
	}
	w.rescuer.Close()
	w.heart.Close()
	return err
}

// queueNames are all that there are.
var queueNames = []string{relay.Queue, fulfillment.Queue, sms.Queue, webhooks.Queue, payments.Queue, upkeep.Queue}

// queues are those that this process works on.
func (s *stack) queues() map[string]river.QueueConfig {
	queues := map[string]river.QueueConfig{
		relay.Queue:       {MaxWorkers: s.cfg.RelayWorkers},
		fulfillment.Queue: {MaxWorkers: s.cfg.CardWorkers, FetchCooldown: fetchCooldownCards},
		sms.Queue:         {MaxWorkers: s.cfg.SMSWorkers},
		webhooks.Queue:    {MaxWorkers: s.cfg.WebhookWorkers},
		payments.Queue:    {MaxWorkers: s.cfg.PaymentWorkers},
		upkeep.Queue:      {MaxWorkers: s.cfg.UpkeepWorkers},
	}
	for name := range queues {
		if len(s.cfg.Queues) > 0 && !slices.Contains(s.cfg.Queues, name) {
			delete(queues, name)
		}
	}
	return queues
}

// newDoor makes the HTTP server. workers is nil in a process without.
func (s *stack) newDoor(workers *working, healthOnly bool) *httpapi.Server {
	checks := []httpapi.Check{httpapi.PostgresCheck(s.pool), httpapi.MigrationsCheck(s.pool)}
	if workers != nil {
		checks = append(checks, httpapi.RiverCheck(s.pool, workers.client.Stopped()))
	}
	door := httpapi.New(httpapi.Deps{
		Log: s.log, AccessLog: httpapi.AccessLog(s.cfg.AccessLog), PublicURL: s.cfg.PublicURL, Version: version(),
		MaxBody: int64(s.cfg.MaxBody), MaxUpload: int64(s.cfg.MaxUpload),
		Tracing: s.tracing.Provider(), Metering: s.metrics.Provider(), Authenticate: s.keys.Authenticate,
		Checks: checks, HealthOnly: healthOnly,
		Box: s.box, Vault: s.vault, Orders: s.orders, Live: s.live, Payments: s.payments, Cards: s.cards, FailedJobs: s.failedJobs,
		Risk: s.risk, SMS: s.sms, SMSSandbox: s.smsSandbox, Books: s.books, Inventory: s.inventory, Webhooks: s.webhooks,
	})
	door.Mount("GET /metrics", s.metrics.Handler())
	if !healthOnly {
		console.New(console.Config{ShopName: s.cfg.ShopName, Support: s.cfg.Support}, console.Deps{
			Orders: s.orders, Cards: s.cards, Vault: s.vault, Now: time.Now, Log: s.log,
		}).Mount(door.Mount)
	}
	return door
}

// run serves and works until ctx ends, then stops in the order in which nothing accepted is lost: no more requests, then
// no more jobs; the rooms and the pool are the caller's to close.
func (s *stack) run(ctx context.Context, door *httpapi.Server, workers *working, listener net.Listener) error {
	err := door.Serve(ctx, listener, s.cfg.ShutdownGrace)
	if workers != nil {
		err = errors.Join(err, workers.stop(ctx, s.cfg.ShutdownGrace))
	}
	return err
}
