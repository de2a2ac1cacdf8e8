package groupcommit

import (
	"context"
	"time"
)

const (
	// patience is more than a commit takes that waits for a slow disk, and than deadlock_timeout: a deadlock is to be found as one,
	// because then the whole batch may go again.
	patience = 2 * time.Second
	// shortPatience is for all batches after one that has failed and was no quicker than that: somebody may hold something.
	shortPatience = 300 * time.Millisecond
	waryFor       = 5 * time.Second
)

type short struct{}

// Patience is how long a flush should wait at most for a lock that others hold. A member that needs a row of a person's, who has left
// a transaction open, then fails alone and soon, if Splittable knows the error; a table that is being altered is waited for several
// times as long, if Retryable does.
func Patience(ctx context.Context) time.Duration {
	if ctx.Value(short{}) != nil {
		return shortPatience
	}
	return patience
}

// learn is told of each flush. One that fails for its data alone does so at once, and says nothing of locks.
func (g *Group[P, R]) learn(begun time.Time, err *error) {
	if *err != nil && time.Since(begun) >= shortPatience {
		g.wary.Store(time.Now().Add(waryFor).UnixNano())
	}
}

// context is that of a flush.
func (g *Group[P, R]) context() context.Context {
	if time.Now().UnixNano() < g.wary.Load() {
		return context.WithValue(context.Background(), short{}, true)
	}
	return context.Background()
}
