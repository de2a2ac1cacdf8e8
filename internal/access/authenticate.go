package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

// record is what is known of a prefix: a key, or that there is none.
type record struct {
	principal *Principal // nil: there is no such key
	hash      [sha256.Size]byte
	expiresAt *time.Time
	revoked   bool
}

// Authenticate finds who a token belongs to. What it knows of a key is at most three seconds old. Errors, all of kind
// Unauthenticated: api_key_missing, api_key_invalid, api_key_expired, api_key_revoked. Only who has the whole secret
// learns that a key has expired or was revoked.
func (k *Keys) Authenticate(ctx context.Context, token string) (*Principal, error) {
	if token == "" {
		return nil, fault.New(fault.Unauthenticated, "api_key_missing")
	}
	prefix, secret, ok := splitToken(token)
	if !ok {
		return nil, fault.New(fault.Unauthenticated, "api_key_invalid")
	}
	rec, err := k.cache.get(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	hash := hashSecret(secret)
	switch {
	case rec.principal == nil || subtle.ConstantTimeCompare(hash[:], rec.hash[:]) != 1:
		return nil, fault.New(fault.Unauthenticated, "api_key_invalid")
	case rec.revoked:
		return nil, fault.New(fault.Unauthenticated, "api_key_revoked")
	case rec.expiresAt != nil && !k.now().Before(*rec.expiresAt):
		return nil, fault.New(fault.Unauthenticated, "api_key_expired")
	}
	return rec.principal, nil
}

func (k *Keys) fetch(ctx context.Context, prefix string) (*record, error) {
	row, err := dbq.New(k.pool).APIKeyByPrefix(ctx, prefix)
	if errors.Is(err, pgx.ErrNoRows) {
		return &record{}, nil
	}
	if err != nil {
		return nil, err
	}
	rec := &record{
		principal: &Principal{KeyID: row.ID, Prefix: row.Prefix, Name: row.Name, Scopes: scopesOf(row.Scopes)},
		expiresAt: row.ExpiresAt,
		revoked:   row.RevokedAt != nil,
	}
	if copy(rec.hash[:], row.SecretHash) != len(rec.hash) {
		return nil, fmt.Errorf("API key %s: its hash has %d bytes", prefix, len(row.SecretHash))
	}
	return rec, nil
}
