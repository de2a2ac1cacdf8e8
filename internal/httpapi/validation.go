package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// maxErrors bounds errors[] of one answer, maxPlace one place in it: names in a body are the caller's own text.
const (
	maxErrors = 50
	maxPlace  = 200
)

// configureHuma sets the switches that huma has for the whole program.
var configureHuma = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return humaProblem(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		p := humaProblem(ctx.Context(), status, msg, errs)
		if x := exchangeOf(ctx.Context()); x != nil && x.failure == nil {
			x.failure = p
		}
		return p
	}
})

// humaProblem translates what huma itself refuses, before any handler ran.
func humaProblem(ctx context.Context, status int, msg string, errs []error) *Problem {
	for _, err := range errs {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			body, ok := parseBodyError(detail.Message)
			if ok && body.code == codeJSONValue { // as a value that the schema refuses
				status = http.StatusUnprocessableEntity
				break
			}
			if ok {
				p := newProblem(ctx, http.StatusBadRequest, body.code, nil)
				if body.pointer != "" {
					p.Errors = []ProblemError{{Pointer: "#" + clip(body.pointer), Message: p.Title}}
				}
				return p
			}
		}
	}
	switch status {
	case http.StatusUnprocessableEntity:
		p := newProblem(ctx, status, codeValidationFailed, nil)
		p.Errors = problemErrors(ctx, errs)
		return p
	case http.StatusBadRequest:
		return newProblem(ctx, status, codeBodyMissing, nil)
	case http.StatusRequestTimeout:
		return newProblem(ctx, status, codeBodyTimeout, nil)
	case http.StatusRequestEntityTooLarge:
		return newProblem(ctx, status, codeBodyTooLarge, map[string]any{"limit": limitOf(ctx)})
	case http.StatusUnsupportedMediaType:
		return newProblem(ctx, status, codeUnsupportedMediaType, nil)
	case http.StatusNotAcceptable:
		return newProblem(ctx, status, codeNotAcceptable, nil)
	}
	if msg == "cannot read request body" {
		return newProblem(ctx, http.StatusBadRequest, codeBodyIncomplete, nil)
	}
	return newProblem(ctx, http.StatusInternalServerError, codeInternal, nil)
}

func limitOf(ctx context.Context) int64 {
	if x := exchangeOf(ctx); x != nil && x.op != nil {
		return x.op.MaxBodyBytes
	}
	return 0
}

func problemErrors(ctx context.Context, errs []error) []ProblemError {
	lang := English
	if x := exchangeOf(ctx); x != nil {
		lang = languageOf(x.req)
	}
	list := make([]ProblemError, 0, min(len(errs), maxErrors))
	for _, err := range errs {
		if len(list) == maxErrors {
			break
		}
		detail, ok := errors.AsType[*huma.ErrorDetail](err)
		if !ok {
			continue // not huma's: its text is not known to be fit for showing
		}
		if body, ok := parseBodyError(detail.Message); ok {
			_, message := textOf(lang, body.code, nil)
			list = append(list, ProblemError{Pointer: "#" + clip(body.pointer), Message: message})
			continue
		}
		one := placeOf(detail.Location)
		one.Message = validationText(lang, detail.Message)
		list = append(list, one)
	}
	return list
}

// placeOf turns huma's body.items[0].quantity into #/items/0/quantity, and leaves the places of parameters.
func placeOf(location string) ProblemError {
	rest, inBody := strings.CutPrefix(location, "body")
	if !inBody || rest != "" && rest[0] != '.' && rest[0] != '[' {
		return ProblemError{Location: clip(location)}
	}
	rest = strings.NewReplacer("~", "~0", "/", "~1", ".", "/", "[", "/", "]", "").Replace(rest)
	return ProblemError{Pointer: "#" + clip(rest)}
}

func clip(place string) string {
	if len(place) <= maxPlace {
		return place
	}
	return strings.ToValidUTF8(place[:maxPlace], "") + "…"
}
