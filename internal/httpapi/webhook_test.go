package httpapi

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/webhooks"
)

const (
	webhookReader = "webhooks:read"
	webhookWriter = "webhooks:write"
)

// webhookServer is the door on the room of webhooks, whose jobs a test runs by hand.
type webhookServer struct {
	*testServer

	room *webhooks.Service
	jobs func(t *testing.T) []webhooks.Args // those of the events since the last time
}

func newWebhookServer(t *testing.T, cfg webhooks.Config) webhookServer {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	events := make(chan []outbox.Event, 10)
	box := outbox.NewBox(pool, time.Now, func(batch outbox.Batch) { events <- batch.Events })
	room, err := webhooks.NewService(cfg, webhooks.Deps{Pool: pool, Box: box, Vault: vault, Jobs: client})
	require.NoError(t, err)
	t.Cleanup(room.Close)
	return webhookServer{newTestServer(t, Deps{Webhooks: room, Box: box}), room, func(t *testing.T) []webhooks.Args {
		t.Helper()
		var args []webhooks.Args
		require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			jobs, err := room.Enlist(t.Context(), tx, <-events)
			for _, job := range jobs {
				args = append(args, job.Args.(webhooks.Args))
			}
			return err
		}))
		return args
	}}
}

func (s webhookServer) work(t *testing.T, args webhooks.Args, attempt int) error {
	t.Helper()
	row := &rivertype.JobRow{Attempt: attempt, MaxAttempts: 8}
	return s.room.Worker().Work(t.Context(), &river.Job[webhooks.Args]{JobRow: row, Args: args})
}

func TestWebhookEndpoints(t *testing.T) {
	t.Parallel()
	s := newWebhookServer(t, webhooks.Config{})
	var made WebhookEndpointWithSecret
	created := s.as(webhookWriter, "POST", "/v1/webhook-endpoints",
		`{"url":"https://example.com/h","event_types":["order.*"],"description":"ERP"}`)
	created.into(http.StatusCreated, &made)
	require.True(t, strings.HasPrefix(made.Secret, "whsec_"))
	require.Equal(t, "enabled", made.Status)
	require.Contains(t, string(created.body), `"disabled_reason":null`)
	path := "/v1/webhook-endpoints/" + made.ID.String()

	got := s.as(webhookReader, "GET", path, "")
	require.NotContains(t, string(got.body), "secret")
	var endpoint WebhookEndpoint
	got.into(http.StatusOK, &endpoint)
	require.Equal(t, made.WebhookEndpoint, endpoint)
	var listed listBody[WebhookEndpoint]
	s.as(webhookReader, "GET", "/v1/webhook-endpoints?limit=1", "").into(http.StatusOK, &listed)
	require.Equal(t, []WebhookEndpoint{endpoint}, listed.Data)
	require.Nil(t, listed.NextCursor)

	s.as(webhookWriter, "PATCH", path, `{"enabled":false,"event_types":["*"]}`).into(http.StatusOK, &endpoint)
	require.Equal(t, "operator", *endpoint.DisabledReason)
	require.Equal(t, []string{"*"}, endpoint.EventTypes)
	require.Equal(t, "ERP", endpoint.Description)
	s.as(webhookWriter, "POST", path+"/test", "").problem(http.StatusConflict, "webhook_endpoint_disabled")
	endpoint = WebhookEndpoint{}
	s.as(webhookWriter, "POST", path+"/enable", "").into(http.StatusOK, &endpoint)
	require.Nil(t, endpoint.DisabledReason)

	var rotated WebhookSecret
	s.as(webhookWriter, "POST", path+"/rotate-secret", "").into(http.StatusOK, &rotated)
	require.NotEqual(t, made.Secret, rotated.Secret)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), rotated.PreviousExpiresAt, time.Minute)
	s.as(webhookWriter, "POST", path+"/rotate-secret", `{"overlap_seconds":0}`).into(http.StatusOK, &rotated)
	require.WithinDuration(t, time.Now(), rotated.PreviousExpiresAt, time.Minute)
	s.as(webhookWriter, "POST", path+"/rotate-secret", `{"overlap_seconds":604801}`).
		problem(http.StatusUnprocessableEntity, "validation_failed")

	refused := s.as(webhookWriter, "POST", "/v1/webhook-endpoints", `{"url":"https://169.254.169.254/","event_types":["*"]}`).
		problem(http.StatusUnprocessableEntity, "webhook_url_refused")
	require.Equal(t, "address_not_public", refused["reason"])
	s.as(webhookWriter, "PATCH", path, `{"url":"http://example.com/"}`).problem(http.StatusUnprocessableEntity, "webhook_url_refused")
	s.as(webhookWriter, "POST", "/v1/webhook-endpoints", `{"url":"https://example.com/","event_types":["Order"]}`).
		problem(http.StatusUnprocessableEntity, "webhook_event_types_invalid")
	s.as(webhookWriter, "POST", "/v1/webhook-endpoints", `{"url":"https://example.com/","event_types":[]}`).
		problem(http.StatusUnprocessableEntity, "validation_failed")
	for _, route := range [][2]string{{"PATCH", path}, {"DELETE", path}, {"POST", path + "/test"}, {"POST", path + "/enable"}} {
		s.as(webhookReader, route[0], route[1], `{}`).problem(http.StatusForbidden, "scope_missing")
	}

	require.Equal(t, http.StatusNoContent, s.as(webhookWriter, "DELETE", path, "").StatusCode)
	s.as(webhookReader, "GET", path, "").problem(http.StatusNotFound, "webhook_endpoint_not_found")
	require.NotContains(t, s.log.String(), "whsec_")
}

func TestWebhookDeliveries(t *testing.T) {
	t.Parallel()
	s := newWebhookServer(t, webhooks.Config{AllowHTTP: true, AllowPrivate: true})
	subscriber := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte("try later"))
	}))
	t.Cleanup(subscriber.Close)
	var made WebhookEndpointWithSecret
	s.as(webhookWriter, "POST", "/v1/webhook-endpoints", `{"url":"`+subscriber.URL+`","event_types":["order.paid"]}`).
		into(http.StatusCreated, &made)
	var test WebhookTest
	s.as(webhookWriter, "POST", "/v1/webhook-endpoints/"+made.ID.String()+"/test", "").into(http.StatusAccepted, &test)
	jobs := s.jobs(t)
	require.Len(t, jobs, 1)
	path := "/v1/webhook-deliveries/" + jobs[0].DeliveryID.String()
	s.as(webhookWriter, "POST", path+"/resend", "").problem(http.StatusConflict, "webhook_delivery_in_flight")
	require.Error(t, s.work(t, jobs[0], 8))

	var got WebhookDeliveryWithAttempts
	s.as(webhookReader, "GET", path, "").into(http.StatusOK, &got)
	require.Equal(t, test.WebhookID, got.WebhookID)
	require.Equal(t, test.EventID, got.EventID)
	require.Equal(t, "webhook.test", got.EventType)
	require.Equal(t, "exhausted", got.Status)
	require.Len(t, got.AttemptLog, 1)
	require.Equal(t, "try later", got.AttemptLog[0].ResponseBody)
	require.Equal(t, 500, *got.AttemptLog[0].StatusCode)
	require.Nil(t, got.NextAttemptAt)

	for query, want := range map[string]int{
		"": 1, "?status=exhausted": 1, "?status=pending": 0, "?event_type=webhook.test": 1, "?endpoint_id=" + made.ID.String(): 1,
		"?endpoint_id=" + uuid.NewString(): 0, "?endpoint_id=" + made.ID.String() + "&status=succeeded": 0,
	} {
		var listed listBody[WebhookDelivery]
		s.as(webhookReader, "GET", "/v1/webhook-deliveries"+query, "").into(http.StatusOK, &listed)
		require.Len(t, listed.Data, want, query)
	}
	s.as(webhookReader, "GET", "/v1/webhook-deliveries?endpoint_id=x", "").problem(http.StatusUnprocessableEntity, "validation_failed")
	s.as(webhookReader, "GET", "/v1/webhook-deliveries?status=lost", "").problem(http.StatusUnprocessableEntity, "validation_failed")
	s.as(webhookReader, "GET", "/v1/webhook-deliveries/"+uuid.NewString(), "").problem(http.StatusNotFound, "webhook_delivery_not_found")
	s.as(webhookReader, "POST", path+"/resend", "").problem(http.StatusForbidden, "scope_missing")

	var resent WebhookDelivery
	s.as(webhookWriter, "POST", path+"/resend", "").into(http.StatusAccepted, &resent)
	require.Equal(t, "pending", resent.Status)
	require.NotNil(t, resent.NextAttemptAt)
	jobs[0].Round++
	require.Error(t, s.work(t, jobs[0], 8))
	var recovered WebhookRecovery
	body := `{"endpoint_id":"` + made.ID.String() + `","since":"` + time.Now().Add(-time.Hour).Format(time.RFC3339) + `"}`
	s.as(webhookWriter, "POST", "/v1/webhook-deliveries/recover", body).into(http.StatusAccepted, &recovered)
	require.Equal(t, WebhookRecovery{Resent: 1}, recovered)
	s.as(webhookWriter, "POST", "/v1/webhook-deliveries/recover", strings.Replace(body, made.ID.String(), uuid.NewString(), 1)).
		problem(http.StatusNotFound, "webhook_endpoint_not_found")
	s.as(webhookWriter, "POST", "/v1/webhook-deliveries/recover", `{"endpoint_id":"`+made.ID.String()+`","since":"yesterday"}`).
		problem(http.StatusUnprocessableEntity, "validation_failed")
}
