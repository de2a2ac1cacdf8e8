package pgdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// LimitLockWaits is an ask (see Together) that limits what waits for locks still come in the transaction. What limits all of them is
// End.LockWait.
func LimitLockWaits(ctx context.Context, limit time.Duration) func(db DB) error {
	return func(db DB) error {
		_, err := db.Exec(ctx, limitLockWaits(limit))
		return err
	}
}

func limitLockWaits(limit time.Duration) string {
	return fmt.Sprintf("set local lock_timeout = %d", limit.Milliseconds())
}

// errTableLocked marks a lock timeout at a table that somebody alters.
var errTableLocked = errors.New("a table is being altered")

// whoseLock asks, after a lock timeout, what it was for; its error does not tell (of two who wait for one row, only the first hears of a
// tuple). If nobody holds a table any more that keeps others from reading or writing it, it was a row.
const whoseLock = `select exists (
	select from pg_locks l
	join pg_class c on c.oid = l.relation
	where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid() and c.relnamespace = current_schema()::regnamespace
	  and l.database = (select oid from pg_database where datname = current_database())
	  and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))`

// explainLock tells a lock timeout at a table from one at a row: IsRetryable and IsMembers go by it. Other errors it leaves.
func explainLock(ctx context.Context, pool *pgxpool.Pool, err error) error {
	if !IsLockTimeout(err) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	var table bool
	if pool.QueryRow(ctx, whoseLock).Scan(&table) == nil && table {
		return fmt.Errorf("%w: %w", errTableLocked, err)
	}
	return err
}
