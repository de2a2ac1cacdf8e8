package cardvault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Purpose names a keyset.
type Purpose string

// The keysets, by their name in table keysets.
const (
	PurposeSeal        Purpose = "seal"
	PurposeFingerprint Purpose = "fingerprint"
	PurposeToken       Purpose = "token"
)

var purposes = []Purpose{PurposeFingerprint, PurposeSeal, PurposeToken}

// ErrWrongMasterKey says that the keysets of this database were sealed with another master key.
var ErrWrongMasterKey = errors.New("the master key is not the one this database was set up with: " +
	"start with the first key, or restore it from where you keep it; " +
	"without it nothing that is sealed (card codes, contacts, signing secrets) can be read again")

// Every seal and MAC by a Tink key begins with a version byte and the key's id (Tink wire format, "TINK" prefix).
const (
	keyPrefixBytes   = 5
	keyPrefixVersion = 1
)

// keys are the keysets, open. They are replaced as a whole, never changed.
type keys struct {
	handles map[Purpose]*keyset.Handle
	aead    tink.AEAD
	prf     *prf.Set
	mac     tink.MAC
}

func newKeys(handles map[Purpose]*keyset.Handle) (*keys, error) {
	k := &keys{handles: handles}
	var err error
	if k.aead, err = aead.New(handles[PurposeSeal]); err != nil {
		return nil, fmt.Errorf("keyset %s: %w", PurposeSeal, err)
	}
	if k.prf, err = prf.NewPRFSet(handles[PurposeFingerprint]); err != nil {
		return nil, fmt.Errorf("keyset %s: %w", PurposeFingerprint, err)
	}
	if k.mac, err = mac.New(handles[PurposeToken]); err != nil {
		return nil, fmt.Errorf("keyset %s: %w", PurposeToken, err)
	}
	return k, nil
}

// knows says whether data was made by one of the keyset's keys, going by the id it begins with. What begins with no id
// is made by none and needs no looking for: it counts as known, and fails to verify.
func (k *keys) knows(purpose Purpose, data []byte) bool {
	if len(data) < keyPrefixBytes || data[0] != keyPrefixVersion {
		return true
	}
	id := binary.BigEndian.Uint32(data[1:keyPrefixBytes])
	for _, key := range k.handles[purpose].KeysetInfo().GetKeyInfo() {
		if key.GetKeyId() == id {
			return true
		}
	}
	return false
}

func template(purpose Purpose) *tink_go_proto.KeyTemplate {
	switch purpose {
	case PurposeSeal:
		return aead.AES256GCMKeyTemplate()
	case PurposeFingerprint:
		return prf.HMACSHA256PRFKeyTemplate()
	case PurposeToken:
		return mac.HMACSHA256Tag128KeyTemplate()
	default:
		panic("cardvault: no keyset " + string(purpose))
	}
}

func (k MasterKey) aead() (tink.AEAD, error) {
	key := k.key()
	return subtle.NewAESGCM(key[:])
}

// sealKeyset gives a keyset as it is stored: sealed by the master key and bound to its purpose.
func sealKeyset(master MasterKey, purpose Purpose, handle *keyset.Handle) ([]byte, error) {
	wrap, err := master.aead()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&out), wrap, []byte(purpose)); err != nil {
		return nil, fmt.Errorf("seal keyset %s: %w", purpose, err)
	}
	return out.Bytes(), nil
}

func unsealKeyset(master MasterKey, purpose Purpose, sealed []byte) (*keyset.Handle, error) {
	wrap, err := master.aead()
	if err != nil {
		return nil, err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(sealed)), wrap, []byte(purpose))
	if err != nil {
		return nil, fmt.Errorf("keyset %s does not open: %w", purpose, ErrWrongMasterKey)
	}
	return handle, nil
}
