package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
)

const (
	// askEvery is how long an answer is good for: scrapes may be many, and anybody's.
	askEvery = 5 * time.Second
	// askTimeout is short, so that the process's own metrics come while the database does not answer.
	askTimeout = 2 * time.Second
)

// Observe reports at each scrape what the database says: instruments by report, from the answer of ask. It asks at most
// every five seconds and waits for two at most. What it cannot learn is missing from the scrape and noted in the log.
func Observe[T any](
	meter metric.Meter, log *slog.Logger, ask func(context.Context) (T, error),
	report func(metric.Observer, T), instruments ...metric.Observable,
) error {
	a := asker[T]{ask: ask, log: log, now: time.Now}
	_, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		if answer, known := a.answer(ctx); known {
			report(o, answer)
		}
		return nil
	}, instruments...)
	return err
}

// asker remembers an answer for a while, or that there was none.
type asker[T any] struct {
	ask func(context.Context) (T, error)
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex
	asked time.Time
	last  T
	known bool
}

func (a *asker[T]) answer(ctx context.Context) (T, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked.IsZero() && a.now().Sub(a.asked) < askEvery {
		return a.last, a.known
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var err error
	a.last, err = a.ask(ctx)
	if a.known = err == nil; !a.known {
		a.log.WarnContext(ctx, "metrics: the database did not say", "error", err)
	}
	a.asked = a.now()
	return a.last, a.known
}
