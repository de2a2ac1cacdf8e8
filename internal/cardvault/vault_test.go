package cardvault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type testBundle struct {
	pool   *pgxpool.Pool
	master cardvault.MasterKey
}

func setup(t *testing.T) (*cardvault.Vault, *testBundle) {
	t.Helper()
	b := &testBundle{pool: pgtest.New(t), master: cardvault.NewMasterKey()}
	return b.open(t), b
}

// open gives what another process would have.
func (b *testBundle) open(t *testing.T) *cardvault.Vault {
	t.Helper()
	v, err := cardvault.Open(t.Context(), b.pool, b.master)
	require.NoError(t, err)
	return v
}

func TestSealBindsToKindAndRow(t *testing.T) {
	t.Parallel()
	v, _ := setup(t)
	row := uuid.New()
	sealed, err := v.Seal(cardvault.KindCard, row, []byte("AAAA-BBBB"))
	require.NoError(t, err)
	require.NotContains(t, string(sealed), "AAAA")

	plain, err := v.Unseal(t.Context(), cardvault.KindCard, row, sealed)
	require.NoError(t, err)
	require.Equal(t, "AAAA-BBBB", string(plain))

	damaged := bytes.Clone(sealed)
	damaged[len(damaged)-1] ^= 1
	for name, try := range map[string]struct {
		kind   cardvault.Kind
		row    uuid.UUID
		sealed []byte
	}{
		"another row":  {cardvault.KindCard, uuid.New(), sealed},
		"another kind": {cardvault.KindContact, row, sealed},
		"damaged":      {cardvault.KindCard, row, damaged},
		"cut off":      {cardvault.KindCard, row, sealed[:7]},
		"no key id":    {cardvault.KindCard, row, []byte("AAAA-BBBB")},
		"empty":        {cardvault.KindCard, row, nil},
		"unknown key":  {cardvault.KindCard, row, append([]byte{1, 0, 0, 0, 0}, sealed[5:]...)},
	} {
		_, err := v.Unseal(t.Context(), try.kind, try.row, try.sealed)
		require.ErrorIs(t, err, cardvault.ErrUnseal, name)
		require.NotContains(t, err.Error(), "AAAA", name)
	}
}

func TestSealIsNeverTheSameTwice(t *testing.T) {
	t.Parallel()
	v, _ := setup(t)
	row := uuid.New()
	one, err := v.Seal(cardvault.KindCard, row, []byte("code"))
	require.NoError(t, err)
	two, err := v.Seal(cardvault.KindCard, row, []byte("code"))
	require.NoError(t, err)
	require.NotEqual(t, one, two)
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	sum := v.Fingerprint(cardvault.KindCard, []byte("code"))
	require.Len(t, sum, 16)
	require.NotEqual(t, sum, v.Fingerprint(cardvault.KindContact, []byte("code")), "kinds are apart")
	require.NotEqual(t, sum, v.Fingerprint(cardvault.KindCard, []byte("codf")))

	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeSeal))
	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeToken))
	require.ErrorIs(t, v.Rotate(t.Context(), cardvault.PurposeFingerprint), cardvault.ErrNoRotation)
	require.Equal(t, sum, v.Fingerprint(cardvault.KindCard, []byte("code")))
	require.Equal(t, sum, b.open(t).Fingerprint(cardvault.KindCard, []byte("code")))

	other, _ := setup(t)
	require.NotEqual(t, sum, other.Fingerprint(cardvault.KindCard, []byte("code")), "each database has its own key")
}

func TestOpenRace(t *testing.T) {
	t.Parallel()
	b := &testBundle{pool: pgtest.New(t), master: cardvault.NewMasterKey()}
	vaults := make([]*cardvault.Vault, 4)
	errs := make([]error, len(vaults))
	var opened sync.WaitGroup
	for i := range vaults {
		opened.Go(func() { vaults[i], errs[i] = cardvault.Open(t.Context(), b.pool, b.master) })
	}
	opened.Wait()
	row := uuid.New()
	for i := range vaults {
		require.NoError(t, errs[i])
		sealed, err := vaults[i].Seal(cardvault.KindSMS, row, []byte("text"))
		require.NoError(t, err)
		plain, err := vaults[(i+1)%len(vaults)].Unseal(t.Context(), cardvault.KindSMS, row, sealed)
		require.NoError(t, err)
		require.Equal(t, "text", string(plain))
		require.Equal(t, vaults[0].OrderToken(row), vaults[i].OrderToken(row))
		require.Equal(t, vaults[0].Fingerprint(cardvault.KindSMS, nil), vaults[i].Fingerprint(cardvault.KindSMS, nil))
	}
}

func TestWrongMasterKey(t *testing.T) {
	t.Parallel()
	_, b := setup(t)
	_, err := cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.ErrorIs(t, err, cardvault.ErrWrongMasterKey)
	require.ErrorContains(t, err, "start with the first key")

	_, err = cardvault.Open(t.Context(), b.pool, cardvault.MasterKey{})
	require.ErrorContains(t, err, "no master key")
}

func TestKeysetsDoNotStandInForEachOther(t *testing.T) {
	t.Parallel()
	_, b := setup(t)
	_, err := b.pool.Exec(t.Context(),
		`update keysets set sealed = (select sealed from keysets where purpose = 'token') where purpose = 'seal'`)
	require.NoError(t, err)
	_, err = cardvault.Open(t.Context(), b.pool, b.master)
	require.ErrorIs(t, err, cardvault.ErrWrongMasterKey)
}

func TestRotateSeal(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	other := b.open(t)
	row := uuid.New()
	before, err := v.Seal(cardvault.KindCard, row, []byte("old"))
	require.NoError(t, err)
	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeSeal))
	after, err := v.Seal(cardvault.KindCard, row, []byte("new"))
	require.NoError(t, err)
	require.NotEqual(t, before[:5], after[:5], "the key id changes")

	for _, vault := range []*cardvault.Vault{v, other, b.open(t)} {
		plain, err := vault.Unseal(t.Context(), cardvault.KindCard, row, after)
		require.NoError(t, err, "a process learns of the new key when it meets it")
		require.Equal(t, "new", string(plain))
		plain, err = vault.Unseal(t.Context(), cardvault.KindCard, row, before)
		require.NoError(t, err)
		require.Equal(t, "old", string(plain))
	}
}

// Who has left does not make us read keys for a seal. A token is checked for strangers, who could leave at once and again
// and again, so that nobody would ever learn of a new key: it is read for everybody.
func TestACallerWhoHasLeft(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	other := b.open(t)
	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeSeal))
	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeToken))
	row := uuid.New()
	sealed, err := v.Seal(cardvault.KindCard, row, []byte("new"))
	require.NoError(t, err)
	left, leave := context.WithCancel(t.Context())
	leave()

	_, err = other.Unseal(left, cardvault.KindCard, row, sealed)
	require.ErrorIs(t, err, context.Canceled)
	order, err := other.OrderOfToken(left, v.OrderToken(row))
	require.NoError(t, err)
	require.Equal(t, row, order)
	plain, err := other.Unseal(left, cardvault.KindCard, row, sealed)
	require.NoError(t, err, "the keysets were all read for the token")
	require.Equal(t, "new", string(plain))
}

func TestRotateAtOnceLosesNoKey(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	vaults := []*cardvault.Vault{v, b.open(t), b.open(t)}
	errs := make([]error, len(vaults))
	var rotated sync.WaitGroup
	for i := range vaults {
		rotated.Go(func() { errs[i] = vaults[i].Rotate(t.Context(), cardvault.PurposeToken) })
	}
	rotated.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	keys, err := v.Keys(t.Context())
	require.NoError(t, err)
	count, primary := map[cardvault.Purpose]int{}, map[cardvault.Purpose]int{}
	for _, key := range keys {
		count[key.Purpose]++
		if key.Primary {
			primary[key.Purpose]++
		}
	}
	require.Equal(t, map[cardvault.Purpose]int{"seal": 1, "fingerprint": 1, "token": 4}, count)
	require.Equal(t, map[cardvault.Purpose]int{"seal": 1, "fingerprint": 1, "token": 1}, primary)
	require.Error(t, v.Rotate(t.Context(), "nonsense"))
}

func TestReplaceMaster(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	row := uuid.New()
	sealed, err := v.Seal(cardvault.KindCard, row, []byte("code"))
	require.NoError(t, err)
	next := cardvault.NewMasterKey()
	require.ErrorIs(t, cardvault.ReplaceMaster(t.Context(), b.pool, next, b.master), cardvault.ErrWrongMasterKey)
	require.NoError(t, cardvault.ReplaceMaster(t.Context(), b.pool, b.master, next))
	_, err = cardvault.Open(t.Context(), b.pool, b.master)
	require.ErrorIs(t, err, cardvault.ErrWrongMasterKey)
	again, err := cardvault.Open(t.Context(), b.pool, next)
	require.NoError(t, err)
	plain, err := again.Unseal(t.Context(), cardvault.KindCard, row, sealed)
	require.NoError(t, err)
	require.Equal(t, "code", string(plain))
}

func TestOrderToken(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	other := b.open(t)
	id := uuid.Must(uuid.NewV7())
	token := v.OrderToken(id)
	require.Regexp(t, `^[A-Za-z0-9_-]{50}$`, token)
	require.Equal(t, token, v.OrderToken(id))

	got, err := v.OrderOfToken(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, id, got)

	require.NoError(t, v.Rotate(t.Context(), cardvault.PurposeToken))
	fresh := v.OrderToken(id)
	require.NotEqual(t, token, fresh)
	for _, vault := range []*cardvault.Vault{v, other} {
		for _, token := range []string{token, fresh} {
			got, err := vault.OrderOfToken(t.Context(), token)
			require.NoError(t, err, "old and new tokens open the order, also where the rotation was not done")
			require.Equal(t, id, got)
		}
	}
}

func TestOrderTokenRefused(t *testing.T) {
	t.Parallel()
	v, _ := setup(t)
	stranger, _ := setup(t)
	token := v.OrderToken(uuid.New())
	bad := []string{"", " ", token + "A", token[:49], token[:48] + "\r\n", "====", stranger.OrderToken(uuid.New())}
	for i := range token { // each single character counts, and no character has two spellings
		for _, c := range []byte("AZaz09-_") {
			if token[i] != c {
				bad = append(bad, token[:i]+string(c)+token[i+1:])
			}
		}
	}
	for _, token := range bad {
		_, err := v.OrderOfToken(t.Context(), token)
		require.True(t, fault.HasCode(err, "access_token_invalid"), "%q: %v", token, err)
		f, _ := fault.As(err)
		require.Equal(t, fault.Unauthenticated, f.Kind)
	}
}

func FuzzOrderOfToken(f *testing.F) {
	v, err := cardvault.Open(context.Background(), pgtest.New(f), cardvault.NewMasterKey())
	require.NoError(f, err)
	token := v.OrderToken(uuid.New())
	f.Add(token)
	f.Add(token[:49] + "A")
	f.Add("")
	f.Fuzz(func(t *testing.T, guess string) {
		id, err := v.OrderOfToken(t.Context(), guess)
		if guess == token {
			require.NoError(t, err)
			return
		}
		require.True(t, fault.HasCode(err, "access_token_invalid"), "%q opens %s: %v", guess, id, err)
	})
}

func TestMasterKeyParse(t *testing.T) {
	t.Parallel()
	key := cardvault.NewMasterKey()
	revealed := key.Reveal()
	require.Len(t, revealed, 44)
	for _, text := range []string{revealed, revealed[:43], " " + revealed + "\n"} {
		parsed, err := cardvault.ParseMasterKey(text)
		require.NoError(t, err)
		require.True(t, parsed.Equal(key))
	}
	require.False(t, key.Equal(cardvault.NewMasterKey()))
	require.False(t, key.Equal(cardvault.MasterKey{}))
	url, err := cardvault.ParseMasterKey("__________________________________________8")
	require.NoError(t, err)
	require.Equal(t, "//////////////////////////////////////////8=", url.Reveal())

	for _, text := range []string{"", "secret", revealed[:40], revealed + revealed, key.String()} {
		_, err := cardvault.ParseMasterKey(text)
		require.ErrorContains(t, err, "32 bytes in base64")
		if text != "" {
			require.NotContains(t, err.Error(), text)
		}
	}
}

func TestMasterKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	v, b := setup(t)
	type config struct {
		Key    cardvault.MasterKey `json:"key"`
		hidden cardvault.MasterKey
	}
	c := config{Key: b.master, hidden: b.master}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", b.master)
		fmt.Fprintf(&out, verb+"\n", &b.master)
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", c.hidden)
	}
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	logger.Info("start", "key", b.master, "config", c, "vault", v)
	logger = slog.New(slog.NewTextHandler(&out, nil))
	logger.Info("start", "key", b.master, "config", c, "vault", v)
	require.NoError(t, json.NewEncoder(&out).Encode(c))

	raw := new(cardvault.MasterKey)
	require.NoError(t, raw.UnmarshalText([]byte(b.master.Reveal())))
	require.True(t, raw.Equal(b.master))
	for _, secret := range secretForms(t, b.master) {
		require.NotContains(t, out.String(), secret)
	}
	require.Contains(t, out.String(), "[redacted]")
}
