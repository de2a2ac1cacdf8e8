// Package groupcommit turns concurrent calls into shared transactions.
//
// While one batch is being committed, the calls that arrive meanwhile gather; when it is done they leave together as
// the next. A lone call goes at once; under load batches begin at intervals and grow.
//
// A batch that fails for the fault of a member is set apart and sifted in a lane of its own, while fresh calls go on.
// Every member gets one answer, and no member fails for another's fault. Of n members, k of them culprits, sifting takes at
// most 2n flushes and at most (k+1)·(log₂n+2): an attacker costs what calls would cost if they did not gather.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is returned by Do after Close. The call was not made.
	ErrClosed = errors.New("groupcommit: closed")
	// ErrNotTaken is returned to a caller whose context ended while the call was still waiting. It was not made and will
	// not be.
	ErrNotTaken = errors.New("groupcommit: given up before it was begun")
	// ErrFull is returned when too many calls are waiting. The call was not made.
	ErrFull = errors.New("groupcommit: too many calls are waiting")
)

// Result is what became of one member. A member's Err does not touch its neighbours.
type Result[R any] struct {
	Value R
	Err   error
}

// Flush runs one batch in one transaction and returns a result for each member, in order. An error means that nothing
// of the batch was committed.
type Flush[P, R any] func(ctx context.Context, batch []P) ([]Result[R], error)

// Config of a Group. The zero value of every field but Flush is usable.
type Config[P, R any] struct {
	// Flush is required.
	Flush Flush[P, R]
	// MaxBatch bounds a batch. Default 512.
	MaxBatch int
	// MaxQueue bounds the calls that wait for each committer. Default 20,000.
	MaxQueue int
	// Committers is how many batches may be in flight at once, besides one of suspects (see Splittable). Default 1.
	Committers int
	// Shard chooses a member's committer (modulo Committers), so that members which lock the same rows meet in the
	// same batch instead of waiting for each other's. Default: the first. A committer that has nothing to do takes over
	// what waits in a long queue of another: its batch waits for the other's locks where they are, and has them at once.
	Shard func(P) uint64
	// Interval is the least time between the beginnings of two batches of one committer while there is load: each batch
	// then takes more along, and what a batch costs whatever its size is paid less often. Default 5 ms; below zero none.
	Interval time.Duration
	// UnderLoad is the size from which a batch is taken for a sign that more is coming: after a smaller one the next begins
	// at once. Default 8.
	UnderLoad int
	// Timeout bounds one flush; a commit has its own time. A batch belongs to many callers, so none of their contexts ends
	// it. Default 15 s.
	Timeout time.Duration
	// Retryable tells errors after which the same batch may succeed (a deadlock, a lost race for a unique key). It is
	// tried up to 4 times. Default: none.
	Retryable func(error) bool
	// Splittable tells errors that some member caused (a constraint, a cast). The members are sifted: culprits get the
	// error, and the others go through. Default: none.
	Splittable func(error) bool
}

func (c Config[P, R]) withDefaults() Config[P, R] {
	if c.MaxBatch == 0 {
		c.MaxBatch = 512
	}
	if c.MaxQueue == 0 {
		c.MaxQueue = 20_000
	}
	if c.Committers == 0 {
		c.Committers = 1
	}
	if c.Shard == nil {
		c.Shard = func(P) uint64 { return 0 }
	}
	if c.Interval == 0 {
		c.Interval = 5 * time.Millisecond
	}
	if c.UnderLoad == 0 {
		c.UnderLoad = 8
	}
	if c.Timeout == 0 {
		c.Timeout = 15 * time.Second
	}
	no := func(error) bool { return false }
	if c.Retryable == nil {
		c.Retryable = no
	}
	if c.Splittable == nil {
		c.Splittable = no
	}
	return c
}

// The pace of what only jobs wait for, and jobs have time: as soon as there are two, batches begin at intervals. Else they come
// six at a time, and each statement costs something whatever the number of its rows.
const (
	CalmInterval  = 20 * time.Millisecond
	CalmUnderLoad = 2
)

// Group gathers calls of one operation.
type Group[P, R any] struct {
	cfg        Config[P, R]
	mu         sync.Mutex // of all shards
	shards     []*shard[P, R]
	suspects   *shard[P, R]
	wary       atomic.Int64 // until then, in Unix nanoseconds, patience is short
	committers sync.WaitGroup
	sifter     sync.WaitGroup
}

type call[P, R any] struct {
	param  P
	result chan Result[R]
	// settled decides between the committer, which takes the call, and the caller, who gives it up: whoever is first.
	settled atomic.Bool
}

type shard[P, R any] struct {
	mu     *sync.Mutex
	wake   sync.Cond
	queue  []*call[P, R]
	closed bool
}

// New starts the committers. Close ends them.
func New[P, R any](cfg Config[P, R]) *Group[P, R] {
	g := &Group[P, R]{cfg: cfg.withDefaults(), suspects: newShard[P, R](&sync.Mutex{})}
	for range g.cfg.Committers {
		g.shards = append(g.shards, newShard[P, R](&g.mu))
	}
	for i := range g.shards {
		g.committers.Go(func() { g.run(func() []*call[P, R] { return g.takeFor(i) }, g.commit) })
	}
	g.sifter.Go(func() { g.run(func() []*call[P, R] { return g.suspects.take(g.cfg.MaxBatch) }, g.sift) })
	return g
}

func newShard[P, R any](mu *sync.Mutex) *shard[P, R] {
	s := &shard[P, R]{mu: mu}
	s.wake.L = mu
	return s
}

// Do adds a call to the next batch and waits for its result. When ctx ends while the call is still waiting, it is taken
// back (ErrNotTaken). When it has been begun by then, its outcome is unknown: Do returns ctx's error, and the caller must
// not take that for a refusal.
func (g *Group[P, R]) Do(ctx context.Context, param P) (R, error) {
	c := g.add(param)
	return g.await(ctx, c)
}

// DoMany adds calls at once and waits for all of them; results come in the order of params.
func (g *Group[P, R]) DoMany(ctx context.Context, params []P) []Result[R] {
	calls := make([]*call[P, R], len(params))
	for i, param := range params {
		calls[i] = g.add(param)
	}
	results := make([]Result[R], len(params))
	for i, c := range calls {
		results[i].Value, results[i].Err = g.await(ctx, c)
	}
	return results
}

// add queues a call; one that cannot be queued has its answer already.
func (g *Group[P, R]) add(param P) *call[P, R] {
	c := &call[P, R]{param: param, result: make(chan Result[R], 1)}
	own := g.shards[g.cfg.Shard(param)%uint64(len(g.shards))]
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := own.addLocked(c, g.cfg.MaxQueue); err != nil {
		c.result <- Result[R]{Err: err}
		return c
	}
	if len(own.queue) == longQueue {
		for _, s := range g.shards {
			s.wake.Signal()
		}
	}
	return c
}

// longQueue is how many calls wait for a committer when another one that is idle takes over.
const longQueue = 64

// takeFor is a committer's take: from its own shard, or from one whose queue is long.
func (g *Group[P, R]) takeFor(committer int) []*call[P, R] {
	own := g.shards[committer]
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if batch := own.pullLocked(g.cfg.MaxBatch); len(batch) > 0 || own.closed {
			return batch
		}
		if i := g.longestLocked(); len(g.shards[i].queue) >= longQueue {
			if batch := g.shards[i].pullLocked(g.cfg.MaxBatch); len(batch) > 0 {
				return batch
			}
		}
		own.wake.Wait()
	}
}

// longestLocked finds the shard with the longest queue.
func (g *Group[P, R]) longestLocked() (longest int) {
	for i, s := range g.shards {
		if len(s.queue) > len(g.shards[longest].queue) {
			longest = i
		}
	}
	return longest
}

func (g *Group[P, R]) await(ctx context.Context, c *call[P, R]) (R, error) {
	select {
	case r := <-c.result:
		return r.Value, r.Err
	case <-ctx.Done():
	}
	var none R
	if c.settled.CompareAndSwap(false, true) {
		return none, fmt.Errorf("%w: %w", ErrNotTaken, context.Cause(ctx))
	}
	return none, fmt.Errorf("groupcommit: outcome unknown: %w", context.Cause(ctx))
}

// Close refuses new calls, lets the gathered ones finish and returns when they have.
func (g *Group[P, R]) Close() {
	for _, s := range g.shards {
		s.close()
	}
	g.committers.Wait()
	g.suspects.close() // only now: the last batches may have had culprits
	g.sifter.Wait()
}

// addLocked adds a call.
func (s *shard[P, R]) addLocked(c *call[P, R], limit int) error {
	if s.closed {
		return ErrClosed
	}
	if len(s.queue) >= limit {
		return ErrFull
	}
	s.queue = append(s.queue, c)
	if len(s.queue) == 1 {
		s.wake.Signal()
	}
	return nil
}

// addAll adds calls, all or none, and says which.
func (s *shard[P, R]) addAll(calls []*call[P, R], limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue)+len(calls) > limit {
		return false
	}
	s.queue = append(s.queue, calls...)
	s.wake.Signal()
	return true
}

func (s *shard[P, R]) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake.Signal()
}

// take waits for calls and removes up to limit of them; none means closed and drained.
func (s *shard[P, R]) take(limit int) []*call[P, R] {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if batch := s.pullLocked(limit); len(batch) > 0 || s.closed {
			return batch
		}
		s.wake.Wait()
	}
}

// pullLocked removes up to limit calls, without those that were given up meanwhile.
func (s *shard[P, R]) pullLocked(limit int) []*call[P, R] {
	var batch []*call[P, R]
	for len(batch) == 0 && len(s.queue) > 0 {
		n := min(limit, len(s.queue))
		for _, c := range s.queue[:n] {
			if c.settled.CompareAndSwap(false, true) {
				batch = append(batch, c)
			}
		}
		s.queue = slices.Delete(s.queue, 0, n)
	}
	return batch
}
