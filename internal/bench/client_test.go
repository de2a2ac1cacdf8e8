package bench

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func connect(t *testing.T, address string) *client {
	t.Helper()
	c, err := dial(t.Context(), address, time.Now().Add(10*time.Second))
	require.NoError(t, err)
	t.Cleanup(c.close)
	return c
}

// raw is a server that answers each request with the next of these texts, as it is, each | the end of a packet.
func raw(t *testing.T, answers ...string) *client {
	t.Helper()
	ours, theirs := net.Pipe() // what is written at once is read at once
	t.Cleanup(func() { _ = ours.Close() })
	go func() {
		defer theirs.Close()
		requests := bufio.NewReader(theirs)
		for _, answer := range answers {
			if _, err := http.ReadRequest(requests); err != nil {
				return
			}
			for part := range strings.SplitSeq(answer, "|") {
				if _, err := io.WriteString(theirs, part); err != nil {
					return
				}
			}
		}
	}()
	require.NoError(t, ours.SetDeadline(time.Now().Add(10*time.Second)))
	return &client{conn: ours, buf: make([]byte, 16)}
}

var anyRequest = []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")

func TestClientReadsWholeAnswers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer, body string
		status       int
	}{
		"a length":            {"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello", "hello", 201},
		"in any case":         {"HTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\n\r\nok", "ok", 200},
		"in pieces":           {"HTTP/1.1 2|01 Created\r\nContent-Le|ngth: 5\r\n\r|\nhe|llo", "hello", 201},
		"no reason":           {"HTTP/1.1 409 \r\nContent-Length: 0\r\n\r\n", "", 409},
		"nothing to say":      {"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
		"chunks":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "hello", 200},
		"chunks in pieces":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|5\r|\nhel|lo\r|\n0\r\n|\r\n", "hello", 200},
		"chunks and trailers": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", "x", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := raw(t, tc.answer, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
			status, body, err := c.do(anyRequest)
			require.NoError(t, err)
			require.Equal(t, tc.status, status)
			require.Equal(t, tc.body, string(body))
			_, body, err = c.do(anyRequest)
			require.NoError(t, err, "the connection is kept")
			require.Equal(t, "next", string(body))
		})
	}
}

func TestClientRefusesWhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"another protocol":    "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"cut off in the head": "HTTP/1.1 200 OK\r\nContent-Le",
		"cut off in the body": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"cut off in a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
		"no length":           "HTTP/1.1 200 OK\r\n\r\n",
		"a negative length":   "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"a huge length":       "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
		"no chunk size":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
		"not yet an answer":   "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := raw(t, answer).do(anyRequest)
			require.Error(t, err)
		})
	}
}

func TestClientSeesThatTheServerSaysGoodbye(t *testing.T) {
	t.Parallel()
	c := raw(t, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	_, _, err := c.do(anyRequest)
	require.NoError(t, err)
	_, _, err = c.do(anyRequest)
	require.Error(t, err)
}

func TestClientSeesWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	c := raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more")
	_, _, err := c.do(anyRequest)
	require.NoError(t, err)
	_, _, err = c.do(anyRequest)
	require.Error(t, err)
}

// Answers of every size around the buffer's, from a real server.
func TestClientAgainstNetHTTP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(bytes.Repeat(body, 100))
	}))
	defer server.Close()
	c := connect(t, server.Listener.Addr().String())
	d, err := newDoor(server.URL, "k")
	require.NoError(t, err)
	for size := 0; size < 200; size += 7 {
		sent := bytes.Repeat([]byte("x"), size)
		status, body, err := c.do(d.post(nil, "/", "", sent))
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, status)
		require.Len(t, body, size*100)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := dial(ctx, "127.0.0.1:1", time.Now().Add(time.Second))
	require.Error(t, err)
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"))
	f.Add([]byte("HTTP/1.1 204"))
	f.Fuzz(func(t *testing.T, head []byte) {
		a, err := parseHead(head)
		if err != nil {
			return
		}
		require.True(t, a.status >= 200 && a.status <= 999, a.status)
		require.True(t, a.chunked || a.length >= 0 && a.length <= maxAnswer, a.length)
	})
}

func BenchmarkClient(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 900)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	d, err := newDoor(server.URL, "k")
	require.NoError(b, err)
	request := newOrderRequest(d, "a")
	c, err := dial(b.Context(), server.Listener.Addr().String(), time.Now().Add(time.Hour))
	require.NoError(b, err)
	defer c.close()
	for b.Loop() {
		if status, _, err := c.do(request.plain); err != nil || status != http.StatusCreated {
			b.Fatal(status, err)
		}
	}
}
