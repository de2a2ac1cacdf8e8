package bench

import (
	"io"
	"time"
)

// PipelineReport is what Pipeline measured.
type PipelineReport struct {
	StartedAt time.Time        `json:"started_at"`
	Machine   Machine          `json:"machine"`
	Duration  float64          `json:"duration_s"` // of each rate
	Rates     []RateResult     `json:"rates"`
	Sustained *SustainedResult `json:"sustained,omitempty"` // nil: it was not reached
}

// RateResult is what payments at a fixed rate found. Latencies count from the time a payment was due.
type RateResult struct {
	Rate          int     `json:"rate"` // payments a second
	Orders        int     `json:"orders"`
	PaidPerSecond float64 `json:"delivered_per_second"` // orders by the time from the first payment to the last card
	// Answered: the payment's notice was answered with 200.
	Answered Latency `json:"callback_answered"`
	// CardVisible: the card was visible to another connection.
	CardVisible Latency `json:"card_visible"`
	// PollEvery is the resolution of CardVisible, in milliseconds: it is late by up to this.
	PollEvery float64 `json:"resolution_ms"`
	// ServerP50 and ServerP99 of completed_at − paid_at, in milliseconds.
	ServerP50 float64       `json:"server_p50_ms"`
	ServerP99 float64       `json:"server_p99_ms"`
	Check     PipelineCheck `json:"check"`
}

// SustainedResult is what the whole path can take.
type SustainedResult struct {
	Orders          int           `json:"orders"`
	Buyers          int           `json:"buyers"`
	SMSPerOrder     int           `json:"sms_per_order"`
	PaidAfter       float64       `json:"paid_after_s"`      // when the last order was paid
	Seconds         float64       `json:"seconds"`           // when the last SMS and webhook had arrived
	OrdersPerSecond float64       `json:"orders_per_second"` // orders by Seconds
	Processor       Processor     `json:"processor_us_per_order"`
	Check           PipelineCheck `json:"check"`
}

// Table writes the report for people.
func (r *PipelineReport) Table(w io.Writer) error {
	t := &table{w: w}
	t.linef("%s", r.Machine)
	t.linef("")
	t.linef("%-22s %8s %9s %9s %9s %16s  %s", "payment → card", "orders", "p50 ms", "p99 ms", "max ms", "server p50/p99", "checked")
	top := 0.0
	for _, rate := range r.Rates {
		top = max(top, rate.CardVisible.P99)
	}
	for _, rate := range r.Rates {
		v := rate.CardVisible
		t.linef("  %-20s %8s %9.1f %9.1f %9.1f %8.1f/%-7.1f  all cards, once  %s", thousands(float64(rate.Rate))+"/s for "+seconds(r.Duration),
			thousands(float64(rate.Orders)), v.P50, v.P99, v.Max, rate.ServerP50, rate.ServerP99, bar(v.P99, top))
		t.linef("    notice answered %17s %9.1f %9.1f %9.1f", "", rate.Answered.P50, rate.Answered.P99, rate.Answered.Max)
	}
	if s := r.Sustained; s != nil {
		t.linef("")
		t.linef("whole path: %s orders/s (%s orders placed, paid, delivered, %d SMS and 1 webhook each, in %s by %d buyers)",
			thousands(s.OrdersPerSecond), thousands(float64(s.Orders)), s.SMSPerOrder, seconds(s.Seconds), s.Buyers)
		t.linef("  processor time of an order: %s µs (this process, with load generator, gateway and subscriber; Postgres)", s.Processor)
		t.linef("  checked over the run: %s orders, %s different cards, %s SMS, %s webhooks of %s different events",
			thousands(float64(s.Check.Completed)), thousands(float64(s.Check.DistinctCards)), thousands(float64(s.Check.SMSSent)),
			thousands(float64(s.Check.Webhooks)), thousands(float64(s.Check.WebhookIDs)))
	}
	return t.err
}
