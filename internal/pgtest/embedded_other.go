//go:build !unix

package pgtest

import (
	"context"
	"errors"
)

func embedded(context.Context) (string, error) {
	return "", errors.New("no embedded Postgres on this system: set " + EnvURL)
}
