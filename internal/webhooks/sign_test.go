package webhooks

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

func keyOf(t *testing.T, secret string) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretMark))
	require.NoError(t, err)
	return key
}

// The specification's own example.
func TestSignVector(t *testing.T) {
	t.Parallel()

	key := keyOf(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	at := time.Unix(1614265330, 999_999_999)
	require.Equal(t, want, sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte(`{"test": 2432232314}`)))
	two := strings.Split(sign([][]byte{{1}, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, []byte(`{"test": 2432232314}`)), " ")
	require.Len(t, two, 2)
	require.Equal(t, want, two[1])
}

func TestBodyIsTheSameEveryTime(t *testing.T) {
	t.Parallel()

	at := time.Date(2025, 1, 2, 3, 4, 5, 678901000, time.FixedZone("", 3600))
	got, err := body("order.paid", at, []byte(`{"b": 1, "a": "<é>", "n": 1.50}`))
	require.NoError(t, err)
	want := `{"type":"order.paid","timestamp":"2025-01-02T02:04:05.678901Z","data":{"b":1,"a":"<é>","n":1.50}}`
	require.Equal(t, []byte(want), got)
	_, err = body("order.paid", at, []byte(`{`))
	require.Error(t, err)
}

// A delivery during a rotation verifies with the new secret and with the old one, by the libraries that subscribers
// use; after the overlap only with the new one.
func TestSubscribersVerify(t *testing.T) {
	t.Parallel()
	var clock shifted
	b := setup(t, local(), func(d *Deps) { d.Now = clock.now })
	sub := subscribe(t, always(http.StatusNoContent))
	e, old := b.endpoint(t, sub.URL)

	require.NoError(t, b.work(t, b.send(t), 1))
	rotated, err := b.RotateSecret(t.Context(), e.ID, nil)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), rotated.PreviousExpiresAt, time.Minute)
	require.NoError(t, b.work(t, b.send(t), 1))
	clock.set(24*time.Hour - time.Minute)
	require.NoError(t, b.work(t, b.send(t), 1))
	clock.set(24*time.Hour + time.Minute)
	require.NoError(t, b.work(t, b.send(t), 1))

	requests := sub.requests()
	require.Len(t, requests, 4)
	var checks []check
	for i, want := range []struct{ old, new bool }{{true, false}, {true, true}, {true, true}, {false, true}} {
		checks = append(checks, check{requests[i], old, want.old, i >= 2}, check{requests[i], rotated.Secret, want.new, i >= 2})
	}
	tampered := requests[0]
	tampered.body = bytes.Replace(tampered.body, []byte("5000"), []byte("1000"), 1)
	require.NotEqual(t, requests[0].body, tampered.body)
	checks = append(checks, check{tampered, old, false, false})
	verifyWithGo(t, checks)
	verifyWithNode(t, checks)
}

type check struct {
	seen

	secret string
	want   bool
	future bool // its time is a day ahead, which a library that looks at the clock refuses
}

func verifyWithGo(t *testing.T, checks []check) {
	t.Helper()
	for i, c := range checks {
		wh, err := standardwebhooks.NewWebhook(c.secret)
		require.NoError(t, err)
		err = wh.VerifyIgnoringTimestamp(c.body, c.header)
		require.Equal(t, c.want, err == nil, "check %d: %v", i, err)
		if c.want && !c.future {
			require.NoError(t, wh.Verify(c.body, c.header))
		}
	}
}

const verifier = "../../tests/webhook-verifier"

// verifyWithNode asks npm's standardwebhooks. It minds the clock, so what is from the future is left out.
func verifyWithNode(t *testing.T, checks []check) {
	t.Helper()
	if _, err := os.Stat(verifier + "/node_modules/standardwebhooks"); err != nil {
		t.Log("npm's standardwebhooks is not installed (make peers): checked with the Go library alone")
		return
	}
	var in bytes.Buffer
	var want []bool
	for _, c := range checks {
		if c.future {
			continue
		}
		headers := map[string]string{}
		for name := range c.header {
			headers[strings.ToLower(name)] = c.header.Get(name)
		}
		require.NoError(t, json.NewEncoder(&in).Encode(map[string]any{"secret": c.secret, "headers": headers, "body": c.body}))
		want = append(want, c.want)
	}
	cmd := exec.CommandContext(t.Context(), "node", "verify.mjs")
	cmd.Dir, cmd.Stdin, cmd.Stderr = verifier, &in, os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	lines := bufio.NewScanner(bytes.NewReader(out))
	for i := range want {
		require.True(t, lines.Scan())
		var got struct {
			OK    bool   `json:"ok"`
			Type  string `json:"type"`
			Error string `json:"error"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &got))
		require.Equal(t, want[i], got.OK, "check %d: %s", i, got.Error)
		if got.OK {
			require.Equal(t, "order.paid", got.Type)
		}
	}
}
