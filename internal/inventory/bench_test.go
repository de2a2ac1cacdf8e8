package inventory_test

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/inventory"
)

// BenchmarkImport takes in a file of 20,000 cards, or of as many as VENDBOX_BENCH_LINES says:
//
//	VENDBOX_BENCH_LINES=1000000 go test -run '^$' -bench Import -benchtime 1x ./internal/inventory
//
// rss_MB is the highest the whole process ever had, as Linux counts it.
func BenchmarkImport(b *testing.B) {
	lines := int64(20_000)
	if text := os.Getenv("VENDBOX_BENCH_LINES"); text != "" {
		var err error
		lines, err = strconv.ParseInt(text, 10, 64)
		require.NoError(b, err)
	}
	t := setup(b)
	sku := t.product(b, inventory.KindCard)
	var seconds float64
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		report, err := t.Import(b.Context(), inventory.ImportParams{
			SKU: sku, Format: inventory.FormatText, Actor: "test", Reader: &codes{batch: i, left: lines},
		})
		require.NoError(b, err)
		require.Equal(b, lines, report.Imported)
		seconds += time.Since(began).Seconds()
	}
	b.ReportMetric(float64(lines)*float64(b.N)/seconds, "lines/s")
	b.ReportMetric(peakRSS(b), "rss_MB")
}

// codes is a file of different codes that is made while it is read.
type codes struct {
	batch int
	left  int64
	rest  []byte
}

func (c *codes) Read(p []byte) (int, error) {
	for len(c.rest) < len(p) && c.left > 0 {
		c.rest = fmt.Appendf(c.rest, "%05d-ABCDE-%010d-XYZ\n", c.batch, c.left)
		c.left--
	}
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = append(c.rest[:0], c.rest[n:]...)
	return n, nil
}

func peakRSS(tb testing.TB) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(tb, found)
	kb, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(tb, err)
	return kb / 1024
}
