package risk_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serve is a scorer's server.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/score"
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

func read(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	return string(text)
}
