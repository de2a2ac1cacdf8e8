package pgdb

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// LockTimeoutError says that a migration gave up waiting for a lock, and who had it.
type LockTimeoutError struct {
	// Waited is the limit that was reached.
	Waited time.Duration
	// Blocked says in words which lock was wanted and by whom it was held; empty when the wait was too short to look.
	Blocked []string

	cause error
}

func (e *LockTimeoutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "could not get a lock within %s, so nothing was changed", e.Waited)
	for _, line := range e.Blocked {
		b.WriteString("\n  " + line)
	}
	b.WriteString("\nLet those transactions end, or end them yourself (select pg_terminate_backend(pid)), and migrate again.")
	return b.String()
}

// Unwrap gives Postgres' own error, SQLSTATE 55P03.
func (e *LockTimeoutError) Unwrap() error { return e.cause }

// watcher looks at the migrating backend from the second connection: after a lock timeout, Postgres does not say any
// more which lock it was.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}
	seen   []string
}

// watch begins to look; stop ends it. In between the control connection belongs to the watcher. When ctx ends it
// cancels the statement that the migrating backend runs, because golang-migrate passes no context on.
func (r *runner) watch(ctx context.Context) *watcher {
	quit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &watcher{cancel: cancel, done: make(chan struct{})}
	const lookEvery = 100 * time.Millisecond
	tick := time.NewTicker(min(lookEvery, max(r.cfg.LockTimeout/4, time.Millisecond)))
	go func() {
		defer close(w.done)
		defer tick.Stop()
		for {
			select {
			case <-quit.Done():
				return
			case <-ctx.Done():
				r.cancelStatement(quit)
				return
			case <-tick.C:
				// A look that fails costs only the explanation. One that finds nothing keeps what was seen before:
				// the timeout may have struck in between.
				if seen, err := r.look(quit); err == nil && len(seen) > 0 {
					w.seen = seen
				}
			}
		}
	}()
	return w
}

// stop returns what the migration was last seen to wait for.
func (w *watcher) stop() []string {
	// A look under way is let finish, since cancelling it would break the connection that holds the turn.
	w.cancel()
	<-w.done
	return w.seen
}

func (r *runner) cancelStatement(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, _ = r.control.Exec(ctx, `select pg_cancel_backend($1)`, r.pid)
}

// look describes the lock the migrating backend waits for, one line per session that holds it.
func (r *runner) look(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	rows, err := r.control.Query(ctx, `
		select coalesce(w.relation::regclass::text, w.locktype), w.mode, a.pid, a.application_name, a.state,
			coalesce(date_trunc('second', clock_timestamp() - a.xact_start)::text, '0'),
			left(regexp_replace(a.query, '\s+', ' ', 'g'), 120)
		from pg_locks w
		cross join lateral unnest(pg_blocking_pids(w.pid)) as holder(pid)
		join pg_stat_activity a on a.pid = holder.pid
		where w.pid = $1 and not w.granted`, r.pid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var what, mode, app, age, query string
		var state *string
		var pid int
		if err := rows.Scan(&what, &mode, &pid, &app, &state, &age, &query); err != nil {
			return nil, err
		}
		if state == nil {
			state = new("in another role")
		}
		lines = append(lines, fmt.Sprintf("%s on %s: held by process %d (%q, %s, transaction open for %s), last query: %s",
			mode, what, pid, app, *state, age, query))
	}
	return lines, rows.Err()
}
