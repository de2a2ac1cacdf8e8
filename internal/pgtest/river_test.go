package pgtest_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type greetArgs struct {
	Name string `json:"name"`
}

func (greetArgs) Kind() string { return "greet" }

// River works on the schema that our migrations make: a job inserted in a transaction is worked and completed.
func TestRiverWorksAJob(t *testing.T) {
	t.Parallel()
	db := pgtest.NewDB(t)
	worked := make(chan string, 1)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, job *river.Job[greetArgs]) error {
		worked <- job.Args.Name
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(db.Pool), &river.Config{
		Schema:  db.Config.Schema,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		Workers: workers,
		Logger:  slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	completed, unsubscribe := client.Subscribe(river.EventKindJobCompleted)
	defer unsubscribe()
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.WithoutCancel(t.Context()))) })

	require.NoError(t, pgdb.InTx(t.Context(), db.Pool, func(tx pgx.Tx) error {
		_, err := client.InsertTx(t.Context(), tx, greetArgs{Name: "Ada"}, nil)
		return err
	}))

	require.Equal(t, "Ada", receive(t, worked))
	require.Equal(t, rivertype.JobStateCompleted, receive(t, completed).Job.State)
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case v := <-ch:
		return v
	case <-deadline.Done():
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
