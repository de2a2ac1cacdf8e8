//go:build !unix

package devpg

import (
	"context"
	"errors"
)

// Server is a running Postgres; on this system there is none.
type Server struct{}

// Start fails: keeping a server's process in hand needs a Unix.
func Start(context.Context, Options) (*Server, error) {
	return nil, errors.New("devpg: no embedded Postgres on this system: use WSL or a container, " +
		"or name a server of your own in VENDBOX_DATABASE_URL")
}

// URL is empty.
func (*Server) URL(string) string { return "" }

// Port is 0.
func (*Server) Port() int { return 0 }

// PID is 0.
func (*Server) PID() int { return 0 }

// Version is the zero version.
func (*Server) Version() Version { return Version{} }

// Done is never closed.
func (*Server) Done() <-chan struct{} { return nil }

// Stop does nothing.
func (*Server) Stop() error { return nil }
