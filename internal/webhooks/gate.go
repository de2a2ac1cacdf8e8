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
// turn, and at least for twice as long as nothing has moved: a long queue before a slow endpoint costs a job fetch now and
// then, not a storm of them, and one that has only stumbled is tried again soon. A delivery is let in by two steps: ask
// before it is read, which only takes a place in the line, and enter before it is sent.
type gate struct {
	limit int

	mu    sync.Mutex
	lanes map[uuid.UUID]*lane
}

// lane is one endpoint's. Its fields are the gate's mutex's to guard, but for slots.
type lane struct {
	slots     chan struct{}
	waiting   int
	fullSince time.Time     // since when all are taken and none has got free; zero while one is free
	turn      time.Duration // how long that lasts on average until one gets free
	nextTurn  time.Time     // when the next one without room may hope for some
	paused    time.Time
}

// pass is a delivery's place: waiting, then in flight.
type pass struct {
	gate *gate
	lane *lane
	// The mutex's to guard as well.
	waiting  bool
	inFlight bool
}

func newGate(limit int) *gate { return &gate{limit: limit, lanes: map[uuid.UUID]*lane{}} }

// ask gives a pass, to be left in the end, or says how long to stay away. Its turn is near, but it may have to wait to
// enter.
func (g *gate) ask(endpointID uuid.UUID) (*pass, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane(endpointID)
	now := time.Now()
	if away := l.pausedFor(now); away > 0 {
		return nil, jittered(away)
	}
	if len(l.slots)+l.waiting >= g.limit {
		if away := l.awayUntilTurn(now); away > patience {
			return nil, jittered(away)
		}
	}
	l.waiting++
	return &pass{gate: g, lane: l, waiting: true}, 0
}

// enter brings a waiting pass in flight, or says how long to stay away. It waits for up to patience.
func (p *pass) enter(ctx context.Context) time.Duration {
	p.gate.mu.Lock()
	away := p.lane.pausedFor(time.Now())
	p.gate.mu.Unlock()
	if away > 0 {
		return jittered(away)
	}
	select {
	case p.lane.slots <- struct{}{}:
		p.entered()
		return 0
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.lane.slots <- struct{}{}:
		p.entered()
		return 0
	case <-timer.C:
	case <-ctx.Done():
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	return jittered(max(patience, p.lane.stuck(time.Now())))
}

func (p *pass) entered() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.stopWaiting()
	p.inFlight = true
	if len(p.lane.slots) == p.gate.limit && p.lane.fullSince.IsZero() {
		p.lane.fullSince = time.Now()
	}
}

// stopWaiting must be called with the mutex held.
func (p *pass) stopWaiting() {
	if p.waiting {
		p.waiting = false
		p.lane.waiting--
	}
}

// leave makes room. A pass may be left twice.
func (p *pass) leave() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.stopWaiting()
	if p.inFlight {
		p.inFlight = false
		p.lane.moved(time.Now())
		<-p.lane.slots
	}
}

// moved learns from a place that gets free how long a turn takes. Those that get free together are as many turns.
func (l *lane) moved(now time.Time) {
	const weight = 32
	lasted := time.Duration(0)
	if !l.fullSince.IsZero() {
		lasted = now.Sub(l.fullSince)
		l.fullSince = time.Time{}
	}
	l.turn += (lasted - l.turn) / weight
}

// lane must be called with the mutex held.
func (g *gate) lane(endpointID uuid.UUID) *lane {
	if l := g.lanes[endpointID]; l != nil {
		return l
	}
	if len(g.lanes) >= manyLanes {
		now := time.Now()
		for id, l := range g.lanes {
			if len(l.slots) == 0 && l.waiting == 0 && l.paused.Before(now) {
				delete(g.lanes, id)
			}
		}
	}
	l := &lane{slots: make(chan struct{}, g.limit)}
	g.lanes[endpointID] = l
	return l
}

// awayUntilTurn puts one more into the queue of those who find no room.
func (l *lane) awayUntilTurn(now time.Time) time.Duration {
	if l.nextTurn.Before(now) {
		l.nextTurn = now
	}
	l.nextTurn = l.nextTurn.Add(l.turn)
	if latest := now.Add(maxSnooze); l.nextTurn.After(latest) {
		l.nextTurn = latest
	}
	return max(l.nextTurn.Sub(now), l.stuck(now))
}

// stuck is how long to stay away from an endpoint because nothing moves. Nobody knows for how long that will be, so
// everybody asks ever more rarely.
func (l *lane) stuck(now time.Time) time.Duration {
	if l.fullSince.IsZero() {
		return 0
	}
	return min(2*now.Sub(l.fullSince), maxSnooze)
}

// pausedFor is how long the endpoint's deliveries are still to stay away: 0, or long enough to be worth it.
func (l *lane) pausedFor(now time.Time) time.Duration {
	if away := l.paused.Sub(now); away > 0 {
		return max(away, patience)
	}
	return 0
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
