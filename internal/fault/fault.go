// Package fault names what can go wrong in a way that a caller can act on.
//
// A domain operation returns a *fault.Error for everything the caller caused or can repair; httpapi turns its Kind into
// a status and its Code into a text in the caller's language, in one table each. Every other error is ours: it is
// logged in full and answered as a generic 500 with the request id.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind says which sort of answer a fault is. Each has one HTTP status.
type Kind int

// The kinds, with the status httpapi gives them.
const (
	Invalid         Kind = iota + 1 // 422: understood, and refused as it stands
	Malformed                       // 400: not understood
	Unauthenticated                 // 401
	Forbidden                       // 403
	NotFound                        // 404
	Conflict                        // 409: right in itself, wrong in this state
	Gone                            // 410
	TooLarge                        // 413
	TooMany                         // 429
	Unavailable                     // 503: try again later
)

// Error is a fault with a code that stays the same for good.
type Error struct {
	Kind   Kind
	Code   string         // snake_case, stable: callers' programs rely on it
	Params map[string]any // facts of this case; they become members of the problem document and fill its text
	Cause  error          // for the log only; never shown
}

// New makes a fault. params are alternating names and values.
func New(kind Kind, code string, params ...any) *Error {
	if len(params)%2 != 0 {
		panic("fault.New: a parameter name without a value: " + code)
	}
	e := &Error{Kind: kind, Code: code}
	if len(params) > 0 {
		e.Params = make(map[string]any, len(params)/2)
	}
	for i := 0; i < len(params); i += 2 {
		name, ok := params[i].(string)
		if !ok {
			panic("fault.New: a parameter name that is no string: " + code)
		}
		e.Params[name] = params[i+1]
	}
	return e
}

// Wrap is New with a cause that the log shows and the caller does not.
func Wrap(cause error, kind Kind, code string, params ...any) *Error {
	e := New(kind, code, params...)
	e.Cause = cause
	return e
}

// Error gives the code and the parameters, for logs and tests.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Code)
	for _, name := range sortedNames(e.Params) {
		fmt.Fprintf(&b, " %s=%v", name, e.Params[name])
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As finds the fault in an error chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// HasCode reports whether err is, or wraps, a fault of that code.
func HasCode(err error, code string) bool {
	e, ok := As(err)
	return ok && e.Code == code
}

func sortedNames(params map[string]any) []string {
	return slices.Sorted(maps.Keys(params))
}
