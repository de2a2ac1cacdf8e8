package access

import (
	"slices"

	"github.com/google/uuid"
)

// Principal is who a request comes from. It is shared between requests: do not change it.
type Principal struct {
	KeyID  uuid.UUID
	Prefix string // safe to log; finds the key
	Name   string // given by whoever made the key
	Scopes []Scope
}

// Can says whether the principal holds a scope, by itself or through Admin.
func (p *Principal) Can(scope Scope) bool {
	return slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, Admin)
}

// Actor names the principal in records of who did what.
func (p *Principal) Actor() string { return "key:" + p.Prefix }
