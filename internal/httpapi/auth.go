package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
)

// authenticate finds the request's principal and checks its scope. Errors: the faults of access.Keys.Authenticate, and
// scope_missing.
func (s *Server) authenticate(ctx context.Context, x *exchange, a auth) error {
	if a.scope == "" {
		return nil
	}
	token := bearer(x.req.Header)
	if token == "" {
		if a.required {
			return fault.New(fault.Unauthenticated, "api_key_missing")
		}
		return nil
	}
	principal, err := s.deps.Authenticate(ctx, token)
	if err != nil {
		return err
	}
	x.principal = principal
	return requireScope(ctx, a.scope)
}

// requireScope is for operations of which some uses need more than needs() said. Errors: scope_missing.
func requireScope(ctx context.Context, scope access.Scope) error {
	if p := principalOf(ctx); p == nil || !p.Can(scope) {
		return fault.New(fault.Forbidden, "scope_missing", "scope", string(scope))
	}
	return nil
}

// bearer gives the token of an Authorization header (RFC 6750 §2.1); another scheme is none of ours.
func bearer(h http.Header) string {
	scheme, token, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
