// Package outbound is what all calls to servers of others have in common.
package outbound

import (
	"errors"
	"net/http"
)

// ErrSwitched is the error of a call whose server has switched protocols.
var ErrSwitched = errors.New("the server switched protocols, which nobody had asked for")

// OnlyHTTP is next without the answer 101. net/http hands that connection over raw: no context and no timeout ends a read of it, so a
// server that switches protocols and says nothing would hold its caller for good.
func OnlyHTTP(next http.RoundTripper) http.RoundTripper { return onlyHTTP{next} }

type onlyHTTP struct{ next http.RoundTripper }

// CloseIdleConnections is http.Client's way to those of next.
func (o onlyHTTP) CloseIdleConnections() {
	if closer, ok := o.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

func (o onlyHTTP) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := o.next.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		_ = response.Body.Close() // ends the connection
		return nil, ErrSwitched
	}
	return response, err
}
