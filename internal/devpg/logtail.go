package devpg

import (
	"bytes"
	"io"
	"sync"
)

// logTail keeps the end of a server's log for error messages and passes everything on.
type logTail struct {
	next io.Writer

	mu   sync.Mutex
	tail []byte
}

const tailSize = 4 << 10

// Write never fails: a log that cannot be written must not end the server.
func (l *logTail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	if extra := len(l.tail) - tailSize; extra > 0 {
		l.tail = append(l.tail[:0], l.tail[extra:]...)
	}
	if l.next != nil {
		_, _ = l.next.Write(p)
	}
	return len(p), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.tail))
}

func (l *logTail) contains(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.tail, []byte(s))
}
