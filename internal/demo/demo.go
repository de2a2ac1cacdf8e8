package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Config of a demo run against a running vendbox.
type Config struct {
	APIURL        string
	APIKey        string
	PaymentSecret string
	Sinks         *Sinks
	WebhookURL    string // where the sinks take webhooks
	Orders        int
	Buyers        int // at once
	// Progress is called when an order has its card.
	Progress func()
}

// Result is what a run showed.
type Result struct {
	Orders    int
	Paid      int
	Delivered int
	Placing   Latencies // POST /v1/orders
	PayToCard Latencies // from sending the gateway's notice until the buyer has the code in hand
	Took      time.Duration
	Counts    Counts
	// TwiceSold are codes that two buyers got. There must be none.
	TwiceSold []string
}

// Latencies of one step.
type Latencies []time.Duration

// Quantile gives the q-quantile, 0 for none.
func (l Latencies) Quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(l))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

const (
	demoSKU = "demo-card"
	// perOrder are the webhooks of one order: created, paid, completed.
	perOrder = 3
	pollCard = 8 * time.Millisecond
	settle   = time.Minute
)

// Run sells: it makes a product, imports cards, subscribes, and lets buyers order, pay and take their cards, until the
// last SMS and webhook has come.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	c := &client{
		url: cfg.APIURL, apiKey: cfg.APIKey, paymentSecret: cfg.PaymentSecret,
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: cfg.Buyers}},
	}
	defer c.http.CloseIdleConnections()
	if err := prepare(ctx, c, cfg); err != nil {
		return nil, err
	}
	run := &run{cfg: cfg, client: c, owners: map[string]int{}}
	started := time.Now()
	if err := run.sell(ctx); err != nil {
		return nil, err
	}
	run.result.Counts = awaitSinks(ctx, cfg)
	run.result.Took = time.Since(started)
	for code, owners := range run.owners {
		if owners > 1 {
			run.result.TwiceSold = append(run.result.TwiceSold, code)
		}
	}
	return &run.result, nil
}

func prepare(ctx context.Context, c *client, cfg Config) error {
	if err := c.post(ctx, "/v1/products", map[string]any{
		"sku": demoSKU, "name": "Demo card", "kind": "card", "price": map[string]any{"amount": 1999, "currency": "CNY"},
	}, nil); err != nil {
		return err
	}
	var cards strings.Builder
	for i := range cfg.Orders {
		fmt.Fprintf(&cards, "DEMO-%08d-%04X\n", i, (i*7919)%65536)
	}
	if err := c.call(ctx, http.MethodPost, "/v1/products/"+demoSKU+"/card-imports", "text/plain", []byte(cards.String()), nil); err != nil {
		return err
	}
	var endpoint struct {
		Secret string `json:"secret"`
	}
	if err := c.post(ctx, "/v1/webhook-endpoints", map[string]any{
		"url": cfg.WebhookURL, "event_types": []string{"order.*"}, "description": "the demo's subscriber",
	}, &endpoint); err != nil {
		return err
	}
	return cfg.Sinks.Trust(endpoint.Secret)
}

type run struct {
	cfg    Config
	client *client

	mu     sync.Mutex
	result Result
	owners map[string]int // buyers by code
}

func (r *run) sell(ctx context.Context) error {
	buyers, ctx := errgroup.WithContext(ctx)
	buyers.SetLimit(r.cfg.Buyers)
	for i := range r.cfg.Orders {
		buyers.Go(func() error { return r.buy(ctx, i) })
	}
	return buyers.Wait()
}

// buy is one buyer: order, pay, wait for the card.
func (r *run) buy(ctx context.Context, i int) error {
	begun := time.Now()
	order, err := r.client.place(ctx, demoSKU, fmt.Sprintf("+86138%08d", i), fmt.Sprintf("demo-%d", i))
	if err != nil {
		return err
	}
	placed := time.Since(begun)
	paymentID, err := r.client.startPayment(ctx, order.ID)
	if err != nil {
		return err
	}
	paying := time.Now()
	if err := r.client.notify(ctx, paymentID, order); err != nil {
		return err
	}
	codes, err := r.awaitCards(ctx, order)
	if err != nil {
		return err
	}
	r.note(codes, placed, time.Since(paying))
	return nil
}

func (r *run) awaitCards(ctx context.Context, order placedOrder) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	poll := time.NewTicker(pollCard)
	defer poll.Stop()
	for {
		codes, err := r.client.cards(ctx, order)
		if err != nil || len(codes) > 0 {
			return codes, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("order %s was paid and has no card after %s", order.ID, settle)
		}
	}
}

func (r *run) note(codes []string, placed, payToCard time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Orders++
	r.result.Paid++
	r.result.Delivered++
	r.result.Placing = append(r.result.Placing, placed)
	r.result.PayToCard = append(r.result.PayToCard, payToCard)
	for _, code := range codes {
		r.owners[code]++
	}
	if r.cfg.Progress != nil {
		r.cfg.Progress()
	}
}

// awaitSinks waits until every SMS and webhook has come, or until nothing more comes.
func awaitSinks(ctx context.Context, cfg Config) Counts {
	for {
		counts, changed := cfg.Sinks.Counts()
		if counts.DistinctWebhooks >= perOrder*cfg.Orders && counts.DistinctSMS >= cfg.Orders {
			return counts
		}
		select {
		case <-changed:
		case <-time.After(settle):
			return counts
		case <-ctx.Done():
			return counts
		}
	}
}

// Complete says whether everything arrived that had to.
func (r *Result) Complete() bool {
	return len(r.TwiceSold) == 0 && r.Delivered == r.Orders && r.Counts.DistinctSMS == r.Orders &&
		r.Counts.DistinctWebhooks == perOrder*r.Orders && r.Counts.Verified == r.Counts.Webhooks
}
