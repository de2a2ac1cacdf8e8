package webhooks

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
)

// What subscribers do to us, and what becomes of the delivery.
func TestAnswers(t *testing.T) {
	t.Parallel()

	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)

	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		status  string
		code    int
		error   string
		check   func(t *testing.T, d Delivery, a Attempt)
	}{
		"200": {handler: reply(200, "thanks"), status: DeliverySucceeded, code: 200, check: func(t *testing.T, d Delivery, a Attempt) {
			t.Helper()
			require.Equal(t, "thanks", a.ResponseBody)
			require.NotNil(t, d.FinishedAt)
			require.Nil(t, d.NextAttemptAt)
		}},
		"204": {handler: reply(204, ""), status: DeliverySucceeded, code: 204},
		"299": {handler: reply(299, ""), status: DeliverySucceeded, code: 299},
		"302": {handler: redirect(elsewhere.URL, 302), status: DeliveryPending, code: 302, error: "redirected with status 302"},
		"307": {handler: redirect(elsewhere.URL, 307), status: DeliveryPending, code: 307, error: "redirected with status 307"},
		"304": {handler: reply(304, ""), status: DeliveryPending, code: 304, error: "redirected"},
		"400": {handler: reply(400, "no"), status: DeliveryPending, code: 400, error: "answered with status 400"},
		"404": {handler: reply(404, ""), status: DeliveryPending, code: 404, error: "answered with status 404"},
		"500": {handler: reply(500, ""), status: DeliveryPending, code: 500, error: "answered with status 500"},
		"410": {handler: reply(410, ""), status: DeliveryEndpointDisabled, code: 410, error: "answered with status 410"},
		"429 for a while": {handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1800")
			w.WriteHeader(http.StatusTooManyRequests)
		}, status: DeliveryPending, code: 429, error: "answered with status 429", check: func(t *testing.T, d Delivery, _ Attempt) {
			t.Helper()
			require.WithinDuration(t, time.Now().Add(30*time.Minute), *d.NextAttemptAt, time.Minute)
		}},
		"no answer": {
			handler: func(_ http.ResponseWriter, r *http.Request) { hang(r) },
			status:  DeliveryPending, error: "timeout: no complete answer within 500ms",
		},
		"no end": {handler: func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("wait"))
			_ = http.NewResponseController(w).Flush()
			hang(r)
		}, status: DeliveryPending, code: 200, error: "timeout"},
		"closed at once": {handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}, status: DeliveryPending, error: "connection closed before the answer was complete"},
		"closed in the middle": {handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhal"))
			_ = conn.Close()
		}, status: DeliveryPending, code: 200, error: "connection closed", check: func(t *testing.T, _ Delivery, a Attempt) {
			t.Helper()
			require.Equal(t, "hal", a.ResponseBody)
		}},
		"no HTTP": {handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = conn.Write([]byte("220 smtp \x00\xff ready\r\n\r\n"))
			_ = conn.Close()
		}, status: DeliveryPending, error: "malformed HTTP"},
		"another protocol": {handler: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = conn.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"))
			_, _ = io.Copy(io.Discard, conn) // silent until the sender ends it
		}, status: DeliveryPending, error: "the server switched protocols"},
		"a flood": {handler: func(w http.ResponseWriter, _ *http.Request) {
			chunk := strings.Repeat("x", 1<<16)
			for range 1600 {
				if _, err := w.Write([]byte(chunk)); err != nil {
					return
				}
			}
		}, status: DeliverySucceeded, code: 200, check: func(t *testing.T, _ Delivery, a Attempt) {
			t.Helper()
			require.Len(t, a.ResponseBody, maxKeptBody)
		}},
		"a flood of headers": {handler: func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("x-%d", i), strings.Repeat("x", 1024))
			}
		}, status: DeliveryPending, error: "server response headers exceeded"},
		"bytes that are no text": {
			handler: reply(500, "a\x00b\xff\xfe"+strings.Repeat("\xff", maxKeptBody)+"é"), status: DeliveryPending, code: 500,
			error: "answered with status 500", check: func(t *testing.T, _ Delivery, a Attempt) {
				t.Helper()
				require.True(t, utf8.ValidString(a.ResponseBody))
				require.NotContains(t, a.ResponseBody, "\x00")
				require.True(t, strings.HasPrefix(a.ResponseBody, "a�b�"))
				require.LessOrEqual(t, len(a.ResponseBody), maxKeptBody)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := local()
			cfg.Timeout = 500 * time.Millisecond
			b := setup(t, cfg)
			server := httptest.NewServer(tc.handler)
			t.Cleanup(server.Close)
			b.endpoint(t, server.URL+"/?token=secret-token")
			args := b.send(t)
			before := time.Now()
			err := b.work(t, args, 1)
			require.Less(t, time.Since(before), 5*time.Second)
			require.Equal(t, tc.status != DeliveryPending, err == nil, "%v", err)

			d, attempts := b.delivery(t, args.DeliveryID)
			require.Equal(t, tc.status, d.Status, d.LastError)
			require.Len(t, attempts, 1)
			require.Equal(t, tc.code, attempts[0].StatusCode)
			require.Equal(t, tc.code, d.LastStatusCode)
			require.Equal(t, 1, d.Attempts)
			require.Contains(t, attempts[0].Error, tc.error)
			require.Equal(t, attempts[0].Error, d.LastError)
			require.Equal(t, tc.error == "", d.LastError == "", d.LastError)
			require.NotContains(t, d.LastError, "secret-token")
			require.Equal(t, tc.status == DeliveryPending, d.NextAttemptAt != nil)
			if tc.check != nil {
				tc.check(t, d, attempts[0])
			}
		})
	}
	t.Cleanup(func() { require.Zero(t, followed.Load(), "a redirect was followed") })
}

// hang waits until the client has gone, which a server notices once it has read the body.
func hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func redirect(to string, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, status) }
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	var hits atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(server.Close)
	b.endpoint(t, server.URL)
	args := b.send(t)
	require.Error(t, b.work(t, args, 1))
	d, _ := b.delivery(t, args.DeliveryID)
	require.Contains(t, d.LastError, "TLS: ")
	require.Zero(t, hits.Load())
}

func TestGoneEndpointIsDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, func(n int) int { return []int{410, 200}[min(n, 1)] })
	e, _ := b.endpoint(t, sub.URL)
	other, _ := b.endpoint(t, sub.URL+"/other", "webhook.*")

	var jobs []Args
	for range 3 {
		jobs = append(jobs, b.send(t))
	}
	require.NoError(t, b.work(t, jobs[0], 1), "no failed job: the endpoint said so itself")
	got, err := b.Endpoint(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, EndpointDisabled, got.Status)
	require.Equal(t, ReasonGone, got.DisabledReason)
	for _, args := range jobs {
		d, _ := b.delivery(t, args.DeliveryID)
		require.Equal(t, DeliveryEndpointDisabled, d.Status)
	}
	for _, args := range jobs[1:] {
		require.NoError(t, b.work(t, args, 1))
	}
	require.Len(t, sub.requests(), 1, "nothing more is sent")

	events := b.take()
	require.Len(t, events, 1)
	require.Equal(t, EventEndpointDisabled, events[0].Type)
	require.NotContains(t, string(events[0].Payload), "http")
	require.Equal(t, other.ID, b.relay(t, events)[0].Args.(Args).EndpointID, "who wants to know is told")
	require.Empty(t, b.relay(t, b.append(t, paid())))
}

// An endpoint that got a new address while the old one answered 410 stays.
func TestLateGoneDoesNotDisableANewAddress(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	var id uuid.UUID
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := b.UpdateEndpoint(r.Context(), id, EndpointPatch{URL: new("https://example.com/new")}); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusGone)
	}))
	t.Cleanup(server.Close)
	e, _ := b.endpoint(t, server.URL)
	id = e.ID
	require.NoError(t, b.work(t, b.send(t), 1))
	got, err := b.Endpoint(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, EndpointEnabled, got.Status)
}

// After a 429 the endpoint's other deliveries stay away, without an attempt and without a query; another endpoint's do not.
func TestThrottledEndpointIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, func(n int) int { return []int{429, 200}[min(n, 1)] })
	b.endpoint(t, sub.URL, "order.paid")
	b.endpoint(t, sub.URL, "order.created")

	require.Error(t, b.work(t, b.send(t), 1))
	waiting, other := b.send(t), b.send(t, event("order.created", `{}`))
	rename := func(from, to string) {
		_, err := b.pool.Exec(t.Context(), `alter table `+from+` rename to `+to)
		require.NoError(t, err)
	}
	rename("webhook_deliveries", "hidden") // who asks for a delivery now gets an error
	err := b.work(t, waiting, 1)
	snooze, ok := errors.AsType[*river.JobSnoozeError](err)
	require.True(t, ok, "%v", err)
	require.LessOrEqual(t, snooze.Duration, maxPause+maxPause/4)
	require.ErrorContains(t, b.work(t, other, 1), "does not exist")
	rename("hidden", "webhook_deliveries")
	require.NoError(t, b.work(t, other, 1))
	d, attempts := b.delivery(t, waiting.DeliveryID)
	require.Equal(t, DeliveryPending, d.Status)
	require.Empty(t, attempts)
}
