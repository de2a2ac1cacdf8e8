package cardvault_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
)

// secretForms are the beginnings of a key as fmt, JSON and base64 would spell it.
func secretForms(t *testing.T, key cardvault.MasterKey) []string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key.Reveal())
	require.NoError(t, err)
	raw = raw[:6]
	list := strings.Trim(fmt.Sprintf("%v", raw), "[]")
	return []string{
		key.Reveal()[:8],
		string(raw),
		list,
		strings.ReplaceAll(list, " ", ","),
		hex.EncodeToString(raw),
		strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", raw), "[]byte{"), "}"),
	}
}
