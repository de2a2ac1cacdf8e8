package httpapi

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestFailedJobs(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts)
		select 'webhook_delivery', 'webhooks', '{"id":"x"}', 'running', 3, 3 from generate_series(1, 3);
		update river_job set state = 'discarded', finalized_at = now()`)
	require.NoError(t, err)
	const reader, operator = "failed_jobs:read", "failed_jobs:write"

	var page struct {
		Data       []FailedJob `json:"data"`
		NextCursor *string     `json:"next_cursor"`
	}
	s.as(reader, "GET", "/v1/failed-jobs?status=open&kind=webhook_delivery&limit=2", "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 2)
	s.as(reader, "GET", "/v1/failed-jobs?limit=2&cursor="+*page.NextCursor, "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 1)
	require.Nil(t, page.NextCursor)
	s.as(reader, "GET", "/v1/failed-jobs?cursor=x", "").problem(http.StatusUnprocessableEntity, "cursor_invalid")
	s.as(reader, "GET", "/v1/failed-jobs?status=lost", "").problem(http.StatusUnprocessableEntity, "validation_failed")

	path := "/v1/failed-jobs/" + page.Data[0].ID.String()
	var one failedJobDetail
	s.as(reader, "GET", path, "").into(http.StatusOK, &one)
	require.Equal(t, "open", one.Status)
	require.JSONEq(t, `{"id":"x"}`, string(one.Args.RawMessage))
	require.Empty(t, one.Interventions)
	require.Nil(t, one.ClosedAt)

	s.as(reader, "POST", path+"/retry", "").problem(http.StatusForbidden, "scope_missing")
	s.as(operator, "POST", path+"/resolve", "").problem(http.StatusUnprocessableEntity, "failed_job_note_missing")
	s.as(operator, "POST", path+"/resolve", `{"note":" "}`).problem(http.StatusUnprocessableEntity, "failed_job_note_missing")
	s.as(operator, "POST", path+"/retry", "").into(http.StatusOK, &one)
	require.Equal(t, "retried", one.Status)
	require.NotNil(t, one.ClosedAt)
	require.Equal(t, "key:testtest", one.Interventions[0].Actor)
	require.Equal(t, one.JobID, *one.Interventions[0].JobID)
	closed := s.as(operator, "POST", path+"/discard", `{"note":"no"}`).problem(http.StatusConflict, "failed_job_closed")
	require.Equal(t, "retried", closed["closed_as"])

	s.as(reader, "GET", "/v1/failed-jobs?status=open", "").into(http.StatusOK, &page)
	for i, action := range []string{"resolve", "discard"} {
		s.as(operator, "POST", "/v1/failed-jobs/"+page.Data[i].ID.String()+"/"+action, `{"note":"by hand"}`).into(http.StatusOK, &one)
		require.Equal(t, map[string]string{"resolve": "resolved", "discard": "discarded"}[action], one.Status)
		require.Equal(t, "by hand", one.Interventions[0].Note)
	}
	s.as(reader, "GET", "/v1/failed-jobs/"+uuid.NewString(), "").problem(http.StatusNotFound, "failed_job_not_found")
}

func TestFailedJobsInBulk(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, queue, args, state, attempt, max_attempts)
		select 'sms_message', 'sms', '{}', 'running', 3, 3 from generate_series(1, 3);
		update river_job set state = 'discarded', finalized_at = now()`)
	require.NoError(t, err)
	const operator, path = "failed_jobs:write", "/v1/failed-jobs/bulk"
	s.as(operator, "POST", path, `{"action":"discard"}`).problem(http.StatusUnprocessableEntity, "failed_job_note_missing")
	s.as(operator, "POST", path, `{"action":"explode"}`).problem(http.StatusUnprocessableEntity, "validation_failed")
	var got failedJobsBulkResult
	s.as(operator, "POST", path, `{"action":"retry","kind":"sms_message","limit":2}`).into(http.StatusOK, &got)
	require.Equal(t, failedJobsBulkResult{Done: 2, Refused: []failedJobsBulkError{}, More: true}, got)
	s.as(operator, "POST", path, `{"action":"resolve","queue":"sms","note":"by hand"}`).into(http.StatusOK, &got)
	require.Equal(t, failedJobsBulkResult{Done: 1, Refused: []failedJobsBulkError{}}, got)
}

func TestReadyOnARealDatabase(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	var got readiness
	s.do("GET", "/readyz", "").into(http.StatusOK, &got)
	require.Equal(t, "ready", got.Status)

	_, err := pool.Exec(t.Context(), `update schema_migrations set version = 10`)
	require.NoError(t, err)
	behind := newTestServer(t, Deps{Checks: []Check{MigrationsCheck(pool), RiverCheck(pool, nil)}})
	behind.do("GET", "/readyz", "").into(http.StatusServiceUnavailable, &got)
	require.Contains(t, got.Checks[0].Error, "pending")
	require.Contains(t, got.Checks[1].Error, "no process leads")
}
