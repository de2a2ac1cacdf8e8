// Package cardvault keeps secrets: card codes, contacts, signing secrets, message texts, and the buyers' access tokens.
//
// Everything is sealed by data keys (Tink keysets) that stand in table keysets, themselves sealed by the master key,
// which only the configuration holds. A copy of the database without the master key reveals nothing. There are three
// keysets: "seal" (AES-256-GCM), "fingerprint" (HMAC-SHA-256 as a PRF) and "token" (HMAC-SHA-256). Seal and token
// rotate with overlap: the new key is used at once, the old ones go on to open what they sealed, and other processes
// learn of a new key when they first meet it. The fingerprint key never changes, because fingerprints are compared
// with those that are stored.
package cardvault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Kind says what a secret is. It is part of what a seal binds to, so a sealed card cannot pass for a contact.
type Kind string

// The kinds. Their values are bound into every seal and fingerprint: they never change.
const (
	KindCard          Kind = "card"
	KindContact       Kind = "contact"
	KindWebhookSecret Kind = "webhook_secret"
	KindSMS           Kind = "sms"
	KindClientIP      Kind = "client_ip"
)

const fingerprintBytes = 16

// ErrUnseal says that sealed bytes do not open as that kind for that row: they are damaged, were sealed for another
// kind or row, or by a key that is not in the keyset.
var ErrUnseal = errors.New("does not unseal")

// Vault seals and unseals. It is safe for concurrent use.
type Vault struct {
	pool   *pgxpool.Pool
	master MasterKey
	now    func() time.Time
	keys   atomic.Pointer[keys]

	reloading  sync.Mutex // held while the keysets are read again
	reloadedAt time.Time  // when an unknown token key last made us read them
}

// Open loads the keysets and makes those that do not exist yet. Processes that open an empty database at the same time
// end up with the same keys. A master key that is not the one the keysets are sealed with gives ErrWrongMasterKey.
func Open(ctx context.Context, pool *pgxpool.Pool, master MasterKey) (*Vault, error) {
	if master.IsZero() {
		return nil, errors.New("cardvault: no master key; make one with: openssl rand -base64 32")
	}
	v := &Vault{pool: pool, master: master, now: time.Now}
	k, err := loadOrMake(ctx, pool, master)
	if err != nil {
		return nil, fmt.Errorf("cardvault: %w", err)
	}
	v.keys.Store(k)
	return v, nil
}

// Seal encrypts plaintext so that only Unseal with the same kind and row opens it. The result is 33 bytes longer.
func (v *Vault) Seal(kind Kind, row uuid.UUID, plaintext []byte) ([]byte, error) {
	sealed, err := v.keys.Load().aead.Encrypt(plaintext, boundTo(kind, row))
	if err != nil {
		return nil, fmt.Errorf("cardvault: seal %s: %w", kind, err)
	}
	return sealed, nil
}

// Unseal gives back what Seal was given. It asks the database only where the key is new to this process. Errors:
// ErrUnseal, or the database's or the context's where the keysets had to be read again.
func (v *Vault) Unseal(ctx context.Context, kind Kind, row uuid.UUID, sealed []byte) ([]byte, error) {
	k, err := v.keysKnowing(ctx, PurposeSeal, sealed)
	if err != nil {
		return nil, err
	}
	plaintext, err := k.aead.Decrypt(sealed, boundTo(kind, row))
	if err != nil {
		// Tink's own error adds nothing: it is the same for every cause, by design.
		return nil, fmt.Errorf("cardvault: %s of row %s %w", kind, row, ErrUnseal)
	}
	return plaintext, nil
}

// Fingerprint gives 16 bytes that are the same for the same kind and plaintext, for good, and tell nothing without
// the key: for finding duplicates and for searching.
func (v *Vault) Fingerprint(kind Kind, plaintext []byte) []byte {
	input := make([]byte, 0, len(kind)+1+len(plaintext))
	input = append(input, kind...)
	input = append(input, 0)
	input = append(input, plaintext...)
	sum, err := v.keys.Load().prf.ComputePrimaryPRF(input, fingerprintBytes)
	if err != nil {
		panic("cardvault: fingerprint: " + err.Error()) // only for a length that HMAC-SHA-256 cannot give
	}
	return sum
}

// LogValue keeps the vault out of logs.
func (*Vault) LogValue() slog.Value { return slog.StringValue(redacted) }

// boundTo is the associated data of a seal. A kind holds no zero byte, so no two pairs look alike.
func boundTo(kind Kind, row uuid.UUID) []byte {
	data := make([]byte, 0, len(kind)+1+len(row))
	data = append(data, kind...)
	data = append(data, 0)
	return append(data, row[:]...)
}
