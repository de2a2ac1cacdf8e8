package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/failedjobs"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// newRoomServer has the rooms of this file's resources on a database of the test's own.
func newRoomServer(t *testing.T) (*testServer, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t)
	return newTestServer(t, Deps{
		Box: outbox.NewBox(pool, time.Now, nil), FailedJobs: failedjobs.New(pool, time.Now),
		Checks: []Check{PostgresCheck(pool), MigrationsCheck(pool)},
	}), pool
}

type eventList struct {
	Data []struct {
		ID            uuid.UUID       `json:"id"`
		Type          string          `json:"type"`
		AggregateType string          `json:"aggregate_type"`
		AggregateID   string          `json:"aggregate_id"`
		Data          json.RawMessage `json:"data"`
		OccurredAt    time.Time       `json:"occurred_at"`
	} `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

func TestEventsOfOnesOwn(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	var page eventList
	s.as("events:read", "GET", "/v1/events", "").into(http.StatusOK, &page)
	require.Empty(t, page.Data)
	require.NotNil(t, page.Data, "an empty list is a list")
	require.Nil(t, page.NextCursor)

	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var made appended
	s.as("events:write", "POST", "/v1/events",
		`{"type":"invoice.sent","aggregate_type":"invoice","aggregate_id":"INV-1","data":{"total":9007199254740993,"deep":{"x":[1,2]}}}`,
		"Traceparent", traceparent).into(http.StatusCreated, &made)

	s.feed("/v1/events", 1, &page)
	got := page.Data[0]
	require.Equal(t, made.ID, got.ID)
	require.Equal(t, []string{"invoice.sent", "invoice", "INV-1"}, []string{got.Type, got.AggregateType, got.AggregateID})
	require.JSONEq(t, `{"total":9007199254740993,"deep":{"x":[1,2]}}`, string(got.Data))
	require.Contains(t, string(got.Data), "9007199254740993", "numbers are not rounded")

	var headers string
	require.NoError(t, pool.QueryRow(t.Context(), `select headers ->> 'traceparent' from outbox`).Scan(&headers))
	require.Equal(t, traceparent, headers)

	cursor := *page.NextCursor
	s.as("events:read", "GET", "/v1/events?after="+cursor, "").into(http.StatusOK, &page)
	require.Empty(t, page.Data)
	require.Equal(t, cursor, *page.NextCursor, "the feed has no end")
}

func TestEventsAtOnceShareATransaction(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			poison := ""
			if i == 20 {
				poison = "e-20000" // no numeric of Postgres'; the door refuses it
			}
			body := fmt.Sprintf(`{"type":"a.b","aggregate_type":"a","aggregate_id":"%d","data":{"n":1%s}}`, i, poison)
			got := s.as("events:write", "POST", "/v1/events", body)
			if poison == "" && got.StatusCode != http.StatusCreated || poison != "" && got.StatusCode != http.StatusBadRequest {
				t.Errorf("%d: %d %.200s", i, got.StatusCode, got.body)
			}
		})
	}
	all.Wait()
	var events, transactions int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*), count(distinct txid) from outbox`).Scan(&events, &transactions))
	require.Equal(t, 39, events)
	require.LessOrEqual(t, transactions, 39)
}

func TestEventsThatAreRefused(t *testing.T) {
	t.Parallel()
	s, _ := newRoomServer(t)
	body := func(eventType, data string) string {
		return fmt.Sprintf(`{"type":%q,"aggregate_type":"a","aggregate_id":"1","data":%s}`, eventType, data)
	}
	post := func(body string) *answer { return s.as("events:write", "POST", "/v1/events", body) }
	post(body("order.made", "{}")).problem(http.StatusUnprocessableEntity, "event_type_reserved")
	post(body("orders.made", "{}")).into(http.StatusCreated, &appended{})
	post(body("NoDots", "{}")).problem(http.StatusUnprocessableEntity, "validation_failed")
	for _, data := range []string{"[]", "1", `"x"`, "null"} {
		post(body("a.b", data)).problem(http.StatusUnprocessableEntity, "validation_failed")
	}
	post(body("a.b", `{"x":"`+strings.Repeat("x", 256<<10)+`"}`)).problem(http.StatusRequestEntityTooLarge, "event_data_too_large")
	s.as("events:read", "GET", "/v1/events?after=nonsense", "").problem(http.StatusUnprocessableEntity, "cursor_invalid")
	s.as("events:read", "POST", "/v1/events", body("a.b", "{}")).problem(http.StatusForbidden, "scope_missing")
}

func TestEventTypesFilter(t *testing.T) {
	t.Parallel()
	s, pool := newRoomServer(t)
	for _, eventType := range []string{"a.a", "b.b", "c.c", "a.a"} {
		_, err := pool.Exec(t.Context(), `select emit($1, 'a', '1', '{}')`, eventType)
		require.NoError(t, err)
	}
	var page eventList
	s.feed("/v1/events?type=a.a,c.c&limit=2", 2, &page)
	require.Equal(t, []string{"a.a", "c.c"}, []string{page.Data[0].Type, page.Data[1].Type})
	s.feed("/v1/events?type=a.a,c.c&limit=2&after="+*page.NextCursor, 1, &page)
}

// feed reads until there are n events: transactions that other tests have open on the server hold the feed back.
func (s *testServer) feed(path string, n int, page *eventList) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.as("events:read", "GET", path, "").into(http.StatusOK, page)
		return len(page.Data) >= n
	}, time.Minute, 10*time.Millisecond)
	require.Len(s.t, page.Data, n)
}
