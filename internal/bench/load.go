package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a closed loop: each buyer has a connection and sends the next order when the last one is answered.
type load struct {
	door     door
	requests []orderRequest // one is chosen at random for each order
	buyers   int
	warmup   time.Duration
	duration time.Duration
	keyShare float64 // of the requests, with an idempotency key
	run      uint32  // makes the idempotency keys unique
}

// tally is what came of a load.
type tally struct {
	placed   atomic.Int64 // 201 answers, from the first to the last
	unknown  atomic.Int64 // requests without an answer: their orders may exist
	measured atomic.Int64 // 201 answers within the measured time
	latency  *recorder    // of those
	mu       sync.Mutex
	failures map[string]int // answers other than 201, by status, and requests without one
}

// answerPatience is how long after the end of a load its last answers may take.
const answerPatience = 30 * time.Second

// do runs the load. Errors are those of connecting, and ctx's; requests that fail are in the tally.
func (l *load) do(ctx context.Context) (*tally, error) {
	longest := l.warmup + l.duration + answerPatience
	clients, err := l.connect(ctx, time.Now().Add(longest))
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	t := &tally{latency: newRecorder(), failures: map[string]int{}}
	from := time.Now().Add(l.warmup)
	until := from.Add(l.duration)
	var buyers sync.WaitGroup
	for i, c := range clients {
		buyers.Go(func() { l.buy(ctx, i, c, from, until, t) })
	}
	buyers.Wait()
	return t, ctx.Err()
}

func (l *load) connect(ctx context.Context, deadline time.Time) ([]*client, error) {
	clients := make([]*client, l.buyers)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range clients {
		g.Go(func() (err error) {
			clients[i], err = dial(ctx, l.door.address, deadline)
			return err
		})
	}
	return clients, g.Wait()
}

// buy is one buyer, until the end or until its connection fails.
func (l *load) buy(ctx context.Context, number int, c *client, from, until time.Time, t *tally) {
	random := rand.New(rand.NewPCG(uint64(l.run), uint64(number)))
	series := uint64(l.run)<<32 | uint64(number)
	var buf []byte
	sent := time.Now()
	for n := uint64(0); sent.Before(until) && ctx.Err() == nil; n++ {
		request := &l.requests[random.IntN(len(l.requests))]
		bytes := request.plain
		if random.Float64() < l.keyShare {
			buf = request.withKey(buf, series, n)
			bytes = buf
		}
		status, _, err := c.do(bytes)
		answered := time.Now()
		if err != nil {
			t.unknown.Add(1)
			t.fail(reason(err))
			return
		}
		if status == 201 {
			t.placed.Add(1)
			if !answered.Before(from) && answered.Before(until) {
				t.measured.Add(1)
				t.latency.record(number, answered.Sub(sent))
			}
		} else {
			t.fail(fmt.Sprintf("HTTP %d", status))
		}
		sent = answered
	}
}

func (t *tally) fail(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures[why]++
}

// reason is why a request has no answer, in few different words.
func reason(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	return "connection lost"
}
