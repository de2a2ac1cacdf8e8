package sms_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/sms/providertest"
)

func TestGatewayConforms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, description string }{
		{"form", `{"url":"%s/send","body_format":"form",
			"body":{"key":"${SMS_KEY}","mobile":"{to}","content":"{text}","ref":"{ref}"}`},
		{"json", `{"url":"%s/send?v=1","body_format":"json","headers":{"Idempotency-Key":"{ref}"},
			"body":{"key":"${SMS_KEY}","messages":[{"to":["{to}"],"body":{"text":"{text}"},"ref":"{ref}","priority":1234567890123456789}]}`},
		{"query", `{"url":"%s/send?key=${SMS_KEY}&mobile={to}&content={text}&ref={ref}","method":"GET"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, func(t *testing.T) providertest.Subject {
				t.Helper()
				far := newFarSide(t)
				return far.subject(t, c.description)
			}, providertest.Modes())
		})
	}
}

const rest = `,"headers":{"Authorization":"Bearer ${SMS_KEY}"},"success":{"path":"code","equals":"0"},
	"message_id_path":"data.id","error_code_path":"code","timeout":"1s"}`

func env(name string) (string, bool) {
	if name == "SMS_KEY" {
		return "s3cret{text}&", true // what it holds is not read again
	}
	return "", false
}

// farSide is a gateway that can misbehave.
type farSide struct {
	*httptest.Server

	mu       sync.Mutex
	mode     providertest.Mode
	received map[uuid.UUID][]providertest.Message
	requests atomic.Int64
	release  chan struct{} // ends what hangs
}

func newFarSide(t *testing.T) *farSide {
	t.Helper()
	far := &farSide{received: map[uuid.UUID][]providertest.Message{}, release: make(chan struct{})}
	far.Server = httptest.NewServer(http.HandlerFunc(far.serve))
	t.Cleanup(far.Close)
	t.Cleanup(func() { close(far.release) })
	return far
}

func (far *farSide) subject(t *testing.T, description string) providertest.Subject {
	t.Helper()
	tail := rest
	if strings.Contains(description, `"headers"`) {
		tail = strings.Replace(rest, `"headers":{"Authorization":"Bearer ${SMS_KEY}"},`, "", 1)
	}
	gateway, err := sms.ParseGateway(fmt.Appendf(nil, description+tail, far.URL), env)
	require.NoError(t, err)
	return providertest.Subject{
		Provider: gateway,
		Received: func(ref uuid.UUID) []providertest.Message {
			far.mu.Lock()
			defer far.mu.Unlock()
			return far.received[ref]
		},
		Misbehave: func(mode providertest.Mode) {
			far.mu.Lock()
			defer far.mu.Unlock()
			far.mode = mode
			if mode == providertest.Refusing {
				far.Listener.Close()
				far.CloseClientConnections()
			}
		},
		Requests: func() int { return int(far.requests.Load()) },
	}
}

func (far *farSide) serve(w http.ResponseWriter, r *http.Request) {
	far.requests.Add(1)
	key, ref, message := readMessage(r)
	if key != "s3cret{text}&" {
		http.Error(w, "wrong key", http.StatusTeapot)
		return
	}
	far.mu.Lock()
	mode := far.mode
	if mode == "" {
		far.received[ref] = append(far.received[ref], message)
	}
	far.mu.Unlock()
	if mode != "" {
		far.misbehave(mode, w, r, message)
		return
	}
	fmt.Fprintf(w, `{"code":0,"data":{"id":"gw-%s"}}`, ref)
}

// readMessage reads all three forms of a request.
func readMessage(r *http.Request) (key string, ref uuid.UUID, m providertest.Message) {
	var refText string
	if r.Header.Get("Content-Type") == "application/json" {
		var in struct {
			Key      string `json:"key"`
			Messages []struct {
				To   []string `json:"to"`
				Body struct {
					Text string `json:"text"`
				} `json:"body"`
				Ref      string      `json:"ref"`
				Priority json.Number `json:"priority"`
			} `json:"messages"`
		}
		if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Messages) != 1 || len(in.Messages[0].To) != 1 ||
			in.Messages[0].Priority != "1234567890123456789" || r.Header.Get("Idempotency-Key") != in.Messages[0].Ref {
			return "", uuid.Nil, m
		}
		key, refText = in.Key, in.Messages[0].Ref
		m = providertest.Message{To: in.Messages[0].To[0], Text: in.Messages[0].Body.Text}
	} else {
		if r.ParseForm() != nil || len(r.Form) != 4 || r.Header.Get("Authorization") != "Bearer s3cret{text}&" {
			return "", uuid.Nil, m
		}
		for _, values := range r.Form {
			if len(values) != 1 {
				return "", uuid.Nil, m // a message has added a parameter
			}
		}
		key, refText = r.Form.Get("key"), r.Form.Get("ref")
		m = providertest.Message{To: r.Form.Get("mobile"), Text: r.Form.Get("content")}
	}
	ref, _ = uuid.Parse(refText)
	return key, ref, m
}

func (far *farSide) misbehave(mode providertest.Mode, w http.ResponseWriter, r *http.Request, m providertest.Message) {
	// Everything that can quote the message does.
	quote := fmt.Sprintf(`"to":%q,"text":%q`, m.To, m.Text)
	switch mode {
	case providertest.ErrorCode:
		fmt.Fprintf(w, `{"code":"1001",%s}`, quote)
	case providertest.Failing:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"code":"%s",%s}`, m.To, quote)
	case providertest.Throttling:
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	case providertest.BadRequest:
		http.Error(w, quote, http.StatusBadRequest)
	case providertest.BadProxy:
		http.Error(w, quote, http.StatusBadGateway)
	case providertest.Redirect:
		w.Header().Set("Location", r.URL.String())
		w.WriteHeader(http.StatusTemporaryRedirect)
	case providertest.Hanging:
		<-far.release
	case providertest.Trickling:
		far.trickle(w, r)
	case providertest.Dropping:
		panic(http.ErrAbortHandler)
	case providertest.Truncating:
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"code":0,`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case providertest.Garbage:
		fmt.Fprintf(w, "<html>%s", quote)
	case providertest.NotHTTP:
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprintf(conn, "SSH-2.0 %s\r\n", quote)
			conn.Close()
		}
	case providertest.Refusing: // nothing comes this far
	case providertest.Huge:
		fmt.Fprint(w, `{"code":0,"filler":"`)
		for range 10 {
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
		}
		fmt.Fprint(w, `"}`)
	}
}

func (far *farSide) trickle(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		fmt.Fprint(w, " ")
		w.(http.Flusher).Flush()
		select {
		case <-ticker.C:
		case <-far.release:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func TestGatewayDescriptionProblems(t *testing.T) {
	t.Parallel()
	_, err := sms.ParseGateway([]byte(`{"name":"No Good","method":"PUT","url":"ftp://{to}/x?{text}=1","headers":{"A B":"${SMS_KEY}",
		"X":"{text} ${NOT_SET} ${1}","Host":"h"},"signature":"","success":{"status":[300,200],"equals":"x","matches":"("},
		"codes":{"final":["1"],"temporary":["1"]},"timeout":"90s"}`), env)
	require.Error(t, err)
	for _, problem := range []string{
		"name: ", "method: POST or GET", "url: an absolute", `headers.A B: no name`, "headers.X: unknown placeholder {text}",
		"NOT_SET is not set", "${1} is no name", "headers.Host: is not yours", "success.status", "success.equals: needs",
		"success.matches: no regular", `codes: "1" stands`, "timeout: ", "{to} or {to_digits} stands nowhere", "{text} stands nowhere",
	} {
		require.ErrorContains(t, err, problem)
	}
	for _, c := range []struct{ description, problem string }{
		{`{"url":"http://x/","method":"GET","body":{}}`, "GET has none"},
		{`{"url":"http://x/"}`, "body_format: form or json"},
		{`{"url":"http://x/","body_format":"form","body":{"a":1}}`, "an object of strings"},
		{`{"url":"http://x/","body_format":"json"}`, "body: a JSON value"},
		{`{"url":"http://x/{to}","body_format":"json","body":"{text}"}`, "in the query only"},
		{`{"url":"http://u:p@x/","body_format":"json","body":"{text}{to}"}`, "credentials"},
		{`{"url":"http://x/?{to}=1","body_format":"json","body":"{text}{to}"}`, "a parameter's name"},
		{`{"url":"http://x/","body_format":"json","body":["{signature}{text}{to}"]}`, "signature: {signature} is used"},
		{`{"url":"http://x/","body_format":"json","body":{"a":["{nope}"]}}`, "body.a[0]: unknown placeholder {nope}"},
		{`{"url":"http://x/","success":{"path":"a"}}`, "success.path: needs one of"},
		{`{"url":"http://x/","timeout":5}`, "a duration is a string"},
		{`{"uri":"http://x/"}`, "unknown field"},
		{`{} {}`, "something follows"},
	} {
		_, err := sms.ParseGateway([]byte(c.description), env)
		require.ErrorContains(t, err, c.problem, c.description)
	}
}

func TestGatewayPrintsNoSecret(t *testing.T) {
	t.Parallel()
	cfg := sms.GatewayConfig{
		URL: "https://gw.example/send?key=sesame-q", Headers: map[string]string{"Authorization": "sesame-h", "X-Env": "${SMS_KEY}"},
		BodyFormat: "json", Body: json.RawMessage(`{"key":"sesame-b","to":"{to}","text":"{text}"}`),
	}
	gateway, err := sms.NewGateway(cfg, env)
	require.NoError(t, err)
	asJSON, err := json.Marshal(cfg)
	require.NoError(t, err)
	printed := asJSON
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		printed = append(fmt.Appendf(printed, verb+verb+verb, cfg, &cfg, gateway), '\n')
	}
	shown := string(printed) + cfg.LogValue().String() + gateway.LogValue().String()
	require.NotContains(t, shown, "sesame")
	require.NotContains(t, shown, "s3cret")
	require.Contains(t, shown, "https://gw.example/send")
}

func TestGatewayCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		body       string
		outcome    sms.Outcome
		code       string
		retryAfter string
		wait       time.Duration
	}{
		{200, `{"code":"OK","id":7}`, sms.Sent, "", "", 0},
		{200, `{"code":"BUSY"}`, sms.Throttled, "BUSY", "", 0},
		{200, `{"code":"BUSY"}`, sms.Throttled, "BUSY", "3", 3 * time.Second},
		{200, `{"code":"DOWN"}`, sms.Temporary, "DOWN", "", 0},
		{200, `{"code":"BLOCKED"}`, sms.Rejected, "BLOCKED", "", 0},
		{200, `{"code":"LOST"}`, sms.Unknown, "LOST", "", 0},
		{200, `{"code":"never heard of"}`, sms.Rejected, "never heard of", "", 0},
		{200, `{"code":null}`, sms.Rejected, "http_200", "", 0},
		{200, `{}`, sms.Unknown, "http_200", "", 0},
		{200, ``, sms.Unknown, "http_200", "", 0},
		{400, `{"code":"DOWN"}`, sms.Temporary, "DOWN", "", 0},
		{400, `{"code":"+8613800138000 blocked"}`, sms.Rejected, "http_400", "", 0},
		{400, `{"code":{"deep":1}}`, sms.Rejected, "http_400", "", 0},
		{401, ``, sms.Temporary, "http_401", "", 0},
		{404, ``, sms.Rejected, "http_404", "", 0},
		{429, ``, sms.Throttled, "http_429", "99999999", 15 * time.Minute},
		{429, ``, sms.Throttled, "http_429", "soon", 0},
		{429, ``, sms.Throttled, "http_429", "Fri, 01 Jan 1999 00:00:00 GMT", 0},
		{500, ``, sms.Temporary, "http_500", "", 0},
		{502, ``, sms.Temporary, "http_502", "", 0}, // by the list of codes
		{503, ``, sms.Throttled, "http_503", "5", 5 * time.Second},
		{504, ``, sms.Unknown, "http_504", "", 0},
	} {
		t.Run(fmt.Sprint(c.status, c.body, c.retryAfter), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.retryAfter != "" {
					w.Header().Set("Retry-After", c.retryAfter)
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			t.Cleanup(server.Close)
			gateway, err := sms.ParseGateway(fmt.Appendf(nil, `{"url":%q,"body_format":"form","body":{"a":"{to_digits}{text}"},
				"success":{"path":"code","matches":"^O"},"error_code_path":"code","message_id_path":"id",
				"codes":{"throttled":["BUSY"],"temporary":["DOWN","502"],"final":["BLOCKED"],"unknown":["LOST"]}}`, server.URL), os.LookupEnv)
			require.NoError(t, err)
			to, err := contact.ParsePhone("+8613800138000", "")
			require.NoError(t, err)
			result := gateway.Send(t.Context(), sms.Outgoing{Ref: uuid.New(), To: to, Text: "x"})
			require.Equal(t, c.outcome, result.Outcome)
			require.Equal(t, c.code, result.Code)
			require.Equal(t, c.wait, result.RetryAfter)
		})
	}
}

func FuzzParseGateway(f *testing.F) {
	f.Add([]byte(`{"url":"http://x/?a={to}","method":"GET"}`))
	f.Add([]byte(`{"url":"http://x/","body_format":"json","body":["{text}{to}"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		gateway, err := sms.ParseGateway(data, env)
		if err == nil {
			require.NotContains(t, fmt.Sprintf("%+v", gateway), "s3cret")
		}
	})
}
