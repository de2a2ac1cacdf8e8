package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The histograms keep 1 µs to 2 min in microseconds, to three significant digits.
const (
	lowest  = 1
	highest = int64(2 * time.Minute / time.Microsecond)
	digits  = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowest, highest, digits) }

// recorder gathers latencies of many goroutines. One histogram each would be 200 KB each, one for all a queue.
type recorder struct {
	shards [16]struct {
		mu   sync.Mutex
		hist *hdrhistogram.Histogram
	}
}

func newRecorder() *recorder {
	r := &recorder{}
	for i := range r.shards {
		r.shards[i].hist = newHistogram()
	}
	return r
}

// record notes one latency of a goroutine, which has a number. What is out of range counts as its end.
func (r *recorder) record(goroutine int, latency time.Duration) {
	s := &r.shards[goroutine%len(r.shards)]
	us := min(max(latency.Microseconds(), lowest), highest)
	s.mu.Lock()
	_ = s.hist.RecordValue(us) // it is in range
	s.mu.Unlock()
}

// merged returns everything so far.
func (r *recorder) merged() *hdrhistogram.Histogram {
	all := newHistogram()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		all.Merge(s.hist)
		s.mu.Unlock()
	}
	return all
}

// Latency sums up latencies, in milliseconds.
type Latency struct {
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
	Count int64   `json:"count"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	return Latency{
		P50: ms(h.ValueAtQuantile(50)), P99: ms(h.ValueAtQuantile(99)), Max: ms(h.Max()), Count: h.TotalCount(),
	}
}

func ms(us int64) float64 { return float64(us) / 1000 }
