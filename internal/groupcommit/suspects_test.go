package groupcommit_test

import (
	"context"
	"errors"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/groupcommit"
)

var errPoison = errors.New("poison")

func isPoison(err error) bool { return errors.Is(err, errPoison) }

// plug is a call whose flush waits for the gate of its server, so that others can gather behind it.
const plug = -1

// server refuses batches with a poisonous member, and counts what it commits.
type server struct {
	poison  func(n int) bool
	entered chan struct{} // a plug has begun
	gate    chan struct{} // and may go on

	mu        sync.Mutex
	flushes   int
	committed map[int]int
}

func newServer(poison func(int) bool) *server {
	return &server{poison: poison, entered: make(chan struct{}), gate: make(chan struct{}), committed: map[int]int{}}
}

func (s *server) flush(_ context.Context, batch []int) ([]groupcommit.Result[int], error) {
	if batch[0] == plug {
		s.entered <- struct{}{}
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushes++
	if slices.ContainsFunc(batch, s.poison) {
		return nil, errPoison
	}
	results := make([]groupcommit.Result[int], len(batch))
	for i, n := range batch {
		s.committed[n]++
		results[i].Value = 2 * n
	}
	return results, nil
}

// gathered makes calls that all leave in one batch.
func gathered(g *groupcommit.Group[int, int], s *server, params []int) []groupcommit.Result[int] {
	go func() { _, _ = g.Do(context.Background(), plug) }()
	<-s.entered
	results := make(chan []groupcommit.Result[int])
	go func() { results <- g.DoMany(context.Background(), params) }()
	for groupcommit.Queued(g) < len(params) {
		runtime.Gosched()
	}
	s.gate <- struct{}{}
	return <-results
}

// Whichever members are poison, they alone fail; every other is committed once and answered with its own value, and it
// takes no more flushes than the package says.
func TestPoisonFailsAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 120).Draw(t, "members")
		density := rapid.IntRange(0, 100).Draw(t, "percent of poison")
		poison := make([]bool, n)
		params := make([]int, n)
		culprits := 0
		for i := range n {
			params[i] = i
			if poison[i] = rapid.IntRange(0, 99).Draw(t, "is poison") < density; poison[i] {
				culprits++
			}
		}
		s := newServer(func(n int) bool { return n != plug && poison[n] })
		g := groupcommit.New(groupcommit.Config[int, int]{Flush: s.flush, Splittable: isPoison, Interval: -1})
		results := gathered(g, s, params)
		g.Close()
		for i, r := range results {
			switch {
			case poison[i] && (!isPoison(r.Err) || s.committed[i] != 0):
				t.Fatalf("poison %d: %v, committed %d times", i, r.Err, s.committed[i])
			case !poison[i] && (r.Err != nil || r.Value != 2*i || s.committed[i] != 1):
				t.Fatalf("member %d: %d, %v, committed %d times", i, r.Value, r.Err, s.committed[i])
			}
		}
		sifting := s.flushes - 2 // without that of the plug and that of the whole batch
		if bound := min(2*n, (culprits+1)*(bits.Len(uint(n))+1)); sifting > bound {
			t.Fatalf("%d flushes for %d culprits of %d, bound %d", sifting, culprits, n, bound)
		}
	})
}

// Many callers at a time, small batches, two committers: the same holds for each call, and nothing hangs.
func TestPoisonUnderLoad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.IntRange(1, 9).Draw(t, "poison is every n-th")
		s := newServer(func(n int) bool { return n%every == 0 })
		g := groupcommit.New(groupcommit.Config[int, int]{
			Flush: s.flush, Splittable: isPoison, Interval: -1, MaxBatch: rapid.IntRange(1, 20).Draw(t, "batch"),
			Committers: 2, Shard: func(n int) uint64 { return uint64(n) },
		})
		var calls sync.WaitGroup
		var wrong atomic.Int32
		for n := range 200 {
			calls.Go(func() {
				got, err := g.Do(t.Context(), n)
				if n%every == 0 && !isPoison(err) || n%every != 0 && (err != nil || got != 2*n) {
					wrong.Add(1)
				}
			})
		}
		calls.Wait()
		g.Close()
		if wrong.Load() > 0 {
			t.Fatalf("%d wrong answers", wrong.Load())
		}
		for n := range 200 {
			if want := min(1, n%every); s.committed[n] != want {
				t.Fatalf("%d is committed %d times", n, s.committed[n])
			}
		}
	})
}

// Members that only fail together (two with the same key, say) are no culprits.
func TestMembersThatFailOnlyTogether(t *testing.T) {
	t.Parallel()
	s := newServer(func(int) bool { return false })
	flush := func(ctx context.Context, batch []int) ([]groupcommit.Result[int], error) {
		if slices.Contains(batch, 3) && slices.Contains(batch, 4) {
			return nil, errPoison
		}
		return s.flush(ctx, batch)
	}
	g := groupcommit.New(groupcommit.Config[int, int]{Flush: flush, Splittable: isPoison})
	defer g.Close()
	for i, r := range gathered(g, s, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
		require.NoError(t, r.Err)
		require.Equal(t, 2*i, r.Value)
	}
}

// pair is a batch of an innocent and a culprit.
var pair = []int{12, 13}

// slowSift waits wherever a half of a pair is sifted.
type slowSift struct {
	*server

	sifting chan struct{} // it waits
	goOn    chan struct{}
}

// startSifting makes a group with one pair, which waits in the middle of being sifted.
func startSifting(cfg groupcommit.Config[int, int]) (*groupcommit.Group[int, int], *slowSift, chan []groupcommit.Result[int]) {
	s := &slowSift{
		server: newServer(func(n int) bool { return n == pair[1] }), sifting: make(chan struct{}, 100), goOn: make(chan struct{}),
	}
	cfg.Splittable = isPoison
	cfg.Flush = func(ctx context.Context, batch []int) ([]groupcommit.Result[int], error) {
		if len(batch) == 1 && slices.Contains(pair, batch[0]) {
			s.sifting <- struct{}{}
			<-s.goOn
		}
		return s.flush(ctx, batch)
	}
	g := groupcommit.New(cfg)
	results := make(chan []groupcommit.Result[int], 10)
	go func() { results <- gathered(g, s.server, pair) }()
	<-s.sifting
	return g, s, results
}

func requireAnswers(t *testing.T, results []groupcommit.Result[int]) {
	t.Helper()
	require.Equal(t, groupcommit.Result[int]{Value: 24}, results[0])
	require.ErrorIs(t, results[1].Err, errPoison)
}

func TestFreshCallsDoNotWaitForSuspects(t *testing.T) {
	t.Parallel()
	g, s, results := startSifting(groupcommit.Config[int, int]{})
	got, err := g.Do(t.Context(), 21)
	require.NoError(t, err)
	require.Equal(t, 42, got)
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	close(s.goOn)
	requireAnswers(t, <-results)
	<-closed
}

// A suspect whose caller leaves is not made.
func TestASuspectCanBeTakenBack(t *testing.T) {
	t.Parallel()
	g, s, results := startSifting(groupcommit.Config[int, int]{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = g.Do(t.Context(), plug) }()
	<-s.entered
	left := make(chan error)
	go func() {
		_, err := g.Do(ctx, 5)
		left <- err
	}()
	go func() {
		_, err := g.Do(t.Context(), pair[1])
		left <- err
	}()
	require.Eventually(t, func() bool { return groupcommit.Queued(g) == 2 }, 10*time.Second, time.Millisecond)
	s.gate <- struct{}{}
	require.Eventually(t, func() bool { return groupcommit.Suspects(g) == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-left, groupcommit.ErrNotTaken)
	close(s.goOn)
	require.ErrorIs(t, <-left, errPoison)
	requireAnswers(t, <-results)
	g.Close()
	require.Zero(t, s.committed[5])
}

// With too many suspects the committer sifts by itself: memory is bounded, and no innocent is refused.
func TestTooManySuspectsAreSiftedAtOnce(t *testing.T) {
	t.Parallel()
	g, s, results := startSifting(groupcommit.Config[int, int]{MaxBatch: len(pair)})
	more := func() { go func() { results <- gathered(g, s.server, pair) }() }
	const bound = 8 // four batches
	for n := len(pair); n <= bound; n += len(pair) {
		more()
		require.Eventually(t, func() bool { return groupcommit.Suspects(g) == n }, 10*time.Second, time.Millisecond)
	}
	require.Empty(t, s.sifting, "one sifts")
	more()
	<-s.sifting // another one does
	require.Equal(t, bound, groupcommit.Suspects(g))
	close(s.goOn)
	for range bound/len(pair) + 2 {
		requireAnswers(t, <-results)
	}
	g.Close()
}

// After a batch has waited in vain, suspects and fresh batches alike wait a short time. One that fails at once says nothing of
// locks: its members are sifted with all patience.
func TestPatienceIsShortWhereSomethingMayBeHeld(t *testing.T) {
	t.Parallel()
	for name, waitsForLock := range map[string]bool{"a lock": true, "poison": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const held = 13
				s := newServer(func(n int) bool { return n == held })
				var patience []time.Duration // of all batches
				g := groupcommit.New(groupcommit.Config[int, int]{
					Splittable: isPoison, Interval: -1,
					Flush: func(ctx context.Context, batch []int) ([]groupcommit.Result[int], error) {
						results, err := s.flush(ctx, batch)
						s.mu.Lock()
						patience = append(patience, groupcommit.Patience(ctx))
						s.mu.Unlock()
						if err != nil && waitsForLock {
							time.Sleep(groupcommit.Patience(ctx)) //nolint:forbidigo // synctest's time
						}
						return results, err
					},
				})
				results := gathered(g, s, []int{1, held})
				require.NoError(t, results[0].Err)
				require.ErrorIs(t, results[1].Err, errPoison)
				_, err := g.Do(t.Context(), 2)
				require.NoError(t, err)
				g.Close()
				full := patience[0]
				require.Greater(t, full, time.Second, "more than deadlock_timeout")
				require.GreaterOrEqual(t, len(patience), 5, "the plug, both, each by itself, and a fresh one")
				for _, got := range patience[2:] {
					require.Equal(t, waitsForLock, got < full/4)
				}
			})
		})
	}
}
