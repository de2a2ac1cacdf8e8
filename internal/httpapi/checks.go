package httpapi

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// PostgresCheck asks the database for an answer, through the pool, as requests do.
func PostgresCheck(pool *pgxpool.Pool) Check {
	return Check{Name: "postgres", Probe: pool.Ping}
}

// MigrationsCheck wants every migration that this program knows to be applied.
func MigrationsCheck(pool *pgxpool.Pool) Check {
	return Check{Name: "migrations", Probe: func(ctx context.Context) error {
		pending, err := pgdb.Pending(ctx, pool)
		if err != nil {
			return err
		}
		if len(pending) > 0 {
			return notReadyError(fmt.Sprintf("%d are pending, the first is %s: run vendbox migrate up", len(pending), pending[0]))
		}
		return nil
	}}
}

// RiverCheck wants this process's River client not to have stopped (stopped is its Stopped channel) and some client to
// be the leader, without which nothing scheduled is ever begun.
func RiverCheck(pool *pgxpool.Pool, stopped <-chan struct{}) Check {
	return Check{Name: "river", Probe: func(ctx context.Context) error {
		select {
		case <-stopped:
			return notReadyError("the client has stopped")
		default:
		}
		var led bool
		err := pool.QueryRow(ctx, `select exists (select from river_leader where expires_at > now())`).Scan(&led)
		if err == nil && !led {
			return notReadyError("no process leads")
		}
		return err
	}}
}
