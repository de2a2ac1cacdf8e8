package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// thing is a body with one of everything.
type thing struct {
	Name  string            `json:"name" minLength:"1" maxLength:"5" example:"a" doc:"Name."`
	Count int               `json:"count" minimum:"1" example:"1" doc:"Count."`
	Inner []thingInner      `json:"inner,omitempty" doc:"Inner."`
	Free  map[string]string `json:"free,omitempty" doc:"Free."`
}

type thingInner struct {
	Key string `json:"key" enum:"a,b" example:"a" doc:"Key."`
}

type ThingInput struct {
	Body  thing
	Limit int `query:"limit" minimum:"1" maximum:"10" default:"5" doc:"Limit."`
}

type thingOutput struct{ Body thing }

func newThingServer(t *testing.T, fn func(context.Context, *ThingInput) (*thingOutput, error), deps Deps) *testServer {
	t.Helper()
	if fn == nil {
		fn = func(_ context.Context, in *ThingInput) (*thingOutput, error) { return &thingOutput{in.Body}, nil }
	}
	s := newTestServer(t, deps)
	handle(s.Server, operation{
		Operation: huma.Operation{
			OperationID: "do-thing", Method: http.MethodPost, Path: "/v1/things/{id}", Summary: "Do", Description: "Do.",
			Tags: []string{tagOrders}, DefaultStatus: http.StatusCreated, MaxBodyBytes: 2048,
		},
		Auth: needs(access.OrdersWrite),
	}, func(ctx context.Context, in *struct {
		UUIDPath
		ThingInput
	},
	) (*thingOutput, error) {
		return fn(ctx, &in.ThingInput)
	})
	return s
}

const (
	thingPath = "/v1/things/0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2"
	goodThing = `{"name":"a","count":1}`
	writer    = "orders:write"
)

func TestAGoodRequest(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})

	got := s.as(writer, "POST", thingPath, `{"name":"a","count":2,"inner":[{"key":"b"}],"free":{"Any":"x"}}`)
	var back thing
	got.into(http.StatusCreated, &back)
	require.Equal(t, thing{"a", 2, []thingInner{{"b"}}, map[string]string{"Any": "x"}}, back)
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	require.Equal(t, "no-store", got.Header.Get("Cache-Control"))
	require.Len(t, got.Header.Get("X-Request-ID"), 16)
	require.Empty(t, s.log.String(), "a good request is not logged")
}

func TestStrictBodies(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})

	for name, tc := range map[string]struct {
		body    string
		status  int
		code    string
		pointer string
	}{
		"unknown field":          {`{"name":"a","count":1,"extra":1}`, 422, "validation_failed", "#/extra"},
		"another case":           {`{"name":"a","count":1,"Count":-5}`, 422, "validation_failed", "#/Count"},
		"only in another case":   {`{"name":"a","Count":1}`, 422, "validation_failed", "#"},
		"unknown field inside":   {`{"name":"a","count":1,"inner":[{"key":"a"},{"key":"a","x":1}]}`, 422, "validation_failed", "#/inner/1/x"},
		"duplicate":              {`{"name":"a","count":1,"count":2}`, 400, "json_duplicate_field", "#/count"},
		"duplicate inside":       {`{"name":"a","count":1,"inner":[{"key":"a","key":"b"}]}`, 400, "json_duplicate_field", "#/inner/0/key"},
		"duplicate in a map":     {`{"name":"a","count":1,"free":{"x":"1","x":"2"}}`, 400, "json_duplicate_field", "#/free/x"},
		"duplicate by escape":    {`{"name":"a","count":1,"\u0063ount":2}`, 400, "json_duplicate_field", "#/count"},
		"garbage after":          {goodThing + `x`, 400, "json_malformed", ""},
		"two values":             {goodThing + goodThing, 400, "json_malformed", ""},
		"cut off":                {`{"name":"a"`, 400, "json_malformed", ""},
		"not JSON":               {`name=a`, 400, "json_malformed", ""},
		"invalid UTF-8":          {"{\"name\":\"\xff\",\"count\":1}", 400, "json_malformed", "#/name"},
		"half a surrogate":       {`{"name":"\ud800","count":1}`, 400, "json_malformed", "#/name"},
		"a NUL":                  {`{"name":"a\u0000","count":1}`, 400, "json_nul", ""},
		"too deep":               {strings.Repeat("[", 65) + strings.Repeat("]", 65), 400, "json_too_deep", ""},
		"wrong type":             {`{"name":1,"count":1}`, 422, "validation_failed", "#/name"},
		"too small":              {`{"name":"a","count":0}`, 422, "validation_failed", "#/count"},
		"a fraction":             {`{"name":"a","count":1.5}`, 422, "validation_failed", "#/count"},
		"a float that is whole":  {`{"name":"a","count":1.0}`, 422, "validation_failed", "#/count"},
		"larger than any float":  {`{"name":"a","count":1e999}`, 400, "json_number", ""},
		"larger than any int":    {`{"name":"a","count":1e30}`, 422, "validation_failed", "#/count"},
		"not of the list":        {`{"name":"a","count":1,"inner":[{"key":"secret"}]}`, 422, "validation_failed", "#/inner/0/key"},
		"null for a string":      {`{"name":null,"count":1}`, 422, "validation_failed", "#/name"},
		"an array for an object": {`[]`, 422, "validation_failed", "#"},
		"too long":               {`{"name":"secret","count":1}`, 422, "validation_failed", "#/name"},
		"missing":                {``, 400, "body_missing", ""},
		"too large":              {`{"name":"` + strings.Repeat("a", 2048) + `","count":1}`, 413, "body_too_large", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.in(t).as(writer, "POST", thingPath, tc.body)
			members := got.problem(tc.status, tc.code)
			if tc.pointer != "" {
				first := members["errors"].([]any)[0].(map[string]any)
				require.Equal(t, tc.pointer, first["pointer"], string(got.body))
				require.NotEmpty(t, first["message"])
			}
			require.NotContains(t, string(got.body), "secret", "values are not repeated")
		})
	}
}

func TestAJSONBodyOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	body := goodThing + strings.Repeat(" ", 2048-len(goodThing))
	require.Equal(t, http.StatusCreated, s.as(writer, "POST", thingPath, body).StatusCode)
	s.as(writer, "POST", thingPath, body+" ").problem(http.StatusRequestEntityTooLarge, "body_too_large")
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	for contentType, status := range map[string]int{
		"application/json": 201, "application/json; charset=utf-8": 201, "": 201,
		"application/x-www-form-urlencoded": 415, "text/plain": 415, "application/xml": 415, "nonsense": 415,
	} {
		got := s.as(writer, "POST", thingPath, goodThing, "Content-Type", contentType)
		require.Equal(t, status, got.StatusCode, "%s: %s", contentType, got.body)
		if status == http.StatusUnsupportedMediaType {
			got.problem(status, "unsupported_media_type")
		}
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	for path, place := range map[string]string{
		thingPath + "?limit=0":   "query.limit",
		thingPath + "?limit=x":   "query.limit",
		thingPath + "?unknown=1": "query.unknown",
		thingPath + "?Limit=1":   "query.Limit",
		"/v1/things/not-a-uuid":  "path.id",
	} {
		members := s.as(writer, "POST", path, goodThing).problem(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, place, members["errors"].([]any)[0].(map[string]any)["location"], path)
	}
}

func TestMalformedURLs(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	for _, path := range []string{
		"/v1/things/%00", "/v1/things/%ff", thingPath + "?limit=%00", thingPath + "?%ff=1", thingPath + "?limit=5&a=%zz", thingPath + "?a;b",
	} {
		s.as(writer, "POST", path, goodThing).problem(http.StatusBadRequest, "url_malformed")
	}
}

func TestWhoMay(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})

	missing := s.do("POST", thingPath, goodThing)
	missing.problem(http.StatusUnauthorized, "api_key_missing")
	require.Equal(t, `Bearer realm="vendbox"`, missing.Header.Get("WWW-Authenticate"))
	s.do("POST", thingPath, goodThing, "Authorization", "Basic abc").problem(http.StatusUnauthorized, "api_key_missing")
	s.do("POST", thingPath, goodThing, "Authorization", "Bearer nonsense").problem(http.StatusUnauthorized, "api_key_invalid")
	refused := s.as("orders:read", "POST", thingPath, goodThing).problem(http.StatusForbidden, "scope_missing")
	require.Equal(t, writer, refused["scope"])
	require.Equal(t, http.StatusCreated, s.as("admin", "POST", thingPath, goodThing).StatusCode)
	require.Equal(t, http.StatusCreated, s.do("POST", thingPath, goodThing, "Authorization", "bearer "+writer).StatusCode)
	s.do("POST", thingPath, "{").problem(http.StatusUnauthorized, "api_key_missing") // before the body is looked at
}

func TestRoutesThatAreNot(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	s.do("GET", "/v1/nothing", "").problem(http.StatusNotFound, "route_not_found")
	got := s.do("DELETE", thingPath, "")
	got.problem(http.StatusMethodNotAllowed, "method_not_allowed")
	require.Equal(t, "POST", got.Header.Get("Allow"))
	require.Contains(t, s.log.String(), `"route":"unmatched"`)
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"a fault":              {fault.New(fault.NotFound, "failed_job_not_found"), 404, "failed_job_not_found"},
		"a wrapped fault":      {fmt.Errorf("x: %w", fault.New(fault.Conflict, "failed_job_closed")), 409, "failed_job_closed"},
		"anything else":        {errors.New("password=hunter2"), 500, "internal"},
		"a deadline":           {fmt.Errorf("x: %w", context.DeadlineExceeded), 503, "outcome_unknown"},
		"an unknown commit":    {fmt.Errorf("x: %w", pgdb.ErrCommitUnknown), 503, "outcome_unknown"},
		"a lock":               {&pgconn.PgError{Code: "55P03"}, 503, "busy"},
		"a deadlock":           {fmt.Errorf("x: %w", &pgconn.PgError{Code: "40P01"}), 503, "busy"},
		"a closed group":       {groupcommit.ErrClosed, 503, "shutting_down"},
		"a fault without kind": {&fault.Error{Code: "internal"}, 500, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newThingServer(t, func(context.Context, *ThingInput) (*thingOutput, error) { return nil, tc.err }, Deps{})
			got := s.as(writer, "POST", thingPath, goodThing)
			got.problem(tc.status, tc.code)
			require.NotContains(t, string(got.body), "hunter2")
			if tc.status == http.StatusServiceUnavailable {
				require.Equal(t, "1", got.Header.Get("Retry-After"))
			}
			require.Contains(t, s.log.String(), got.Header.Get("X-Request-ID"))
			if tc.code == "internal" && name == "anything else" {
				require.Contains(t, s.log.String(), "hunter2", "the log has the whole error")
			}
		})
	}
}

func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for kind := fault.Invalid; kind <= fault.Unavailable; kind++ {
		require.NotZero(t, kinds[kind], "kind %d", kind)
	}
}

func TestFactsOfAFaultAreMembers(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, func(context.Context, *ThingInput) (*thingOutput, error) {
		return nil, fault.New(fault.TooMany, "body_too_large", "limit", 7, "status", "spoof", "retry_after", 9,
			"more", map[string]int{"b": 1, "a": 2})
	}, Deps{})
	got := s.as(writer, "POST", thingPath, goodThing)
	members := got.problem(http.StatusTooManyRequests, "body_too_large")
	require.InDelta(t, 7, members["limit"], 0)
	require.Contains(t, members["detail"], "7 bytes")
	require.Equal(t, "9", got.Header.Get("Retry-After"))
	require.Contains(t, string(got.body), `"more":{"a":2,"b":1}`)
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	for header, chinese := range map[string]bool{
		"zh": true, "zh-CN": true, "zh-Hans-CN,zh;q=0.9,en;q=0.8": true, "zh-TW": true, "fr, zh;q=0.5": true,
		"": false, "en": false, "en-GB,zh;q=0.5": false, "fr": false, "*": false, "nonsense!": false,
	} {
		members := s.as(writer, "POST", thingPath, `{"name":"a","count":0}`, "Accept-Language", header).problem(422, "validation_failed")
		message := members["errors"].([]any)[0].(map[string]any)["message"]
		if chinese {
			require.Equal(t, "校验失败", members["title"], header)
			require.Equal(t, "应不小于 1", message, header)
		} else {
			require.Equal(t, "Validation failed", members["title"], header)
			require.Equal(t, "expected number >= 1", message, header)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	for given, kept := range map[string]bool{
		"abc-123": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "ä": false, "": false,
	} {
		got := s.do("GET", "/livez", "", "X-Request-ID", given).Header.Get("X-Request-ID")
		if kept {
			require.Equal(t, given, got)
		} else {
			require.Len(t, got, 16)
			require.NotEqual(t, given, got)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, func(context.Context, *ThingInput) (*thingOutput, error) { panic("secret") }, Deps{})
	got := s.as(writer, "POST", thingPath, goodThing)
	got.problem(http.StatusInternalServerError, "internal")
	require.NotContains(t, string(got.body), "secret")
	require.Contains(t, s.log.String(), "panic in a handler")
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	all := newThingServer(t, nil, Deps{AccessLog: AccessLogAll})
	all.as(writer, "POST", thingPath+"?limit=3", goodThing)
	line := all.log.String()
	for _, want := range []string{
		`"method":"POST"`, `"route":"/v1/things/{id}"`, `"status":201`, `"bytes":`, `"duration":`, `"key":"testtest"`, `"request_id":"`,
	} {
		require.Contains(t, line, want)
	}
	require.NotContains(t, line, "limit=3")

	breaks := func(context.Context, *ThingInput) (*thingOutput, error) { return nil, errors.New("x") }
	off := newThingServer(t, breaks, Deps{AccessLog: AccessLogOff})
	off.do("GET", "/v1/nothing", "")
	require.Empty(t, off.log.String())
	off.as(writer, "POST", thingPath, goodThing)
	require.Contains(t, off.log.String(), `"status":500`, "our own errors are logged in any case")
}

func TestHandlersSeeTheTraceAndADeadline(t *testing.T) {
	t.Parallel()
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var got string
	var deadline bool
	s := newThingServer(t, func(ctx context.Context, in *ThingInput) (*thingOutput, error) {
		got = telemetry.Traceparent(ctx)
		_, deadline = ctx.Deadline()
		return &thingOutput{in.Body}, nil
	}, Deps{})
	s.as(writer, "POST", thingPath, goodThing, "Traceparent", traceparent)
	require.Equal(t, traceparent, got)
	require.True(t, deadline)
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	s := newThingServer(t, nil, Deps{})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("a", 17<<10)+"\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "431")
}

func TestServeLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	ts := newThingServer(t, func(_ context.Context, in *ThingInput) (*thingOutput, error) {
		close(entered)
		<-leave
		return &thingOutput{in.Body}, nil
	}, Deps{})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ts.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- ts.Serve(ctx, listener, time.Minute) }()

	answered := make(chan int, 1)
	go func() { answered <- ts.as(writer, "POST", thingPath, goodThing).StatusCode }()
	<-entered
	stop()
	require.Eventually(t, ts.Draining, 10*time.Second, time.Millisecond)
	close(leave)
	require.Equal(t, http.StatusCreated, <-answered)
	require.NoError(t, <-served)
}
