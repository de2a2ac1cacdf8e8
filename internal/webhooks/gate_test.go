package webhooks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// through asks and enters.
func (g *gate) through(ctx context.Context, endpointID uuid.UUID) (*pass, time.Duration) {
	p, away := g.ask(endpointID)
	if p == nil {
		return nil, away
	}
	if away = p.enter(ctx); away > 0 {
		p.leave()
		return nil, away
	}
	return p, 0
}

func TestGate(t *testing.T) {
	t.Parallel()
	g := newGate(2)
	busy, idle := uuid.New(), uuid.New()
	enter := func(id uuid.UUID) *pass {
		p, away := g.through(t.Context(), id)
		require.NotNil(t, p, "sent away for %s", away)
		return p
	}
	first, other := enter(busy), enter(busy)
	none, away := g.through(t.Context(), busy)
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
	go func() { p, _ := g.through(context.WithoutCancel(t.Context()), idle); entered <- p }()
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
	none, away = g.through(t.Context(), idle)
	require.Nil(t, none)
	require.GreaterOrEqual(t, away, 9*time.Second)
	enter(busy).leave()
}

// A place in the line holds up nobody who can enter, and is not counted as the endpoint's slowness; leaving twice is
// leaving once.
func TestGateAskedBeforeEntering(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	id := uuid.New()
	late, _ := g.ask(id)
	next, _ := g.ask(id)
	p, _ := g.through(t.Context(), id)
	require.NotNil(t, p)
	require.Positive(t, late.enter(t.Context()), "there is one place")
	late.leave()
	late.leave()
	require.Zero(t, g.lanes[id].turn)
	require.Equal(t, 1, g.lanes[id].waiting)
	p.leave()
	p.leave()
	require.Positive(t, g.lanes[id].turn)
	require.Zero(t, next.enter(t.Context()))
	require.Zero(t, g.lanes[id].waiting)
	require.Len(t, g.lanes[id].slots, 1)
	next.leave()

	asked, _ := g.ask(id)
	asked.pause(time.Minute)
	require.Greater(t, asked.enter(t.Context()), 50*time.Second, "paused meanwhile")
	asked.leave()
	require.Empty(t, g.lanes[id].slots)
}

// The longer the queue before a slow endpoint, the longer its jobs stay away.
func TestGateSpreadsTheQueue(t *testing.T) {
	t.Parallel()
	g := newGate(2)
	id := uuid.New()
	p, _ := g.through(t.Context(), id)
	q, _ := g.through(t.Context(), id)
	g.mu.Lock()
	g.lanes[id].turn = 5 * time.Second
	g.mu.Unlock()
	for i := range 10 {
		none, away := g.through(t.Context(), id)
		require.Nil(t, none)
		turn := min(time.Duration(i+1)*5*time.Second, maxSnooze)
		require.GreaterOrEqual(t, away, turn-time.Second)
		require.LessOrEqual(t, away, turn+turn/4+time.Second)
	}
	p.leave()
	q.leave()
	enterable, _ := g.through(t.Context(), id)
	require.NotNil(t, enterable, "who comes when there is room gets in")
	enterable.leave()
}

// How long to stay away grows with how long nothing has moved, and is forgotten as soon as something does. One delivery
// that hangs while others come through is no reason to stay away. Time is synctest's.
func TestGateFollowsAnEndpointThatStumbles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2)
		id := uuid.New()
		hanging, _ := g.through(t.Context(), id)
		enter := func() *pass {
			p, away := g.through(t.Context(), id)
			require.NotNil(t, p, away)
			return p
		}
		for range 100 {
			p := enter()
			time.Sleep(5 * time.Millisecond) //nolint:forbidigo // synctest's time
			p.leave()
		}
		p := enter()
		for _, step := range []struct{ wait, away time.Duration }{
			{500 * time.Millisecond, time.Second}, {4500 * time.Millisecond, 10 * time.Second}, {time.Minute, maxSnooze},
		} {
			time.Sleep(step.wait) //nolint:forbidigo // synctest's time
			for range 3 {
				none, away := g.through(t.Context(), id)
				require.Nil(t, none)
				require.GreaterOrEqual(t, away, step.away)
				require.LessOrEqual(t, away, step.away+step.away/4)
			}
		}
		hanging.leave()
		enter().leave()
		p.leave()
	})
}

func TestGateForgetsIdleEndpoints(t *testing.T) {
	t.Parallel()
	g := newGate(1)
	held, _ := g.through(t.Context(), uuid.New())
	for range manyLanes + 10 {
		p, _ := g.through(t.Context(), uuid.New())
		p.leave()
	}
	require.Less(t, len(g.lanes), manyLanes)
	held.leave()
}
