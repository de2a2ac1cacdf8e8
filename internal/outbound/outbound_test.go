package outbound_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/outbound"
)

// The server keeps the connection open and says nothing more: only the refusal ends the call.
func TestASwitchOfProtocolsEndsTheCall(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			return
		}
		conn, out, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = out.Flush()
		_, _ = io.Copy(io.Discard, conn) // until the caller has closed it
		close(ended)
	}))
	defer server.Close()
	client := outbound.Client(http.DefaultTransport)
	call := func(path string) error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	require.ErrorIs(t, call("/"), outbound.ErrSwitched)
	<-ended
	require.NoError(t, call("/plain"))
}
