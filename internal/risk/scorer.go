package risk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/sony/gobreaker/v2"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/outbound"
)

// ScorerConfig is an external scorer's place in the rules file.
type ScorerConfig struct {
	URL string `json:"url"`
	// Token is sent as a bearer token; ${NAME} is replaced by the environment variable, once, at start.
	Token string `json:"token"`
	// Timeout of one question, 10 ms to 10 s. Default 800 ms.
	Timeout Duration `json:"timeout"`
	// OnFailure is what becomes of an order that the scorer has not judged: hold or pass. Required: only the shop knows
	// which of the two costs it less.
	OnFailure Decision `json:"on_failure"`
}

const (
	defaultScorerTimeout = Duration(800 * time.Millisecond)
	minScorerTimeout     = Duration(10 * time.Millisecond)
	maxScorerTimeout     = Duration(10 * time.Second)

	maxScorerAnswer = 64 << 10
	maxScorerReason = 500 // characters
	// scorerConnections is as many as there are workers by default, so that none of them dials for each question.
	scorerConnections = 200

	// breakAfter failures in a row nobody is asked for defaultBreak; then one question shows whether it is well again. Without
	// it, a scorer that hangs would keep all workers of the queue waiting, and those deliver the cards.
	breakAfter   = 5
	defaultBreak = 5 * time.Second
)

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// prepare fills in what is left out and lists what is wrong.
func (c *ScorerConfig) prepare(getenv func(string) (string, bool)) []string {
	var list []string
	if c.Timeout == 0 {
		c.Timeout = defaultScorerTimeout
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		list = append(list, "scorer.url: http(s)://host/path")
	}
	c.Token = variable.ReplaceAllStringFunc(c.Token, func(s string) string {
		value, ok := getenv(s[2 : len(s)-1])
		if !ok || value == "" {
			list = append(list, "scorer.token: the environment has no "+s[2:len(s)-1])
		}
		return value
	})
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r < ' ' || r > '~' }) {
		list = append(list, "scorer.token: has characters that no header may have")
	}
	if c.Timeout < minScorerTimeout || c.Timeout > maxScorerTimeout {
		list = append(list, fmt.Sprintf("scorer.timeout: a string such as \"800ms\", from %s to %s",
			time.Duration(minScorerTimeout), time.Duration(maxScorerTimeout)))
	}
	if c.OnFailure != DecisionHold && c.OnFailure != DecisionPass {
		list = append(list, "scorer.on_failure: hold or pass, what becomes of an order when the scorer does not answer")
	}
	return list
}

// scorer asks the external scorer.
type scorer struct {
	cfg     ScorerConfig
	client  *http.Client
	breaker *gobreaker.CircuitBreaker[score]
}

// question is what the scorer is sent. It has nothing by which a buyer could be reached.
type question struct {
	OrderID  uuid.UUID       `json:"order_id"`
	Amount   money.Money     `json:"amount"`
	Items    []questionItem  `json:"items"`
	Contact  json.RawMessage `json:"contact"` // masked
	Counts   questionCounts  `json:"orders_24h"`
	First    bool            `json:"first_order"` // nobody with this contact has had an order completed
	Rules    []string        `json:"rules"`       // that matched
	PlacedAt time.Time       `json:"placed_at"`
}

type questionItem struct {
	SKU       string `json:"sku"`
	Quantity  int    `json:"quantity"`
	UnitPrice int64  `json:"unit_price"` // minor units
}

// questionCounts are the orders of the last 24 hours, this one included, up to 101; null where the order has no such thing.
type questionCounts struct {
	Phone *int `json:"phone"`
	Email *int `json:"email"`
	IP    *int `json:"ip"`
}

// ScorerOutcome is what came of asking the scorer.
type ScorerOutcome string

// The outcomes.
const (
	ScorerOff    ScorerOutcome = "off" // there is none
	ScorerPass   ScorerOutcome = "pass"
	ScorerHold   ScorerOutcome = "hold"
	ScorerRefuse ScorerOutcome = "refuse"
	ScorerFailed ScorerOutcome = "failed" // no answer, or no answer that makes sense: on_failure decides
)

// score is the scorer's answer.
type score struct {
	Outcome ScorerOutcome `json:"decision"`
	Score   *float64      `json:"score"`
	Reason  string        `json:"reason"`
}

func newScorer(cfg ScorerConfig, breakFor time.Duration) *scorer {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConns: scorerConnections, MaxIdleConnsPerHost: scorerConnections,
		IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	return &scorer{
		cfg:    cfg,
		client: outbound.Client(transport),
		breaker: gobreaker.NewCircuitBreaker[score](gobreaker.Settings{
			Timeout:     breakFor,
			ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakAfter },
			IsExcluded:  func(err error) bool { return errors.Is(err, errGivenUp) },
		}),
	}
}

func (s *scorer) close() { s.client.CloseIdleConnections() }

var errGivenUp = errors.New("risk: the question was given up")

// ask gives the scorer's answer. A scorer that fails is an outcome; an error is only that ctx has ended.
func (s *scorer) ask(ctx context.Context, q question) (score, error) {
	answer, err := s.breaker.Execute(func() (score, error) {
		answer, err := s.post(ctx, q)
		if err != nil && ctx.Err() != nil {
			return score{}, errors.Join(errGivenUp, context.Cause(ctx))
		}
		return answer, err
	})
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, errGivenUp):
		return score{}, err
	default:
		return score{Outcome: ScorerFailed, Reason: clip(failure(err))}, nil
	}
}

// failure says in a few words why there is no answer; url.Error would repeat the URL.
func failure(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if e.Timeout() {
			return "no answer in time"
		}
		err = e.Err
	}
	if errors.Is(err, io.EOF) {
		return "the connection was closed without an answer"
	}
	return err.Error()
}

func (s *scorer) post(ctx context.Context, q question) (score, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return score{}, fmt.Errorf("question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.Timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return score{}, fmt.Errorf("request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Idempotency-Key", q.OrderID.String()) // an order is asked about again when its job is repeated
	if s.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.cfg.Token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return score{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxScorerAnswer+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return score{}, errors.New("no answer in time")
	case err != nil:
		return score{}, errors.New("the answer broke off")
	case resp.StatusCode != http.StatusOK:
		return score{}, fmt.Errorf("answered with status %d", resp.StatusCode)
	case len(text) > maxScorerAnswer:
		return score{}, fmt.Errorf("answered with more than %d bytes", maxScorerAnswer)
	}
	return parseScore(text)
}

// parseScore reads an answer. Members that it does not know are the scorer's own.
func parseScore(text []byte) (score, error) {
	var a score
	if err := json.Unmarshal(text, &a); err != nil {
		return score{}, errors.New("the answer is not the JSON that was asked for")
	}
	if a.Outcome != ScorerPass && a.Outcome != ScorerHold && a.Outcome != ScorerRefuse {
		return score{}, errors.New("the answer's decision is none of pass, hold and refuse")
	}
	a.Reason = clip(a.Reason)
	return a, nil
}

// clip makes a text fit for the database: valid, without NUL, and not longer than it may be.
func clip(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if utf8.RuneCountInString(s) <= maxScorerReason {
		return s
	}
	return string([]rune(s)[:maxScorerReason-1]) + "…"
}
