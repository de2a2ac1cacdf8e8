package gateways

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/vendbox/vendbox/internal/outbound"
)

const (
	farTimeout = 10 * time.Second
	maxAnswer  = 64 << 10 // what the inbox can hold
)

// far is the way to a gateway.
type far struct{ client *http.Client }

func newFar() far {
	client := outbound.Client(http.DefaultTransport)
	client.Timeout = farTimeout
	return far{client}
}

type farAnswer struct {
	status int
	header http.Header
	body   []byte
}

// do sends one request and reads the whole answer. Its errors do not name the address: there may be a key in it.
func (f far) do(ctx context.Context, method, address string, header http.Header, body io.Reader) (farAnswer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return farAnswer{}, withoutAddress(err)
	}
	if header != nil {
		request.Header = header
	}
	response, err := f.client.Do(request)
	if err != nil {
		return farAnswer{}, withoutAddress(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return farAnswer{}, withoutAddress(err)
	}
	if len(text) > maxAnswer {
		return farAnswer{}, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return farAnswer{response.StatusCode, response.Header, text}, nil
}

func withoutAddress(err error) error {
	if withAddress, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", withAddress.Op, withAddress.Err)
	}
	return err
}
