// Package outbound is what all calls to servers of others have in common.
package outbound

import (
	"errors"
	"net/http"
)

// ErrSwitched is the error of a call whose server has switched protocols.
var ErrSwitched = errors.New("the server switched protocols, which nobody had asked for")

// Client sends through next. It follows no redirect: what is sent is signed, or carries a key, and is for the configured address
// only. It takes no answer 101. It has no timeout of its own: contexts have.
func Client(next http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     onlyHTTP{next},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// onlyHTTP is next without the answer 101. net/http hands that connection over raw: no context and no timeout ends a read of it, so a
// server that switches protocols and says nothing would hold its caller for good.
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
