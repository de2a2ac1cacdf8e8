package upkeep_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/upkeep"
)

// fetched is a job as a fetch at a time gives it, and as the database shows it then.
func fetched(id int64, at time.Time) (*rivertype.JobRow, upkeep.Running) {
	at = at.Truncate(time.Microsecond)
	return &rivertype.JobRow{ID: id, AttemptedAt: &at}, upkeep.Running{ID: id, AttemptedAt: at}
}

func middlewareOf(t *testing.T, roster *upkeep.Roster) rivertype.WorkerMiddleware {
	t.Helper()
	middleware, is := roster.Middleware().(rivertype.WorkerMiddleware)
	require.True(t, is, "River calls nothing else")
	return middleware
}

// work passes a job through the roster's middleware.
func work(t *testing.T, roster *upkeep.Roster, job *rivertype.JobRow, inner func() error) error {
	t.Helper()
	return middlewareOf(t, roster).Work(t.Context(), job, func(context.Context) error { return inner() })
}

// looks returns what the last of some looks gives back, when those before it gave nothing.
func looks(t *testing.T, n int, roster *upkeep.Roster, running ...upkeep.Running) []upkeep.Running {
	t.Helper()
	for range n - 1 {
		require.Empty(t, roster.Look(running...))
	}
	return roster.Look(running...)
}

func TestUnknownInTwoLooksInARow(t *testing.T) {
	t.Parallel()
	roster := upkeep.NewRoster()
	_, stranger := fetched(1, time.Now())
	require.Empty(t, roster.Look(stranger))
	require.Empty(t, roster.Look(), "its result came in the meantime")
	require.Equal(t, []upkeep.Running{stranger}, looks(t, upkeep.LooksUnknown, roster, stranger))
}

func TestAtWorkIsNeverLost(t *testing.T) {
	t.Parallel()
	roster := upkeep.NewRoster()
	job, row := fetched(1, time.Now())
	failed := errors.New("failed")
	require.ErrorIs(t, work(t, roster, job, func() error {
		require.Empty(t, looks(t, 10*upkeep.LooksLate, roster, row))
		return failed
	}), failed)
}

// However it ends, the roster waits for its result: for a long time, and not for ever.
func TestALateResult(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func() error{
		"done":     func() error { return nil },
		"failed":   func() error { return errors.New("failed") },
		"panicked": func() error { panic("at the worker") },
		"goexit":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roster := upkeep.NewRoster()
			middleware := middlewareOf(t, roster)
			job, row := fetched(1, time.Now())
			over := make(chan struct{})
			go func() {
				defer close(over)
				defer func() { _ = recover() }() // as River does
				_ = middleware.Work(t.Context(), job, func(context.Context) error { return end() })
			}()
			<-over
			require.Equal(t, []upkeep.Running{row}, looks(t, upkeep.LooksLate, roster, row))
		})
	}
}

// River takes the number of an attempt back when it snoozes or interrupts the job.
func TestFetchesOfOneJob(t *testing.T) {
	t.Parallel()
	roster := upkeep.NewRoster()
	now := time.Now()
	first, _ := fetched(1, now)
	require.NoError(t, work(t, roster, first, func() error { return nil }))
	_, again := fetched(1, now.Add(time.Microsecond))
	require.Equal(t, []upkeep.Running{again}, looks(t, upkeep.LooksUnknown, roster, again), "that answer was lost")
}

func TestARosterForgets(t *testing.T) {
	t.Parallel()
	roster := upkeep.NewRoster()
	quick, _ := fetched(1, time.Now())
	late, lateRow := fetched(2, time.Now())
	slow, slowRow := fetched(3, time.Now())
	require.NoError(t, work(t, roster, slow, func() error {
		for _, job := range []*rivertype.JobRow{quick, late} {
			require.NoError(t, work(t, roster, job, func() error { return nil }))
		}
		require.Empty(t, looks(t, upkeep.LooksKept, roster, lateRow, slowRow))
		require.Equal(t, 3, roster.Known())
		require.Empty(t, roster.Look(lateRow, slowRow))
		require.Equal(t, 2, roster.Known(), "the quick one is not running any more")
		require.Empty(t, roster.Look(slowRow))
		require.Equal(t, 1, roster.Known(), "neither is the late one")
		return nil
	}))
	require.Empty(t, looks(t, upkeep.LooksKept+1, roster))
	require.Zero(t, roster.Known())
}

func TestNotFetched(t *testing.T) {
	t.Parallel()
	roster := upkeep.NewRoster()
	require.NoError(t, work(t, roster, &rivertype.JobRow{ID: 1}, func() error { return nil }))
	require.Zero(t, roster.Known())
}
