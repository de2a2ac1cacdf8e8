package cardvault

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
)

const (
	tagBytes   = keyPrefixBytes + 16
	tokenBytes = 16 + tagBytes
)

// Strict, so that no two texts are the same token.
var tokenEncoding = base64.RawURLEncoding.Strict()

// OrderToken gives the token that opens an order to its buyer: base64url of the id and a MAC over it, 50 characters.
// Nothing is stored, and the same key gives the same token again.
func (v *Vault) OrderToken(id uuid.UUID) string {
	tag, err := v.keys.Load().mac.ComputeMAC(tokenInput(id))
	if err != nil || len(tag) != tagBytes {
		panic(fmt.Sprintf("cardvault: a MAC of %d bytes: %v", len(tag), err)) // the template fixes it
	}
	return tokenEncoding.EncodeToString(append(id[:], tag...))
}

// OrderOfToken gives the order that a token opens. Every enabled key verifies, in constant time. A token that is not
// ours gives the fault access_token_invalid.
func (v *Vault) OrderOfToken(ctx context.Context, token string) (uuid.UUID, error) {
	invalid := fault.New(fault.Unauthenticated, "access_token_invalid")
	if len(token) != tokenEncoding.EncodedLen(tokenBytes) {
		return uuid.Nil, invalid
	}
	raw, err := tokenEncoding.DecodeString(token)
	if err != nil || len(raw) != tokenBytes { // the decoder skips line ends, so the length is checked again
		return uuid.Nil, invalid
	}
	id, tag := uuid.UUID(raw[:16]), raw[16:]
	k, err := v.keysKnowing(ctx, PurposeToken, tag)
	if err != nil {
		return uuid.Nil, err
	}
	if err := k.mac.VerifyMAC(tag, tokenInput(id)); err != nil {
		return uuid.Nil, invalid
	}
	return id, nil
}

// tokenInput names what the token is for, so that the same key may one day sign other tokens.
func tokenInput(id uuid.UUID) []byte { return append([]byte("order\x00"), id[:]...) }
