package gateways_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/channeltest"
	"github.com/vendbox/vendbox/internal/payments/gateways"
)

// Keys are made once: RSA is slow to make.
var (
	ourKey     = sync.OnceValue(newKey)
	gatewayKey = sync.OnceValue(newKey)
	foreignKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func privatePEM(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// publicBase64 is a public key as Alipay shows it.
func publicBase64(key *rsa.PrivateKey) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func sign(key *rsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}

func verify(key *rsa.PrivateKey, text, signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(signature)
	sum := sha256.Sum256([]byte(text))
	return err == nil && rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], raw) == nil
}

func merchantNo(attempt payments.Attempt) string { return hex.EncodeToString(attempt.ID[:]) }

// channel makes the one channel of a file.
func channel(tb testing.TB, cfg map[string]any) payments.Channel {
	tb.Helper()
	text, err := json.Marshal(map[string]any{"channels": []any{cfg}})
	require.NoError(tb, err)
	channels, err := gateways.Parse(text, gateways.Deps{
		PublicURL: "https://shop.example", Now: time.Now, Getenv: func(string) (string, bool) { return "", false },
	})
	require.NoError(tb, err)
	return channels[0]
}

var forged = channeltest.Forged

// far is what the gateways of the tests have in common: books, and ways to fail.
type far struct {
	*httptest.Server

	mu     sync.Mutex
	paid   map[uuid.UUID]payments.Attempt
	broken int // 0: not; else the way, from 1

	requests []string
	signer   *rsa.PrivateKey // of answers
}

func newFar(tb testing.TB, handler http.HandlerFunc) *far {
	tb.Helper()
	f := &far{paid: map[uuid.UUID]payments.Attempt{}, signer: gatewayKey()}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.broken == 0 {
			handler(w, r)
			return
		}
		breakages[f.broken-1](w, r, handler)
	}))
	tb.Cleanup(f.Close)
	return f
}

func (f *far) pay(attempt payments.Attempt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paid[attempt.ID] = attempt
}

// breakNext makes it fail in the n-th way.
func (f *far) breakNext(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = n + 1
	return n < len(breakages)
}

func (f *far) attempt(merchantNo string) (payments.Attempt, bool) {
	id, err := uuid.Parse(merchantNo)
	attempt, ok := f.paid[id]
	return attempt, ok && err == nil && !strings.Contains(merchantNo, "-")
}

var breakages = []func(http.ResponseWriter, *http.Request, http.HandlerFunc){
	func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.WriteHeader(http.StatusInternalServerError)
	},
	func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { _, _ = w.Write([]byte(`{}`)) },
	func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { _, _ = w.Write([]byte(`<html>`)) },
	func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	},
	func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { // hangs up
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	},
	func(w http.ResponseWriter, r *http.Request, genuine http.HandlerFunc) { // half of a genuine answer
		recorder := httptest.NewRecorder()
		genuine(recorder, r)
		maps.Copy(w.Header(), recorder.Header())
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes()[:recorder.Body.Len()/2])
	},
	func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { // does not end
		_, _ = w.Write(bytes.Repeat([]byte(" "), 1<<20))
	},
}

// attemptOf is an attempt that is in no database.
func attemptOf(tb testing.TB, c payments.Channel, currency string) payments.Attempt {
	tb.Helper()
	attempt := payments.Attempt{
		ID: uuid.Must(uuid.NewV7()), OrderID: uuid.Must(uuid.NewV7()), OrderNumber: "N-1", ExpiresAt: time.Now().Add(time.Hour),
		Amount: money.Money{Amount: 1234, Currency: currency},
	}
	var err error
	attempt.Account, err = c.Account(attempt)
	require.NoError(tb, err)
	return attempt
}

func requireCode(tb testing.TB, err error, code string) {
	tb.Helper()
	require.True(tb, fault.HasCode(err, code), "want %s: %v", code, err)
}
