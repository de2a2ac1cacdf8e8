package access

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// maxAge is how old the answer of the cache may be: how long a revocation takes to reach every process.
	maxAge = 3 * time.Second
	// refreshAge is when somebody fetches anew while the others go on with what there is, so that a busy key never
	// makes its requests wait.
	refreshAge = 2 * time.Second
	// maxEntries bounds the memory that made-up prefixes can take: about 3 MB.
	maxEntries   = 10_000
	fetchTimeout = 5 * time.Second
)

// cache keeps records by prefix, those of prefixes that do not exist as well.
type cache struct {
	now    func() time.Time
	fetch  func(ctx context.Context, prefix string) (*record, error)
	flight singleflight.Group

	mu         sync.RWMutex
	entries    map[string]*entry
	generation uint64 // counts forget: what was being read meanwhile is not kept
}

type entry struct {
	*record

	asOf       time.Time // before it was read
	refreshing atomic.Bool
}

func newCache(now func() time.Time, fetch func(context.Context, string) (*record, error)) *cache {
	return &cache{now: now, fetch: fetch, entries: map[string]*entry{}}
}

// get gives the record of a prefix, at most maxAge old.
func (c *cache) get(ctx context.Context, prefix string) (*record, error) {
	c.mu.RLock()
	e := c.entries[prefix]
	c.mu.RUnlock()
	if e != nil {
		switch age := c.now().Sub(e.asOf); {
		case age < refreshAge:
			return e.record, nil
		case age < maxAge:
			if e.principal != nil && e.refreshing.CompareAndSwap(false, true) {
				c.load(ctx, prefix)
			}
			return e.record, nil
		}
	}
	select {
	case got := <-c.load(ctx, prefix):
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*record), nil //nolint:errcheck,forcetypeassert // load gives nothing else
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// load fetches a record, once for all who ask for it at the time.
func (c *cache) load(ctx context.Context, prefix string) <-chan singleflight.Result {
	return c.flight.DoChan(prefix, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		c.mu.RLock()
		generation := c.generation
		c.mu.RUnlock()
		asOf := c.now()
		rec, err := c.fetch(ctx, prefix)
		if err != nil {
			return nil, err
		}
		c.keep(prefix, &entry{record: rec, asOf: asOf}, generation)
		return rec, nil
	})
}

func (c *cache) keep(prefix string, e *entry, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return
	}
	if len(c.entries) >= maxEntries {
		c.shrink()
	}
	c.entries[prefix] = e
}

// shrink makes room: first what is too old or does not exist, then everything.
func (c *cache) shrink() {
	now := c.now()
	for prefix, e := range c.entries {
		if e.principal == nil || now.Sub(e.asOf) >= maxAge {
			delete(c.entries, prefix)
		}
	}
	if len(c.entries) >= maxEntries {
		clear(c.entries)
	}
}

// forget drops what is known of a prefix, and what is being read about it just now.
func (c *cache) forget(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	delete(c.entries, prefix)
	c.flight.Forget(prefix)
}
