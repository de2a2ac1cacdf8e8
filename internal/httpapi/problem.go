package httpapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Problem is an error's answer (RFC 9457). Beside the members here it has the facts of the case, such as sku and
// available of out_of_stock.
type Problem struct { //nolint:errname // it is the document, and only by the way an error
	_         struct{}       `json:"-" additionalProperties:"true"`
	Type      string         `json:"type" format:"uri-reference" example:"/docs/problems#out_of_stock" doc:"Where the problem is explained."`
	Title     string         `json:"title" example:"Out of stock" doc:"What sort of problem it is, in the caller's language."`
	Status    int            `json:"status" example:"409" doc:"The HTTP status."`
	Detail    string         `json:"detail" example:"Only 3 of steam-50 are left." doc:"What happened and what to do, in the caller's language."`
	Code      string         `json:"code" example:"out_of_stock" doc:"What a program should decide by. It never changes."`
	RequestID string         `json:"request_id" example:"01JD2M8T4Q6W9YBZ" doc:"Names the request in the server's log."`
	Errors    []ProblemError `json:"errors,omitempty" doc:"Of code validation_failed: everything that is wrong with the request."`

	params map[string]any
	allow  []string
}

// ProblemError is one thing that is wrong with a request. It names the place and never repeats the value.
type ProblemError struct {
	Pointer  string `json:"pointer,omitempty" example:"#/items/0/quantity" doc:"Where in the body: a JSON pointer (RFC 6901) as a URI fragment."`
	Location string `json:"location,omitempty" example:"query.limit" doc:"Where else: query., path. or header. and the parameter's name."`
	Message  string `json:"message" example:"expected number >= 1" doc:"What is wrong there, in the caller's language."`
}

const problemContentType = "application/problem+json"

// kinds is the one table from a fault's kind to its status.
var kinds = map[fault.Kind]int{
	fault.Invalid:         http.StatusUnprocessableEntity,
	fault.Malformed:       http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Gone:            http.StatusGone,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
}

// The codes that are born here, for what is no fault of a domain's.
const (
	codeInternal             = "internal"
	codeOutcomeUnknown       = "outcome_unknown"
	codeShuttingDown         = "shutting_down"
	codeDatabaseUnavailable  = "database_unavailable"
	codeOverloaded           = "overloaded"
	codeBusy                 = "busy"
	codeValidationFailed     = "validation_failed"
	codeRouteNotFound        = "route_not_found"
	codeMethodNotAllowed     = "method_not_allowed"
	codeBodyMissing          = "body_missing"
	codeBodyIncomplete       = "body_incomplete"
	codeBodyTimeout          = "body_timeout"
	codeBodyTooLarge         = "body_too_large"
	codeUnsupportedMediaType = "unsupported_media_type"
	codeNotAcceptable        = "not_acceptable"
	codeClientGone           = "client_closed_request"
)

// statusClientGone is nginx's, for the log: nobody reads the answer.
const statusClientGone = 499

// problemOf translates any error into what the caller is told. What is no fault becomes a generic one: its text is for
// the log alone.
func problemOf(ctx context.Context, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if f, ok := fault.As(err); ok {
		status, known := kinds[f.Kind]
		if !known {
			status = http.StatusInternalServerError
		}
		return newProblem(ctx, status, f.Code, f.Params)
	}
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(ctx, http.StatusRequestEntityTooLarge, codeBodyTooLarge, map[string]any{"limit": large.Limit})
	}
	switch {
	case errors.Is(err, groupcommit.ErrClosed):
		return newProblem(ctx, http.StatusServiceUnavailable, codeShuttingDown, nil)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil && errors.Is(err, groupcommit.ErrNotTaken):
		return newProblem(ctx, statusClientGone, codeClientGone, nil)
	case errors.Is(err, groupcommit.ErrNotTaken), errors.Is(err, groupcommit.ErrFull):
		return newProblem(ctx, http.StatusServiceUnavailable, codeOverloaded, nil)
	case errors.Is(err, pgdb.ErrCommitUnknown), errors.Is(err, context.DeadlineExceeded):
		return newProblem(ctx, http.StatusServiceUnavailable, codeOutcomeUnknown, nil)
	case pgdb.IsLockTimeout(err), pgdb.IsRetryable(err): // after the tries that it has had
		return newProblem(ctx, http.StatusServiceUnavailable, codeBusy, nil)
	case pgdb.IsUnavailable(err):
		return newProblem(ctx, http.StatusServiceUnavailable, codeDatabaseUnavailable, nil)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return newProblem(ctx, statusClientGone, codeClientGone, nil)
	}
	return newProblem(ctx, http.StatusInternalServerError, codeInternal, nil)
}

func newProblem(ctx context.Context, status int, code string, params map[string]any) *Problem {
	p := &Problem{Type: "/docs/problems#" + code, Status: status, Code: code, params: params}
	lang := English
	if x := exchangeOf(ctx); x != nil {
		p.RequestID = x.requestID[0]
		lang = languageOf(x.req)
	}
	p.Title, p.Detail = textOf(lang, code, params)
	return p
}

// Error makes it an error. It tells no more than the caller is told.
func (p *Problem) Error() string { return p.Code }

// GetStatus is what huma asks an error for.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is what huma asks a body for.
func (p *Problem) ContentType(string) string { return problemContentType }

// GetHeaders is what huma asks an error for.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="vendbox"`)
	case http.StatusMethodNotAllowed:
		h["Allow"] = p.allow
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", strconv.Itoa(p.retryAfter()))
	}
	return h
}

// retryAfter gives the fault's retry_after, in seconds.
func (p *Problem) retryAfter() int {
	if seconds, ok := p.params["retry_after"].(int); ok && seconds > 0 {
		return seconds
	}
	return 1
}

// MarshalJSONTo writes the members of the type and after them the facts of the case.
func (p *Problem) MarshalJSONTo(enc *jsontext.Encoder) error {
	type plain Problem
	members, err := json.Marshal((*plain)(p), writeOptions)
	if err != nil || len(p.params) == 0 {
		return errors.Join(err, enc.WriteValue(members))
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(members, &all); err != nil {
		return err
	}
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, name := range []string{"type", "title", "status", "detail", "code", "request_id", "errors"} {
		if value, ok := all[name]; ok {
			if err := errors.Join(enc.WriteToken(jsontext.String(name)), enc.WriteValue(value)); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.params)) {
		if _, taken := all[name]; taken {
			continue
		}
		if err := enc.WriteToken(jsontext.String(name)); err != nil {
			return err
		}
		if err := json.MarshalEncode(enc, p.params[name], writeOptions); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}
