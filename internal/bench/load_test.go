package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shop is a server that takes what it takes for orders, and remembers it.
type shop struct {
	*httptest.Server

	mu     sync.Mutex
	keys   map[string]int
	skus   map[string]int
	plain  int
	wrong  []string
	answer func(n int64, w http.ResponseWriter) // instead of 201
	orders atomic.Int64
}

func openShop(t *testing.T, answer func(n int64, w http.ResponseWriter)) *shop {
	t.Helper()
	s := &shop{keys: map[string]int{}, skus: map[string]int{}, answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Items []struct {
			SKU      string `json:"sku"`
			Quantity int    `json:"quantity"`
		} `json:"items"`
		Contact struct {
			Phone string `json:"phone"`
		} `json:"contact"`
		Locale string `json:"locale"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&body)
	s.mu.Lock()
	switch {
	case err != nil:
		s.wrong = append(s.wrong, err.Error())
	case r.Method != http.MethodPost || r.URL.Path != "/v1/orders" || r.Header.Get("Authorization") != "Bearer secret" ||
		r.Header.Get("Content-Type") != "application/json" || len(body.Items) != 1 || body.Items[0].Quantity != 1:
		s.wrong = append(s.wrong, r.Method+" "+r.URL.Path)
	default:
		s.skus[body.Items[0].SKU]++
		if key := r.Header.Get("Idempotency-Key"); key != "" {
			s.keys[key]++
		} else {
			s.plain++
		}
	}
	s.mu.Unlock()
	n := s.orders.Add(1)
	if s.answer != nil {
		s.answer(n, w)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *shop) load(t *testing.T, skus ...string) *load {
	t.Helper()
	d, err := newDoor(s.URL, "secret")
	require.NoError(t, err)
	l := &load{door: d, buyers: 8, warmup: 50 * time.Millisecond, duration: 200 * time.Millisecond, keyShare: 0.5, run: 7}
	for _, sku := range skus {
		l.requests = append(l.requests, newOrderRequest(d, sku))
	}
	return l
}

func TestLoadSendsOrdersAndCountsThem(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	tally, err := s.load(t, "a", "bb", "ccc").do(t.Context())
	require.NoError(t, err)

	require.Empty(t, s.wrong)
	require.Equal(t, s.orders.Load(), tally.placed.Load())
	require.Empty(t, tally.failures)
	require.Zero(t, tally.unknown.Load())
	require.Positive(t, tally.measured.Load())
	require.Less(t, tally.measured.Load(), tally.placed.Load(), "the warm-up does not count")
	require.Equal(t, tally.measured.Load(), tally.latency.merged().TotalCount())
	require.Len(t, s.skus, 3)

	keyed := 0
	for key, times := range s.keys {
		require.Len(t, key, keyWidth)
		require.Equal(t, 1, times, "a key is sent once")
		keyed++
	}
	require.EqualValues(t, s.orders.Load(), keyed+s.plain)
	require.InDelta(t, 0.5, float64(keyed)/float64(keyed+s.plain), 0.2)
}

func TestLoadWithoutKeys(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	l := s.load(t, "a")
	l.keyShare = -1
	_, err := l.do(t.Context())
	require.NoError(t, err)
	require.Empty(t, s.keys)
	require.Positive(t, s.plain)
}

func TestLoadCountsRefusalsApart(t *testing.T) {
	t.Parallel()
	s := openShop(t, func(n int64, w http.ResponseWriter) {
		if n%2 == 0 {
			w.WriteHeader(http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	tally, err := s.load(t, "a").do(t.Context())
	require.NoError(t, err)
	require.Equal(t, s.orders.Load(), tally.placed.Load()+int64(tally.failures["HTTP 409"]))
	require.Positive(t, tally.failures["HTTP 409"])
}

// Nobody knows what became of an order whose answer did not come.
func TestLoadCountsLostConnectionsAsUnknown(t *testing.T) {
	t.Parallel()
	s := openShop(t, func(n int64, w http.ResponseWriter) {
		if n > 20 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	})
	tally, err := s.load(t, "a").do(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 20, tally.placed.Load())
	require.EqualValues(t, 8, tally.unknown.Load(), "each buyer gives up")
	require.Equal(t, 8, tally.failures["connection lost"])
}

func TestLoadNeedsItsServer(t *testing.T) {
	t.Parallel()
	s := openShop(t, nil)
	l := s.load(t, "a")
	s.Close()
	_, err := l.do(t.Context())
	require.Error(t, err)
}

func TestDoorNeedsAPlainAddress(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"", "localhost:80", "https://x", "http://x/api", "http://"} {
		_, err := newDoor(wrong, "k")
		require.Error(t, err, wrong)
	}
	d, err := newDoor("http://shop.example/", "k")
	require.NoError(t, err)
	require.Equal(t, "shop.example:80", d.address)
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	var recording sync.WaitGroup
	for i := range 100 {
		recording.Go(func() {
			for range 10 {
				r.record(i, time.Duration(i+1)*time.Millisecond)
			}
		})
	}
	recording.Wait()
	r.record(0, -time.Second)
	r.record(0, time.Hour)
	l := latencyOf(r.merged())
	require.EqualValues(t, 1002, l.Count)
	require.InDelta(t, 50, l.P50, 1)
	require.InDelta(t, 99, l.P99, 1.1)
	require.InDelta(t, 120_000, l.Max, 200)
}
