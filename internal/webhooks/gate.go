package webhooks

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// patience is how long a worker waits for its turn before it makes room for another endpoint's delivery.
	patience = 100 * time.Millisecond
	// maxSnooze bounds how long a job stays away when there is no room.
	maxSnooze = 30 * time.Second
	// manyLanes is when idle ones are forgotten.
	manyLanes = 4096
)

// gate bounds how many deliveries to one endpoint are in flight in this process, so that an endpoint which hangs holds
// a part of the workers and the others go on. Who finds no room stays away for about as long as it takes to get to its
// turn: a long queue before a slow endpoint costs a job fetch now and then, not a storm of them.
type gate struct {
	limit int

	mu    sync.Mutex
	lanes map[uuid.UUID]*lane
}

// lane is one endpoint's. Its fields are the gate's mutex's to guard, but for slots.
type lane struct {
	slots    chan struct{}
	inFlight map[*pass]struct{}
	waiting  int
	typical  time.Duration // a moving average of how long a delivery takes
	nextTurn time.Time     // when the next one without room may hope for some
	paused   time.Time
}

// pass lets one delivery through.
type pass struct {
	gate  *gate
	lane  *lane
	since time.Time
}

func newGate(limit int) *gate { return &gate{limit: limit, lanes: map[uuid.UUID]*lane{}} }

// enter gives a pass, to be left when the delivery is done, or says how long to stay away. It waits up to patience for
// a turn that is near.
func (g *gate) enter(ctx context.Context, endpointID uuid.UUID) (*pass, time.Duration) {
	l, away := g.ask(endpointID)
	if away > patience {
		return nil, jittered(away)
	}
	defer g.stopWaiting(l)
	select {
	case l.slots <- struct{}{}:
		return g.let(l), 0
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case l.slots <- struct{}{}:
		return g.let(l), 0
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil, jittered(patience)
}

// ask finds the lane and how long its next turn is away; when that is near, the caller counts as waiting.
func (g *gate) ask(endpointID uuid.UUID) (*lane, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane(endpointID)
	now := time.Now()
	if now.Before(l.paused) {
		return l, max(l.paused.Sub(now), patience+1)
	}
	if len(l.slots) == cap(l.slots) {
		if l.nextTurn.Before(now) {
			l.nextTurn = now
		}
		l.nextTurn = l.nextTurn.Add(l.takes(now) / time.Duration(g.limit))
		if away := l.nextTurn.Sub(now); away > patience {
			if away > maxSnooze {
				l.nextTurn = now.Add(maxSnooze)
			}
			return l, min(away, maxSnooze)
		}
	}
	l.waiting++
	return l, 0
}

// lane must be called with the mutex held.
func (g *gate) lane(endpointID uuid.UUID) *lane {
	if l := g.lanes[endpointID]; l != nil {
		return l
	}
	if len(g.lanes) >= manyLanes {
		now := time.Now()
		for id, l := range g.lanes {
			if len(l.inFlight) == 0 && l.waiting == 0 && l.paused.Before(now) {
				delete(g.lanes, id)
			}
		}
	}
	l := &lane{slots: make(chan struct{}, g.limit), inFlight: map[*pass]struct{}{}}
	g.lanes[endpointID] = l
	return l
}

// takes is how long a delivery takes: on average, or as long as one has been taking by now.
func (l *lane) takes(now time.Time) time.Duration {
	longest := l.typical
	for p := range l.inFlight {
		longest = max(longest, now.Sub(p.since))
	}
	return longest
}

func (g *gate) let(l *lane) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := &pass{gate: g, lane: l, since: time.Now()}
	l.inFlight[p] = struct{}{}
	return p
}

func (g *gate) stopWaiting(l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.waiting--
}

// leave makes room.
func (p *pass) leave() {
	const weight = 8
	p.gate.mu.Lock()
	delete(p.lane.inFlight, p)
	p.lane.typical += (time.Since(p.since) - p.lane.typical) / weight
	p.gate.mu.Unlock()
	<-p.lane.slots
}

// pause keeps further deliveries to the endpoint away for a while.
func (p *pass) pause(d time.Duration) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.lane.paused) {
		p.lane.paused = until
	}
}

// jittered adds up to a quarter, so that those who were sent away together do not come back together.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/4+1) }
