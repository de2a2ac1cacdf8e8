package failedjobs_test

import (
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/telemetry"
)

func TestOpenEntriesAreMeasuredByQueueAndKind(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	room := failedjobs.New(pool, time.Now)
	scrape := func() string { // anew: an answer is good for a while
		metrics, err := telemetry.NewMetrics()
		require.NoError(t, err)
		require.NoError(t, room.Measure(metrics.Provider(), slog.New(slog.DiscardHandler)))
		w := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		return w.Body.String()
	}
	require.NotContains(t, scrape(), "vendbox_failed_jobs_open{")

	_, err := pool.Exec(t.Context(), `insert into failed_jobs
			(job_id, kind, queue, args, metadata, state, attempt, max_attempts, failed_at, status, closed_at)
		values (1, 'deliver_webhook', 'webhooks', '{}', '{}', 'discarded', 8, 8, now() - interval '1 hour', 'open', null),
		       (2, 'deliver_webhook', 'webhooks', '{}', '{}', 'discarded', 8, 8, now() - interval '2 hours', 'open', null),
		       (3, 'deliver_webhook', 'webhooks', '{}', '{}', 'discarded', 8, 8, now() - interval '3 hours', 'resolved', now()),
		       (4, 'send_sms', 'sms', '{}', '{}', 'discarded', 8, 8, now(), 'open', null)`)
	require.NoError(t, err)
	text := scrape()
	require.Regexp(t, `(?m)^vendbox_failed_jobs_open\{kind="deliver_webhook",.*queue="webhooks"\} 2$`, text)
	require.Regexp(t, `(?m)^vendbox_failed_jobs_open\{kind="send_sms",.*queue="sms"\} 1$`, text)
	require.Regexp(t, `(?m)^vendbox_failed_jobs_oldest_age_seconds\{kind="deliver_webhook",.*queue="webhooks"\} 72\d\d(\.\d+)?$`, text)
}
