package console

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// Everything is said in both languages, and templates say nothing that is not there.
func TestTextsAreComplete(t *testing.T) {
	t.Parallel()
	for key, s := range texts.States {
		require.Contains(t, []string{"wait", "ok", "warn", "end"}, s.Tone, key)
		for _, text := range []both{s.Title, s.Text, s.Help} {
			require.NotEmpty(t, text.EN, key)
			require.Regexp(t, `\p{Han}`, text.ZH, key)
		}
	}
	for key, word := range texts.Words {
		require.NotEmpty(t, word.EN, key)
		require.NotEmpty(t, word.ZH, key)
	}
	for _, name := range []string{"frame.html", "buyer.html", "problem.html"} {
		text, err := os.ReadFile("templates/" + name)
		require.NoError(t, err)
		for _, used := range regexp.MustCompile(`\.T "(\w+)"`).FindAllSubmatch(text, -1) {
			require.Contains(t, texts.Words, string(used[1]), name)
		}
		for _, asset := range regexp.MustCompile(`Asset "([\w.]+)"`).FindAllSubmatch(text, -1) {
			require.Contains(t, assetNames, string(asset[1]), name)
		}
	}
}

func TestSupport(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://shop.example/help": "https://shop.example/help", "help@shop.example": "mailto:help@shop.example",
		"+86 (400) 123-4567": "tel:+864001234567", "WeChat: shop123456": "", "": "", "javascript:alert(1)": "",
	} {
		require.Equal(t, want, string(supportOf(text).Link), text)
	}
}
