package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

// Keys makes, lists, revokes and recognises API keys.
type Keys struct {
	pool  *pgxpool.Pool
	now   func() time.Time
	cache *cache
}

// NewKeys makes the service.
func NewKeys(pool *pgxpool.Pool, now func() time.Time) *Keys {
	k := &Keys{pool: pool, now: now}
	k.cache = newCache(now, k.fetch)
	return k
}

// Key is an API key without its secret.
type Key struct {
	ID        uuid.UUID
	Prefix    string
	Name      string
	Scopes    []Scope
	CreatedAt time.Time
	ExpiresAt *time.Time // nil: never
	RevokedAt *time.Time
}

const maxName = 100

// Create makes a key and gives its token, which is not kept and cannot be shown again. Errors: api_key_name_invalid,
// scopes_missing, scope_unknown, expires_at_past.
func (k *Keys) Create(ctx context.Context, name string, scopeNames []string, expiresAt *time.Time) (Key, string, error) {
	scopes, err := ParseScopes(scopeNames)
	if err != nil {
		return Key{}, "", err
	}
	name = strings.TrimSpace(name)
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return Key{}, "", fault.New(fault.Invalid, "api_key_name_invalid")
	}
	key := Key{ID: uuid.Must(uuid.NewV7()), Name: name, Scopes: scopes, CreatedAt: k.now().UTC(), ExpiresAt: expiresAt}
	if expiresAt != nil && !expiresAt.After(key.CreatedAt) {
		return Key{}, "", fault.New(fault.Invalid, "expires_at_past")
	}
	prefix, secret := newToken()
	hash := hashSecret(secret)
	key.Prefix = prefix
	err = dbq.New(k.pool).APIKeyInsert(ctx, dbq.APIKeyInsertParams{
		ID: key.ID, Prefix: prefix, SecretHash: hash[:], Name: name, Scopes: texts(scopes), CreatedAt: key.CreatedAt, ExpiresAt: expiresAt,
	})
	if err != nil {
		return Key{}, "", fmt.Errorf("create API key: %w", err)
	}
	k.cache.forget(prefix)
	return key, joinToken(prefix, secret), nil
}

// List gives every key, newest first, also those that are no longer valid.
func (k *Keys) List(ctx context.Context) ([]Key, error) {
	rows, err := dbq.New(k.pool).APIKeyList(ctx)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	keys := make([]Key, len(rows))
	for i, row := range rows {
		keys[i] = Key{row.ID, row.Prefix, row.Name, scopesOf(row.Scopes), row.CreatedAt, row.ExpiresAt, row.RevokedAt}
	}
	return keys, nil
}

// Revoke ends a key for good: in this process at once, in others within three seconds. Revoking it again changes
// nothing. Errors: api_key_not_found.
func (k *Keys) Revoke(ctx context.Context, prefix string) (Key, error) {
	row, err := dbq.New(k.pool).APIKeyRevoke(ctx, dbq.APIKeyRevokeParams{Prefix: prefix, RevokedAt: k.now().UTC()})
	if errors.Is(err, pgx.ErrNoRows) {
		return Key{}, fault.New(fault.NotFound, "api_key_not_found", "prefix", prefix)
	}
	if err != nil {
		return Key{}, fmt.Errorf("revoke API key: %w", err)
	}
	k.cache.forget(prefix)
	return Key{row.ID, row.Prefix, row.Name, scopesOf(row.Scopes), row.CreatedAt, row.ExpiresAt, row.RevokedAt}, nil
}

func scopesOf(names []string) []Scope {
	scopes := make([]Scope, len(names))
	for i, name := range names {
		scopes[i] = Scope(name)
	}
	return scopes
}

func texts(scopes []Scope) []string {
	names := make([]string, len(scopes))
	for i, scope := range scopes {
		names[i] = string(scope)
	}
	return names
}
