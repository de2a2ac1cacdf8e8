package groupcommit

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

const (
	maxTries = 4
	// underLoad is the size from which a batch is taken for a sign that more is coming.
	underLoad = 8
)

func (g *Group[P, R]) commitLoop(s *shard[P, R]) {
	for {
		batch := s.take(g.cfg.MaxBatch)
		if len(batch) == 0 {
			return
		}
		begun := time.Now()
		g.commit(batch)
		if len(batch) >= underLoad {
			time.Sleep(g.cfg.Interval - time.Since(begun))
		}
	}
}

// commit answers every member of the batch, whatever happens.
func (g *Group[P, R]) commit(batch []*call[P, R]) {
	results, err := g.flushWithRetry(batch)
	switch {
	case err == nil:
		for i, c := range batch {
			c.result <- results[i]
		}
	case len(batch) > 1 && g.cfg.Splittable(err):
		g.commit(batch[:len(batch)/2])
		g.commit(batch[len(batch)/2:])
	default:
		for _, c := range batch {
			c.result <- Result[R]{Err: err}
		}
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
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Timeout)
	defer cancel()
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
