package sms_test

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/sms"
)

func TestSegments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		encoding   sms.Encoding
		n          int
	}{
		{"empty", "", sms.GSM7, 0},
		{"one", "a", sms.GSM7, 1},
		{"160 fit", strings.Repeat("a", 160), sms.GSM7, 1},
		{"161 need two", strings.Repeat("a", 161), sms.GSM7, 2},
		{"306 fit into two", strings.Repeat("a", 306), sms.GSM7, 2},
		{"307 need three", strings.Repeat("a", 307), sms.GSM7, 3},
		{"basic beyond ASCII", "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà", sms.GSM7, 1},
		{"the extension counts twice", strings.Repeat("€", 80), sms.GSM7, 1},
		{"81 of the extension are 162", strings.Repeat("€", 81), sms.GSM7, 2},
		{"each of the extension", strings.Repeat("\f^{}\\[~]|€", 8), sms.GSM7, 1},
		{"each of the extension and one", strings.Repeat("\f^{}\\[~]|€", 8) + "a", sms.GSM7, 2},
		{"an escape is not split at 153", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 151), sms.GSM7, 2},
		{"and moves what follows", strings.Repeat("a", 152) + "€" + strings.Repeat("a", 152), sms.GSM7, 3},
		{"a backtick is not in GSM-7", "`", sms.UCS2, 1},
		{"nor a small c with cedilla", "ç", sms.UCS2, 1},
		{"70 Chinese fit", strings.Repeat("中", 70), sms.UCS2, 1},
		{"71 need two", strings.Repeat("中", 71), sms.UCS2, 2},
		{"134 fit into two", strings.Repeat("中", 134), sms.UCS2, 2},
		{"135 need three", strings.Repeat("中", 135), sms.UCS2, 3},
		{"the signature's brackets force UCS-2", "【vendbox】" + strings.Repeat("a", 61), sms.UCS2, 1},
		{"and count", "【vendbox】" + strings.Repeat("a", 62), sms.UCS2, 2},
		{"one character makes all UCS-2", strings.Repeat("a", 70) + "’", sms.UCS2, 2},
		{"an emoji is two units", strings.Repeat("🎁", 35), sms.UCS2, 1},
		{"36 are 72", strings.Repeat("🎁", 36), sms.UCS2, 2},
		{"a pair is not split at 67", strings.Repeat("中", 66) + "🎁" + strings.Repeat("中", 65), sms.UCS2, 2},
		{"and moves what follows too", strings.Repeat("中", 66) + "🎁" + strings.Repeat("中", 66), sms.UCS2, 3},
	} {
		encoding, n := sms.Segments(c.text)
		require.Equal(t, c.encoding, encoding, c.name)
		require.Equal(t, c.n, n, c.name)
	}
}

func FuzzSegments(f *testing.F) {
	f.Add("【vendbox】hello €")
	f.Fuzz(func(t *testing.T, text string) {
		encoding, n := sms.Segments(text)
		units := len(utf16.Encode([]rune(text)))
		if encoding == sms.GSM7 {
			require.LessOrEqual(t, n, 2*len(text)/152+1)
			return
		}
		require.GreaterOrEqual(t, n*70, units, "they hold the text")
		require.LessOrEqual(t, n, units/66+1, "and not much more")
	})
}
