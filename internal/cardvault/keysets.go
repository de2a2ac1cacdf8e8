package cardvault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	reloadTimeout = 5 * time.Second
	// tokenReloadEvery bounds what strangers' tokens can make us ask of the database. A true token by a key that is
	// new to us may be refused for that long, and only while such tokens are coming in.
	tokenReloadEvery = time.Second
)

// ErrNoRotation says that a keyset does not rotate.
var ErrNoRotation = errors.New("the fingerprint key never changes: stored fingerprints would no longer be found")

// KeyInfo describes one key, without the key.
type KeyInfo struct {
	Purpose Purpose `json:"purpose"`
	ID      uint32  `json:"id"`
	Status  string  `json:"status"` // "Enabled", "Disabled"
	Primary bool    `json:"primary"`
}

// Keys lists the keys as the database has them now.
func (v *Vault) Keys(ctx context.Context) ([]KeyInfo, error) {
	handles, err := load(ctx, v.pool, v.master)
	if err != nil {
		return nil, fmt.Errorf("cardvault: %w", err)
	}
	var infos []KeyInfo
	for _, purpose := range purposes {
		handle, ok := handles[purpose]
		if !ok {
			continue
		}
		for i := range handle.Len() {
			entry, err := handle.Entry(i)
			if err != nil {
				return nil, fmt.Errorf("cardvault: keyset %s: %w", purpose, err)
			}
			infos = append(infos, KeyInfo{
				Purpose: purpose, ID: entry.KeyID(), Status: entry.KeyStatus().String(), Primary: entry.IsPrimary(),
			})
		}
	}
	return infos, nil
}

// Rotate adds a key to the keyset and uses it from now on. Older keys stay: they open and verify what they made. Other
// processes read the keyset again when they meet the new key. PurposeFingerprint gives ErrNoRotation.
func (v *Vault) Rotate(ctx context.Context, purpose Purpose) error {
	if purpose == PurposeFingerprint {
		return fmt.Errorf("cardvault: rotate: %w", ErrNoRotation)
	}
	if !slices.Contains(purposes, purpose) {
		return fmt.Errorf("cardvault: rotate: no keyset %q", string(purpose))
	}
	err := pgdb.InTx(ctx, v.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		sealed, err := q.KeysetLock(ctx, string(purpose))
		if err != nil {
			return err
		}
		handle, err := unsealKeyset(v.master, purpose, sealed)
		if err != nil {
			return err
		}
		rotated, err := addPrimary(handle, purpose)
		if err != nil {
			return err
		}
		return replace(ctx, q, v.master, purpose, rotated)
	})
	if err != nil {
		return fmt.Errorf("cardvault: rotate %s: %w", purpose, err)
	}
	v.reloading.Lock()
	defer v.reloading.Unlock()
	return v.reload(ctx)
}

// ReplaceMaster seals the keysets with another master key, all or none. Processes that run go on with the keys they
// have opened; they need the new master key when they start again or meet a rotated key.
func ReplaceMaster(ctx context.Context, pool *pgxpool.Pool, from, to MasterKey) error {
	if from.IsZero() || to.IsZero() {
		return errors.New("cardvault: replace the master key: a key is missing")
	}
	err := pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		for _, purpose := range purposes { // always in this order, so that two at once wait and do not deadlock
			sealed, err := q.KeysetLock(ctx, string(purpose))
			if err != nil {
				return fmt.Errorf("keyset %s: %w", purpose, err)
			}
			handle, err := unsealKeyset(from, purpose, sealed)
			if err != nil {
				return err
			}
			if err := replace(ctx, q, to, purpose, handle); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cardvault: replace the master key: %w", err)
	}
	return nil
}

// keysKnowing gives keys that include the one data was made by, reading the keysets again where ours do not.
func (v *Vault) keysKnowing(ctx context.Context, purpose Purpose, data []byte) (*keys, error) {
	if k := v.keys.Load(); k.knows(purpose, data) {
		return k, nil
	}
	v.reloading.Lock()
	defer v.reloading.Unlock()
	if k := v.keys.Load(); k.knows(purpose, data) { // somebody was faster
		return k, nil
	}
	if purpose == PurposeToken {
		now := v.now()
		if now.Sub(v.reloadedAt) < tokenReloadEvery {
			return v.keys.Load(), nil
		}
		v.reloadedAt = now
		ctx = context.WithoutCancel(ctx) // or strangers who hang up keep everybody from learning the new key
	}
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	if err := v.reload(ctx); err != nil {
		return nil, err
	}
	return v.keys.Load(), nil
}

// reload reads the keysets again. The caller holds v.reloading.
func (v *Vault) reload(ctx context.Context) error {
	handles, err := load(ctx, v.pool, v.master)
	if err != nil {
		return fmt.Errorf("cardvault: reload: %w", err)
	}
	k, err := newKeys(handles)
	if err != nil {
		return fmt.Errorf("cardvault: reload: %w", err)
	}
	v.keys.Store(k)
	return nil
}

func loadOrMake(ctx context.Context, pool *pgxpool.Pool, master MasterKey) (*keys, error) {
	handles, err := load(ctx, pool, master)
	if err != nil {
		return nil, err
	}
	if len(handles) < len(purposes) {
		if err := makeMissing(ctx, pool, master, handles); err != nil {
			return nil, err
		}
		// What counts is what is stored: another process may have been faster.
		if handles, err = load(ctx, pool, master); err != nil {
			return nil, err
		}
	}
	return newKeys(handles)
}

func load(ctx context.Context, pool *pgxpool.Pool, master MasterKey) (map[Purpose]*keyset.Handle, error) {
	rows, err := dbq.New(pool).KeysetList(ctx)
	if err != nil {
		return nil, fmt.Errorf("read keysets: %w", err)
	}
	handles := make(map[Purpose]*keyset.Handle, len(purposes))
	for _, row := range rows {
		purpose := Purpose(row.Purpose)
		if handles[purpose], err = unsealKeyset(master, purpose, row.Sealed); err != nil {
			return nil, err
		}
	}
	return handles, nil
}

func makeMissing(ctx context.Context, pool *pgxpool.Pool, master MasterKey, have map[Purpose]*keyset.Handle) error {
	var p dbq.KeysetMakeParams
	for _, purpose := range purposes { // sorted, so that two processes do not deadlock
		if have[purpose] != nil {
			continue
		}
		handle, err := keyset.NewHandle(template(purpose))
		if err != nil {
			return fmt.Errorf("make keyset %s: %w", purpose, err)
		}
		sealed, err := sealKeyset(master, purpose, handle)
		if err != nil {
			return err
		}
		p.Purposes = append(p.Purposes, string(purpose))
		p.Sealed = append(p.Sealed, sealed)
	}
	if err := dbq.New(pool).KeysetMake(ctx, p); err != nil {
		return fmt.Errorf("make keysets: %w", err)
	}
	return nil
}

func addPrimary(handle *keyset.Handle, purpose Purpose) (*keyset.Handle, error) {
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(template(purpose))
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	return manager.Handle()
}

func replace(ctx context.Context, q *dbq.Queries, master MasterKey, purpose Purpose, handle *keyset.Handle) error {
	sealed, err := sealKeyset(master, purpose, handle)
	if err != nil {
		return err
	}
	_, err = q.KeysetReplace(ctx, dbq.KeysetReplaceParams{Purpose: string(purpose), Sealed: sealed})
	return err
}
