package groupcommit_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/vendbox/vendbox/internal/groupcommit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// double answers each member with twice its value and notes the batches.
type double struct {
	mu      sync.Mutex
	batches [][]int
	gate    chan struct{} // when set, each flush waits for one
	entered chan struct{} // when set, each flush says that it has begun
	fail    func(batch []int) error
}

func (d *double) flush(_ context.Context, batch []int) ([]groupcommit.Result[int], error) {
	if d.entered != nil {
		d.entered <- struct{}{}
	}
	if d.gate != nil {
		<-d.gate
	}
	if d.fail != nil {
		if err := d.fail(batch); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	d.batches = append(d.batches, slices.Clone(batch))
	d.mu.Unlock()
	results := make([]groupcommit.Result[int], len(batch))
	for i, n := range batch {
		results[i].Value = 2 * n
	}
	return results, nil
}

func TestALoneCallGoesAtOnce(t *testing.T) {
	t.Parallel()
	d := &double{}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush})
	defer g.Close()
	got, err := g.Do(t.Context(), 21)
	require.NoError(t, err)
	require.Equal(t, 42, got)
}

func TestCallsGatherWhileABatchIsInFlight(t *testing.T) {
	t.Parallel()
	d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 10)}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush, MaxBatch: 30})
	var wg sync.WaitGroup
	call := func(n int) { wg.Go(func() { _, _ = g.Do(t.Context(), n) }) }
	call(0)
	<-d.entered // the first batch is in flight
	for n := range 45 {
		call(n + 1)
	}
	require.Eventually(t, func() bool { return groupcommit.Queued(g) == 45 }, 10*time.Second, time.Millisecond)
	close(d.gate)
	wg.Wait()
	g.Close()
	sizes := make([]int, len(d.batches))
	for i, batch := range d.batches {
		sizes[i] = len(batch)
	}
	require.Equal(t, []int{1, 30, 15}, sizes)
}

func TestRetryableErrorsAreRetriedAndThenReported(t *testing.T) {
	t.Parallel()
	errBusy := errors.New("busy")
	for _, test := range []struct {
		failures int
		want     error
	}{{3, nil}, {4, errBusy}} {
		tries := 0
		g := groupcommit.New(groupcommit.Config[int, int]{
			Flush: func(_ context.Context, batch []int) ([]groupcommit.Result[int], error) {
				if tries++; tries <= test.failures {
					return nil, errBusy
				}
				return make([]groupcommit.Result[int], len(batch)), nil
			},
			Retryable: func(err error) bool { return errors.Is(err, errBusy) },
		})
		_, err := g.Do(t.Context(), 1)
		g.Close()
		require.ErrorIs(t, err, test.want)
		require.Equal(t, min(test.failures+1, 4), tries)
	}
}

func TestAPanicAnswersItsCallers(t *testing.T) {
	t.Parallel()
	g := groupcommit.New(groupcommit.Config[int, int]{
		Flush: func(_ context.Context, batch []int) ([]groupcommit.Result[int], error) {
			if batch[0] == 13 {
				panic("thirteen")
			}
			return make([]groupcommit.Result[int], len(batch)), nil
		},
	})
	defer g.Close()
	_, err := g.Do(t.Context(), 13)
	require.ErrorContains(t, err, "thirteen")
	_, err = g.Do(t.Context(), 14)
	require.NoError(t, err, "the committer lives on")
}

func TestACallerThatLeavesIsNotWaitedForAndItsCallIsStillMade(t *testing.T) {
	t.Parallel()
	d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 1)}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := g.Do(ctx, 7)
		done <- err
	}()
	<-d.entered
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	close(d.gate)
	g.Close()
	require.Equal(t, [][]int{{7}}, d.batches)
}

func TestACallerThatLeavesBeforeItsTurnTakesItsCallBack(t *testing.T) {
	t.Parallel()
	d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 2)}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush})
	first := make(chan error)
	go func() {
		_, err := g.Do(context.WithoutCancel(t.Context()), 1)
		first <- err
	}()
	<-d.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.Do(ctx, 2)
	require.ErrorIs(t, err, groupcommit.ErrNotTaken)
	require.ErrorIs(t, err, context.Canceled)
	close(d.gate)
	require.NoError(t, <-first)
	g.Close()
	require.Equal(t, [][]int{{1}}, d.batches, "what was taken back is never made")
}

func TestAFullQueueRefuses(t *testing.T) {
	t.Parallel()
	d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 9)}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush, MaxQueue: 2})
	go func() { _, _ = g.Do(context.WithoutCancel(t.Context()), 1) }()
	<-d.entered
	results := make(chan []groupcommit.Result[int])
	go func() { results <- g.DoMany(context.WithoutCancel(t.Context()), []int{2, 3, 4}) }()
	require.Eventually(t, func() bool { return groupcommit.Queued(g) == 2 }, 10*time.Second, time.Millisecond)
	close(d.gate)
	got := <-results
	require.NoError(t, got[0].Err)
	require.NoError(t, got[1].Err)
	require.ErrorIs(t, got[2].Err, groupcommit.ErrFull)
	g.Close()
}

func TestCloseFinishesWhatIsQueuedAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 2)}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush})
	results := make(chan []groupcommit.Result[int])
	go func() { results <- g.DoMany(t.Context(), []int{1, 2, 3}) }()
	<-d.entered
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	close(d.gate)
	for _, r := range <-results {
		if r.Err != nil {
			require.ErrorIs(t, r.Err, groupcommit.ErrClosed) // queued after Close
		}
	}
	<-closed
	_, err := g.Do(t.Context(), 4)
	require.ErrorIs(t, err, groupcommit.ErrClosed)
}

func TestShardsKeepMembersOfOneKeyTogether(t *testing.T) {
	t.Parallel()
	d := &double{}
	g := groupcommit.New(groupcommit.Config[int, int]{
		Flush: d.flush, Committers: 2, Shard: func(n int) uint64 { return uint64(n % 2) },
	})
	params := make([]int, 100)
	for i := range params {
		params[i] = i
	}
	g.DoMany(t.Context(), params)
	g.Close()
	for _, batch := range d.batches {
		for _, n := range batch {
			require.Equal(t, batch[0]%2, n%2)
		}
	}
}

func TestAMissingResultIsAnError(t *testing.T) {
	t.Parallel()
	g := groupcommit.New(groupcommit.Config[int, int]{
		Flush: func(context.Context, []int) ([]groupcommit.Result[int], error) { return nil, nil },
	})
	defer g.Close()
	_, err := g.Do(t.Context(), 1)
	require.ErrorContains(t, err, "0 results for 1 members")
}

// All calls are the first committer's, who is at work: below 64 they wait for it, and then the other takes them over.
func TestAnIdleCommitterTakesOverALongQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const long = 64
		d := &double{gate: make(chan struct{}), entered: make(chan struct{}, 3)}
		g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush, Committers: 2, Interval: -1})
		defer g.Close()
		var callers sync.WaitGroup
		call := func(n int) {
			for i := range n {
				callers.Go(func() {
					got, err := g.Do(t.Context(), i)
					require.NoError(t, err)
					require.Equal(t, 2*i, got)
				})
				synctest.Wait()
			}
		}
		call(1)
		require.Len(t, d.entered, 1)
		call(long - 1)
		require.Len(t, d.entered, 1, "nobody takes over what the first will soon do itself")
		call(1)
		require.Len(t, d.entered, 2)
		require.Zero(t, groupcommit.Queued(g))
		close(d.gate)
		callers.Wait()
		require.ElementsMatch(t, []int{1, long}, []int{len(d.batches[0]), len(d.batches[1])})
	})
}

func TestUnderLoadIsConfigurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &double{}
		g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush, Interval: time.Second, UnderLoad: 2})
		defer g.Close()
		begun := time.Now()
		g.DoMany(t.Context(), make([]int, 1))
		g.DoMany(t.Context(), make([]int, 1))
		require.Zero(t, time.Since(begun), "one at a time is no load")
		g.DoMany(t.Context(), make([]int, 64)) // usually one batch; the committer may wake before all are there
		g.DoMany(t.Context(), make([]int, 1))
		var pauses time.Duration
		for _, batch := range d.batches[:len(d.batches)-1] {
			if len(batch) >= 2 {
				pauses += time.Second
			}
		}
		require.Positive(t, pauses)
		require.Equal(t, pauses, time.Since(begun))
	})
}

// Time is synctest's: it moves only when everybody waits.
func TestUnderLoadBatchesBeginAtIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 20 * time.Millisecond
		var begun []time.Time
		d := &double{fail: func([]int) error { begun = append(begun, time.Now()); return nil }}
		g := groupcommit.New(groupcommit.Config[int, int]{Flush: d.flush, Interval: interval})
		defer g.Close()
		for _, calls := range []int{1, 2, 100, 100, 3, 1} {
			g.DoMany(t.Context(), make([]int, calls))
		}
		paused := 0
		for i := range len(begun) - 1 {
			want := time.Duration(0)
			if len(d.batches[i]) >= 8 /* the default of UnderLoad */ {
				want, paused = interval, paused+1
			}
			require.Equal(t, want, begun[i+1].Sub(begun[i]), "after a batch of %d", len(d.batches[i]))
		}
		require.Positive(t, paused)
		require.Less(t, paused, len(begun)-1, "small batches are followed at once")
	})
}
