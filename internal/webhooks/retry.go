package webhooks

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// retryFactor is how much longer each wait may be than the one before.
	retryFactor = 6
	// maxRetryAfter bounds what an endpoint may ask for.
	maxRetryAfter = time.Hour
	// maxPause bounds how long all deliveries to an endpoint wait after one was throttled.
	maxPause = time.Minute
	// defaultPause is for a throttling answer that does not say how long.
	defaultPause = time.Second
)

// ceiling is the longest wait after attempt n (from 1).
func (c Config) ceiling(n int) time.Duration {
	wait := c.RetryBase
	for i := 1; i < n && wait < c.RetryCap; i++ {
		wait *= retryFactor
	}
	return min(wait, c.RetryCap)
}

// wait is how long to wait after attempt n: full jitter, but not less than the endpoint asked for.
func (c Config) wait(n int, retryAfter time.Duration) time.Duration {
	return max(rand.N(c.ceiling(n)+1), retryAfter)
}

// throttles says whether an answer asks all deliveries to slow down (Standard Webhooks 1.0.0, "Responses").
func throttles(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusBadGateway || status == http.StatusGatewayTimeout
}

// pauseAfter is how long an endpoint that throttles is left alone.
func pauseAfter(retryAfter time.Duration) time.Duration {
	if retryAfter == 0 {
		return defaultPause
	}
	return min(retryAfter, maxPause)
}

// parseRetryAfter reads seconds or a date (RFC 9110 §10.2.3), up to maxRetryAfter; 0 for anything else.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}
