package access

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time      { return time.Unix(0, c.nanos.Load()).UTC() }
func (c *clock) add(d time.Duration) { c.nanos.Add(int64(d)) }

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	f, ok := fault.As(err)
	require.True(t, ok, "%v", err)
	require.Equal(t, code, f.Code)
}

func TestAKeyAndItsLife(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	pool := pgtest.New(t)
	keys, elsewhere := NewKeys(pool, c.now), NewKeys(pool, c.now)

	key, token, err := keys.Create(ctx, " shop ", []string{"orders:write", "orders:read", "orders:read"}, nil)
	require.NoError(t, err)
	require.Regexp(t, `^vb_[0-9a-z]{8}_[0-9a-z]{32}$`, token)
	require.Equal(t, "shop", key.Name)
	require.Equal(t, []Scope{OrdersRead, OrdersWrite}, key.Scopes)

	for _, k := range []*Keys{keys, elsewhere} {
		p, err := k.Authenticate(ctx, token)
		require.NoError(t, err)
		require.Equal(t, key.ID, p.KeyID)
		require.Equal(t, "key:"+key.Prefix, p.Actor())
		require.True(t, p.Can(OrdersRead))
		require.False(t, p.Can(CardsRead))
	}

	var stored string
	require.NoError(t, pool.QueryRow(ctx, `select api_keys::text from api_keys`).Scan(&stored))
	_, secret, _ := splitToken(token)
	require.NotContains(t, stored, secret)

	wrong := token[:len(token)-1] + string("0123456789"[(strings.IndexByte("0123456789", token[len(token)-1])+1)%10])
	_, err = keys.Authenticate(ctx, wrong)
	requireCode(t, err, "api_key_invalid")

	revoked, err := keys.Revoke(ctx, key.Prefix)
	require.NoError(t, err)
	require.NotNil(t, revoked.RevokedAt)
	_, err = keys.Authenticate(ctx, token)
	requireCode(t, err, "api_key_revoked")
	_, err = keys.Authenticate(ctx, wrong)
	requireCode(t, err, "api_key_invalid")

	_, err = elsewhere.Authenticate(ctx, token)
	require.NoError(t, err, "another process may not know yet")
	c.add(3 * time.Second)
	_, err = elsewhere.Authenticate(ctx, token)
	requireCode(t, err, "api_key_revoked")

	again, err := keys.Revoke(ctx, key.Prefix)
	require.NoError(t, err)
	require.Equal(t, revoked.RevokedAt, again.RevokedAt)
	_, err = keys.Revoke(ctx, "zzzzzzzz")
	requireCode(t, err, "api_key_not_found")

	listed, err := keys.List(ctx)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.NotNil(t, listed[0].RevokedAt)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	keys := NewKeys(pgtest.New(t), c.now)
	end := c.now().Add(time.Second)
	_, token, err := keys.Create(ctx, "x", []string{"admin"}, &end)
	require.NoError(t, err)
	p, err := keys.Authenticate(ctx, token)
	require.NoError(t, err)
	require.True(t, p.Can(CardsRead), "admin has every scope")
	c.add(time.Second)
	_, err = keys.Authenticate(ctx, token)
	requireCode(t, err, "api_key_expired")
}

func TestWhatIsNoKey(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newClock()
	keys := NewKeys(pgtest.New(t), c.now)
	for token, code := range map[string]string{
		"": "api_key_missing", "x": "api_key_invalid", "vb_": "api_key_invalid",
		"vb_abcdefgh_" + strings.Repeat("0", 32):       "api_key_invalid",
		"vb_abcdefg__" + strings.Repeat("0", 32):       "api_key_invalid",
		"sk_abcdefgh_" + strings.Repeat("0", 32):       "api_key_invalid",
		"vb_abcdefgh_" + strings.Repeat("0", 33):       "api_key_invalid",
		"vb_a\xffcdefgh_" + strings.Repeat("0", 31):    "api_key_invalid",
		"vb_abc\xffefgh_" + strings.Repeat("0", 32):    "api_key_invalid",
		"vb_\x00bcdefgh_" + strings.Repeat("0", 32):    "api_key_invalid",
		"vb_\xff\xffcdefgh_" + strings.Repeat("0", 32): "api_key_invalid",
	} {
		_, err := keys.Authenticate(ctx, token)
		requireCode(t, err, code)
	}
	past := c.now()
	for code, create := range map[string]func() error{
		"scopes_missing":       func() error { _, _, err := keys.Create(ctx, "x", nil, nil); return err },
		"scope_unknown":        func() error { _, _, err := keys.Create(ctx, "x", []string{"orders:*"}, nil); return err },
		"api_key_name_invalid": func() error { _, _, err := keys.Create(ctx, "  ", []string{"admin"}, nil); return err },
		"expires_at_past":      func() error { _, _, err := keys.Create(ctx, "x", []string{"admin"}, &past); return err },
	} {
		requireCode(t, create(), code)
	}
}

// fakeStore counts fetches and lets tests hold them.
type fakeStore struct {
	mu      sync.Mutex
	fetches int
	record  *record
	err     error
	hold    chan struct{} // closed: go on
	entered chan struct{}
}

func (s *fakeStore) fetch(context.Context, string) (*record, error) {
	s.mu.Lock()
	s.fetches++
	rec, err, hold, entered := s.record, s.err, s.hold, s.entered
	s.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if hold != nil {
		<-hold
	}
	return rec, err
}

func (s *fakeStore) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

func TestCacheAsksOnce(t *testing.T) {
	t.Parallel()
	clk := newClock()
	store := &fakeStore{record: &record{principal: &Principal{}}, hold: make(chan struct{}), entered: make(chan struct{}, 1)}
	c := newCache(clk.now, store.fetch)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			rec, err := c.get(t.Context(), "a")
			if err != nil || rec.principal == nil {
				t.Errorf("%v %v", rec, err)
			}
		})
	}
	<-store.entered
	close(store.hold)
	all.Wait()
	_, err := c.get(t.Context(), "a")
	require.NoError(t, err)
	require.LessOrEqual(t, store.count(), 2, "those who came later than the first answer found it kept")
}

// A busy key is fetched anew before it is too old, and nobody waits for that.
func TestCacheRefreshesAhead(t *testing.T) {
	t.Parallel()
	clk := newClock()
	store := &fakeStore{record: &record{principal: &Principal{}}}
	c := newCache(clk.now, store.fetch)
	_, err := c.get(t.Context(), "a")
	require.NoError(t, err)
	clk.add(refreshAge)
	store.mu.Lock()
	store.record = &record{principal: &Principal{}, revoked: true}
	store.mu.Unlock()
	rec, err := c.get(t.Context(), "a")
	require.NoError(t, err)
	require.False(t, rec.revoked, "this one does not wait")
	require.Eventually(t, func() bool {
		rec, err := c.get(t.Context(), "a")
		return err == nil && rec.revoked
	}, 10*time.Second, time.Millisecond)
}

func TestCacheDoesNotKeepErrors(t *testing.T) {
	t.Parallel()
	clk := newClock()
	store := &fakeStore{err: errors.New("down")}
	c := newCache(clk.now, store.fetch)
	_, err := c.get(t.Context(), "a")
	require.ErrorContains(t, err, "down")
	store.mu.Lock()
	store.err, store.record = nil, &record{}
	store.mu.Unlock()
	_, err = c.get(t.Context(), "a")
	require.NoError(t, err)
}

// What is read while a key is revoked is not kept, and who asks after the revocation does not get it.
func TestCacheForgetsWhatIsBeingRead(t *testing.T) {
	t.Parallel()
	clk := newClock()
	store := &fakeStore{record: &record{principal: &Principal{}}, hold: make(chan struct{}), entered: make(chan struct{}, 1)}
	c := newCache(clk.now, store.fetch)
	before := make(chan error, 1)
	go func() {
		_, err := c.get(t.Context(), "a")
		before <- err
	}()
	<-store.entered
	c.forget("a")
	store.mu.Lock()
	hold := store.hold
	store.record, store.hold, store.entered = &record{principal: &Principal{}, revoked: true}, nil, nil
	store.mu.Unlock()
	rec, err := c.get(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, rec.revoked)
	close(hold)
	require.NoError(t, <-before)
	rec, err = c.get(t.Context(), "a")
	require.NoError(t, err)
	require.True(t, rec.revoked)
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	clk := newClock()
	known := &record{principal: &Principal{}}
	c := newCache(clk.now, func(_ context.Context, prefix string) (*record, error) {
		if prefix == "known" {
			return known, nil
		}
		return &record{}, nil
	})
	_, err := c.get(t.Context(), "known")
	require.NoError(t, err)
	for i := range maxEntries + 10 {
		_, err := c.get(t.Context(), strconv.Itoa(i))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(c.entries), maxEntries)
	require.Contains(t, c.entries, "known", "made-up prefixes do not push out a key")
}

func TestEveryScopeIsDescribed(t *testing.T) {
	t.Parallel()
	for _, info := range Scopes() {
		require.NotEmpty(t, info.Description)
		_, err := ParseScopes([]string{string(info.Scope)})
		require.NoError(t, err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	prefix, secret := newToken()
	rec := &record{principal: &Principal{}, hash: hashSecret(secret)}
	k := &Keys{now: time.Now}
	k.cache = newCache(time.Now, func(context.Context, string) (*record, error) { return rec, nil })
	token := joinToken(prefix, secret)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
