package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

const (
	tokenMark    = "vb_"
	prefixLength = 8
	secretBytes  = 20
	secretLength = secretBytes * 8 / 5
	tokenLength  = len(tokenMark) + prefixLength + 1 + secretLength
)

// alphabet is base32's order of letters and digits without those that look alike (i, l, o, u).
var alphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newToken makes a key's prefix and secret.
func newToken() (prefix, secret string) {
	var random [5 + secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails: it would end the program
	return alphabet.EncodeToString(random[:5]), alphabet.EncodeToString(random[5:])
}

// splitToken takes vb_<prefix>_<secret> apart.
func splitToken(token string) (prefix, secret string, ok bool) {
	if len(token) != tokenLength || !strings.HasPrefix(token, tokenMark) {
		return "", "", false
	}
	prefix, secret, ok = strings.Cut(token[len(tokenMark):], "_")
	return prefix, secret, ok && len(prefix) == prefixLength && strings.Trim(prefix, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

func joinToken(prefix, secret string) string { return tokenMark + prefix + "_" + secret }

func hashSecret(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
