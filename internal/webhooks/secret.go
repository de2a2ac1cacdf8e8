package webhooks

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// MaxSecretOverlap bounds how long a rotated secret goes on signing.
	MaxSecretOverlap = 7 * 24 * time.Hour

	secretMark  = "whsec_"
	secretBytes = 32
	// keptSecrets bounds the secrets that are expiring, and so the signatures of a delivery.
	keptSecrets = 3
)

// Secret is an endpoint's signing secret as its owner needs it. It is shown once.
type Secret struct {
	Secret string // "whsec_" and 32 bytes in base64
	// PreviousExpiresAt is when the secrets before it stop signing; zero where there are none.
	PreviousExpiresAt time.Time
}

// String keeps the secret out of logs.
func (Secret) String() string { return "[redacted]" }

// RotateSecret gives an endpoint a new secret. Deliveries are signed with both until overlap is over; nil means the
// configured one, 0 ends the old one at once. Errors: webhook_endpoint_not_found, webhook_overlap_invalid.
func (s *Service) RotateSecret(ctx context.Context, endpointID uuid.UUID, overlap *time.Duration) (Secret, error) {
	if overlap == nil {
		overlap = &s.cfg.SecretOverlap
	}
	if *overlap < 0 || *overlap > MaxSecretOverlap {
		return Secret{}, fault.New(fault.Invalid, "webhook_overlap_invalid", "max_seconds", int64(MaxSecretOverlap/time.Second))
	}
	now := s.now()
	secret := Secret{PreviousExpiresAt: now.Add(*overlap)}
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		if _, err := q.WebhookEndpointLock(ctx, endpointID); err != nil {
			return endpointNotFound(err, endpointID)
		}
		err := q.WebhookSecretsExpire(ctx, dbq.WebhookSecretsExpireParams{
			EndpointID: endpointID, Now: now, ExpiresAt: secret.PreviousExpiresAt, Kept: keptSecrets,
		})
		if err != nil {
			return fmt.Errorf("webhooks: expire secrets: %w", err)
		}
		secret.Secret, err = s.addSecret(ctx, q, endpointID, now)
		return err
	})
	if err != nil {
		return Secret{}, err
	}
	return secret, nil
}

// addSecret makes a secret and keeps it sealed.
func (s *Service) addSecret(ctx context.Context, q *dbq.Queries, endpointID uuid.UUID, now time.Time) (string, error) {
	var key [secretBytes]byte
	_, _ = rand.Read(key[:]) // never fails: the program ends where there is no randomness
	id := uuid.Must(uuid.NewV7())
	sealed, err := s.deps.Vault.Seal(cardvault.KindWebhookSecret, id, key[:])
	if err != nil {
		return "", err
	}
	err = q.WebhookSecretInsert(ctx, dbq.WebhookSecretInsertParams{ID: id, EndpointID: endpointID, Sealed: sealed, CreatedAt: now})
	if err != nil {
		return "", fmt.Errorf("webhooks: insert secret: %w", err)
	}
	return secretMark + base64.StdEncoding.EncodeToString(key[:]), nil
}
