package webhooks

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestGate(t *testing.T) {
	t.Parallel()
	g := newGate(2)
	busy, idle := uuid.New(), uuid.New()
	enter := func(id uuid.UUID) *pass {
		p, away := g.enter(t.Context(), id)
		require.NotNil(t, p, "sent away for %s", away)
		return p
	}
	first, other := enter(busy), enter(busy)
	none, away := g.enter(t.Context(), busy)
	require.Nil(t, none)
	require.Positive(t, away)
	enter(idle).leave()

	first.leave()
	third := enter(busy)
	third.leave()
	other.leave()

	// A place that gets free soon is worth waiting for.
	p, q := enter(idle), enter(idle)
	entered := make(chan *pass)
	go func() { p, _ := g.enter(context.WithoutCancel(t.Context()), idle); entered <- p }()
	require.Eventually(t, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.lanes[idle].waiting > 0
	}, time.Second, time.Millisecond)
	p.leave()
	waited := <-entered
	require.NotNil(t, waited)
	waited.leave()

	q.pause(10 * time.Second)
	q.leave()
	none, away = g.enter(t.Context(), idle)
	require.Nil(t, none)
	require.GreaterOrEqual(t, away, 9*time.Second)
	enter(busy).leave()
}

// The longer the queue before a slow endpoint, the longer its jobs stay away.
func TestGateSpreadsTheQueue(t *testing.T) {
	t.Parallel()
	g := newGate(2)
	id := uuid.New()
	p, _ := g.enter(t.Context(), id)
	q, _ := g.enter(t.Context(), id)
	g.mu.Lock()
	g.lanes[id].typical = 10 * time.Second // so a turn comes every 5 s
	g.mu.Unlock()
	for i := range 10 {
		none, away := g.enter(t.Context(), id)
		require.Nil(t, none)
		turn := min(time.Duration(i+1)*5*time.Second, maxSnooze)
		require.GreaterOrEqual(t, away, turn-time.Second)
		require.LessOrEqual(t, away, turn+turn/4+time.Second)
	}
	p.leave()
	q.leave()
	enterable, _ := g.enter(t.Context(), id)
	require.NotNil(t, enterable, "who comes when there is room gets in")
	enterable.leave()
}

func TestGateForgetsIdleEndpoints(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	held, _ := g.enter(t.Context(), uuid.New())
	for range manyLanes + 10 {
		p, _ := g.enter(t.Context(), uuid.New())
		p.leave()
	}
	require.Less(t, len(g.lanes), manyLanes)
	held.leave()
}
