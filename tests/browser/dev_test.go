package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
)

var (
	binary   string // vendbox
	chromium string // "" where there is none
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			chromium = path
			break
		}
	}
	if chromium == "" {
		return m.Run() // the tests say that they are skipped
	}
	dir, err := os.MkdirTemp("", "vendbox-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "vendbox")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "./cmd/vendbox")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// shop is a running vendbox dev.
type shop struct {
	t    *testing.T
	log  *bytes.Buffer // of the process; read it when that has ended
	stop func()
	info struct {
		APIURL        string `json:"api_url"`
		APIKey        string `json:"api_key"`
		PaymentSecret string `json:"payment_secret"`
		DatabaseURL   string `json:"database_url"`
		SMSSinkURL    string `json:"sms_sink_url"`
	}
}

func openShop(t *testing.T) *shop {
	t.Helper()
	if chromium == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	s := &shop{t: t, log: &bytes.Buffer{}}
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	args := []string{"dev", "--addr", "127.0.0.1:0", "--data-dir", "", "--ready-file", readyFile, "--verbose"}
	cmd := exec.Command(binary, args...) //nolint:noctx // stop ends it
	cmd.Stdout, cmd.Stderr = io.Discard, s.log
	require.NoError(t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		<-done
	}
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("vendbox dev printed:\n%s", s.log.String())
		}
	})
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(readyFile)
		return err == nil && json.Unmarshal(text, &s.info) == nil
	}, time.Minute, 20*time.Millisecond, "the ready file")
	return s
}

type order struct {
	ID          string
	Number      string
	AccessToken string `json:"access_token"`
	Total       struct {
		Amount   int64
		Currency string
	}
}

// call sends JSON with the API key, to a path or an address, and reads the answer, which has to be a good one.
func (s *shop) call(method, path string, body, into any, header ...string) {
	s.t.Helper()
	text, ok := body.([]byte)
	if !ok {
		var err error
		text, err = json.Marshal(body)
		require.NoError(s.t, err)
	}
	if strings.HasPrefix(path, "/") {
		path = s.info.APIURL + path
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, path, bytes.NewReader(text))
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+s.info.APIKey)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: 20 * time.Second}
	response, err := client.Do(r)
	require.NoError(s.t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Less(s.t, response.StatusCode, 300, string(got))
	require.NoError(s.t, json.Unmarshal(got, into), string(got))
}

func (s *shop) place(locale string) order {
	s.t.Helper()
	var placed order
	s.call(http.MethodPost, "/v1/orders", map[string]any{
		"items": []any{map[string]any{"sku": "game-card-100", "quantity": 2}}, "locale": locale,
		"contact": map[string]string{"phone": "+8613800138000"},
	}, &placed)
	return placed
}

// pay pays an order, or another amount than the order's.
func (s *shop) pay(o order, amount int64) {
	s.t.Helper()
	var attempt struct{ ID string }
	s.call(http.MethodPost, "/v1/orders/"+o.ID+"/payments", map[string]string{"channel": "sandbox"}, &attempt)
	now := time.Now()
	notice, err := json.Marshal(map[string]any{
		"event_id": "evt_" + attempt.ID, "type": payments.TypeSucceeded, "payment_id": attempt.ID,
		"amount": amount, "currency": o.Total.Currency, "occurred_at": now.UTC(),
	})
	require.NoError(s.t, err)
	s.call(http.MethodPost, "/v1/payment-callbacks/sandbox", notice, new(any),
		payments.SignatureHeader, payments.SignSandbox(s.info.PaymentSecret, now, notice))
}

// textLink makes the link to an order's page a text message.
func (s *shop) textLink() {
	s.t.Helper()
	s.call(http.MethodPost, "/v1/sms-templates", map[string]string{"event_type": "order.created", "locale": "en", "body": "{{url}}"}, new(any))
}

// texted is the link that the buyer was sent.
func (s *shop) texted() string {
	s.t.Helper()
	var sent struct{ Data []struct{ Text string } }
	require.Eventually(s.t, func() bool {
		s.call(http.MethodGet, s.info.SMSSinkURL, nil, &sent)
		return len(sent.Data) == 1
	}, patience, patience/1000)
	return sent.Data[0].Text
}

func (s *shop) page(o order) string { return s.info.APIURL + "/o/" + o.AccessToken }
