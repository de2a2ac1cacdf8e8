package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// OrdersReport is what Orders measured.
type OrdersReport struct {
	StartedAt time.Time    `json:"started_at"`
	Machine   Machine      `json:"machine"`
	Duration  float64      `json:"duration_s"` // of each measurement
	Rounds    int          `json:"rounds"`
	KeyShare  float64      `json:"idempotency_key_share"`
	Cells     []OrdersCell `json:"cells"`
	Ratios    []Ratio      `json:"ratios"`
}

// OrdersCell is one target under one load.
type OrdersCell struct {
	Target          string         `json:"target"`
	SKUs            int            `json:"skus"`
	Buyers          int            `json:"buyers"`
	OrdersPerSecond float64        `json:"orders_per_second"`
	Rounds          []float64      `json:"orders_per_second_by_round"`
	Latency         Latency        `json:"latency"`
	Acknowledged    int64          `json:"acknowledged"` // 201 answers, warm-up included
	Errors          int            `json:"errors"`       // everything else
	Failures        map[string]int `json:"failures,omitempty"`
	Processor       Processor      `json:"processor_us_per_order"`
	Check           Check          `json:"check"`
}

// Ratio compares vendbox with the other two under one load.
type Ratio struct {
	SKUs         int     `json:"skus"`
	Buyers       int     `json:"buyers"`
	ToNaive      float64 `json:"to_naive"`       // 20: twenty times as many orders; 0: not measured
	ToNoDatabase float64 `json:"to_no_database"` // 0.5: half of what the door could do without a database
}

// ratios are those of every load under which vendbox was measured.
func (r *OrdersReport) ratios() []Ratio {
	var ratios []Ratio
	for _, c := range r.Cells {
		if c.Target != Vendbox {
			continue
		}
		ratios = append(ratios, Ratio{
			SKUs: c.SKUs, Buyers: c.Buyers, ToNaive: c.to(r.find(Naive, c)), ToNoDatabase: c.to(r.find(NoDatabase, c)),
		})
	}
	return ratios
}

func (r *OrdersReport) find(target string, like OrdersCell) OrdersCell {
	for _, c := range r.Cells {
		if c.Target == target && c.SKUs == like.SKUs && c.Buyers == like.Buyers {
			return c
		}
	}
	return OrdersCell{}
}

func (c OrdersCell) to(other OrdersCell) float64 {
	if other.OrdersPerSecond == 0 {
		return 0
	}
	return c.OrdersPerSecond / other.OrdersPerSecond
}

// Table writes the report for people, who see in the last column that SQL found what had been acknowledged.
func (r *OrdersReport) Table(w io.Writer) error {
	t := &table{w: w}
	t.linef("%s", r.Machine)
	t.linef("%d × %s per line, closed loop over keep-alive HTTP, %.0f %% with an Idempotency-Key", r.Rounds,
		seconds(r.Duration), 100*r.KeyShare)
	top := 0.0
	for _, c := range r.Cells {
		top = max(top, c.OrdersPerSecond)
	}
	var last OrdersCell
	for _, c := range r.Cells {
		if c.SKUs != last.SKUs || c.Buyers != last.Buyers {
			r.ratioLine(t, last)
			t.linef("")
			t.linef("%-25s %10s %9s %9s %7s %9s  %s", productsText(c.SKUs)+", "+thousands(float64(c.Buyers))+" buyers",
				"orders/s", "p50 ms", "p99 ms", "errors", "CPU µs", "checked in SQL")
		}
		t.linef("  %-23s %10s %9.1f %9.1f %7d %9s  %-16s %s", c.Target, thousands(c.OrdersPerSecond), c.Latency.P50, c.Latency.P99,
			c.Errors, c.Processor, c.checked(), bar(c.OrdersPerSecond, top))
		last = c
	}
	r.ratioLine(t, last)
	return t.err
}

func (r *OrdersReport) ratioLine(t *table, like OrdersCell) {
	for _, ratio := range r.ratios() {
		if ratio.SKUs != like.SKUs || ratio.Buyers != like.Buyers {
			continue
		}
		var said []string
		if ratio.ToNaive > 0 {
			said = append(said, fmt.Sprintf("%.1f × naive", ratio.ToNaive))
		}
		if ratio.ToNoDatabase > 0 {
			said = append(said, fmt.Sprintf("%.0f %% of no database", 100*ratio.ToNoDatabase))
		}
		if len(said) > 0 {
			t.linef("  vendbox is %s", strings.Join(said, ", "))
		}
	}
}

func (c OrdersCell) checked() string {
	if c.Target == NoDatabase {
		return "none, rightly"
	}
	return thousands(float64(c.Check.Orders)) + " orders"
}

// table writes lines until one cannot be written.
type table struct {
	w   io.Writer
	err error
}

func (t *table) linef(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

func productsText(n int) string {
	if n == 1 {
		return "1 SKU"
	}
	return thousands(float64(n)) + " SKUs"
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'g', 3, 64) + " s" }

// thousands rounds and groups digits: 12,345.
func thousands(x float64) string {
	digits := strconv.FormatInt(int64(math.Round(x)), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// bar draws x as a part of top, in eighths of a character.
func bar(x, top float64) string {
	const width = 24
	if top <= 0 {
		return ""
	}
	eighths := int(math.Round(x / top * width * 8))
	drawn := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		drawn += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return drawn
}
