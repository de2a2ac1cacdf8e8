package cardvault

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
)

const (
	masterKeyBytes = 32
	redacted       = "[redacted]"
)

// MasterKey seals the data keys. It lives in the configuration only, never in the database. However it is printed,
// logged or marshalled, it shows "[redacted]"; Reveal alone gives the key. The zero value is no key.
type MasterKey struct {
	// A function, because fmt prints an unexported field of somebody else's struct without asking String, and with %s
	// it follows even pointers.
	key func() [masterKeyBytes]byte
}

// NewMasterKey makes a key from the system's random source.
func NewMasterKey() MasterKey {
	var key [masterKeyBytes]byte
	_, _ = rand.Read(key[:]) // never fails: the program ends where there is no randomness
	return masterKeyOf(key)
}

// ParseMasterKey reads what Reveal wrote: 32 bytes in base64, of either alphabet, padded or not. The error never holds
// any part of s.
func ParseMasterKey(s string) (MasterKey, error) {
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(s), "="))
	raw, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil || len(raw) != masterKeyBytes {
		return MasterKey{}, errors.New("the master key must be 32 bytes in base64 (44 characters); " +
			"make one with: openssl rand -base64 32")
	}
	return masterKeyOf([masterKeyBytes]byte(raw)), nil
}

func masterKeyOf(key [masterKeyBytes]byte) MasterKey {
	return MasterKey{key: func() [masterKeyBytes]byte { return key }}
}

// Reveal gives the key itself, in base64, for the one who has just made it to put it away.
func (k MasterKey) Reveal() string {
	if k.IsZero() {
		return ""
	}
	key := k.key()
	return base64.StdEncoding.EncodeToString(key[:])
}

// IsZero says whether there is no key.
func (k MasterKey) IsZero() bool { return k.key == nil }

// Equal says whether both are the same key.
func (k MasterKey) Equal(other MasterKey) bool {
	return k.IsZero() == other.IsZero() && (k.IsZero() || k.key() == other.key())
}

// String hides the key.
func (MasterKey) String() string { return redacted }

// GoString hides the key from %#v.
func (MasterKey) GoString() string { return redacted }

// LogValue hides the key from slog.
func (MasterKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText hides the key from JSON, YAML and whatever else prints a configuration.
func (MasterKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// UnmarshalText is ParseMasterKey, for flags and environment variables.
func (k *MasterKey) UnmarshalText(text []byte) error {
	parsed, err := ParseMasterKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}
