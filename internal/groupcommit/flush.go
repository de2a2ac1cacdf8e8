package groupcommit

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

const (
	maxTries = 4
	// suspectBatches is how many full batches may be suspect at a time.
	suspectBatches = 4
)

// run works on what it takes, until that is nothing.
func (g *Group[P, R]) run(take func() []*call[P, R], work func(batch []*call[P, R])) {
	for {
		batch := take()
		if len(batch) == 0 {
			return
		}
		begun := time.Now()
		work(batch)
		if len(batch) >= g.cfg.UnderLoad {
			time.Sleep(g.cfg.Interval - time.Since(begun))
		}
	}
}

// commit answers every member of the batch, or makes them suspects.
func (g *Group[P, R]) commit(batch []*call[P, R]) {
	err := g.try(batch)
	switch {
	case err == nil:
	case len(batch) > 1 && g.cfg.Splittable(err):
		g.suspect(batch)
	default:
		refuse(batch, err)
	}
}

// suspect queues members of a batch that failed for the fault of some of them, so that fresh calls go on meanwhile. Like
// fresh calls they can be given up there. When too many are suspect already, the committer sees to these itself, and
// calls that come meanwhile wait: that is what bounds the queue, without refusing innocents.
func (g *Group[P, R]) suspect(batch []*call[P, R]) {
	for _, c := range batch {
		c.settled.Store(false)
	}
	if g.suspects.addAll(batch, suspectBatches*g.cfg.MaxBatch) {
		return
	}
	g.sift(slices.DeleteFunc(batch, func(c *call[P, R]) bool { return !c.settled.CompareAndSwap(false, true) }))
}

// sift answers every suspect: the innocents together, each culprit alone. It flushes as many at a time as their record
// allows, half as many after a failure and twice as many after a success, and follows a failure to its culprit by binary
// search, in which what did not fail needs no second look. Nobody is found guilty but by a flush of their own.
func (g *Group[P, R]) sift(suspects []*call[P, R]) {
	size := (len(suspects) + 1) / 2
	guilty := 0 // so many of the next hide a culprit, if there was no more to the failure than what they are
	for len(suspects) > 0 {
		n := min(size, len(suspects))
		if guilty > 0 {
			n = max(1, guilty/2)
		}
		err := g.try(suspects[:n])
		switch {
		case err == nil && guilty > 0:
			guilty -= n
		case err == nil:
			size *= 2
		case !g.cfg.Splittable(err):
			refuse(suspects, err) // nothing of any of them is committed, and it is not their fault
			return
		case n > 1:
			if guilty == 0 {
				size = n / 2
			}
			guilty = n
			continue
		default:
			refuse(suspects[:1], err)
			guilty = 0
		}
		suspects = suspects[n:]
	}
}

// try flushes calls and answers them, or gives the error and answers none.
func (g *Group[P, R]) try(batch []*call[P, R]) error {
	results, err := g.flushWithRetry(batch)
	if err != nil {
		return err
	}
	for i, c := range batch {
		c.result <- results[i]
	}
	return nil
}

func refuse[P, R any](batch []*call[P, R], err error) {
	for _, c := range batch {
		c.result <- Result[R]{Err: err}
	}
}

func (g *Group[P, R]) flushWithRetry(batch []*call[P, R]) ([]Result[R], error) {
	params := make([]P, len(batch))
	for i, c := range batch {
		params[i] = c.param
	}
	for try := 1; ; try++ {
		results, err := g.flush(params)
		if err == nil || try == maxTries || !g.cfg.Retryable(err) {
			return results, err
		}
	}
}

func (g *Group[P, R]) flush(params []P) (results []Result[R], err error) {
	ctx, cancel := context.WithTimeout(g.context(), g.cfg.Timeout)
	defer cancel()
	defer g.learn(time.Now(), &err)
	defer func() {
		if p := recover(); p != nil {
			results, err = nil, fmt.Errorf("groupcommit: panic: %v\n%s", p, debug.Stack())
		}
	}()
	results, err = g.cfg.Flush(ctx, params)
	if err == nil && len(results) != len(params) {
		return nil, fmt.Errorf("groupcommit: %d results for %d members", len(results), len(params))
	}
	return results, err
}
