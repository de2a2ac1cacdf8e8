package gateways_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/gateways"
)

func parse(t *testing.T, text string, env map[string]string) ([]payments.Channel, error) {
	t.Helper()
	return gateways.Parse([]byte(text), gateways.Deps{
		PublicURL: "https://shop.example", Now: time.Now,
		Getenv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	})
}

func TestCredentialsComeFromElsewhere(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(epayKey+"\n"), 0o600))
	for _, key := range []string{`"` + epayKey + `"`, `{"env":"KEY"}`, fmt.Sprintf(`{"file":%q}`, file)} {
		channels, err := parse(t, fmt.Sprintf(`{"channels":[{"type":"epay","name":"epay_b","accounts":[
			{"name":"shop","pid":%q,"keys":[%s],"base_url":"https://pay.example"}]}]}`, epayPID, key), map[string]string{"KEY": epayKey})
		require.NoError(t, err)
		require.Equal(t, "epay_b", channels[0].Name())
		form := epayForm(attemptOf(t, channels[0], "CNY"), 1, "WAIT_BUYER_PAY")
		_, err = channels[0].Verify(t.Context(), payments.Callback{Query: form.Encode()})
		require.NoError(t, err)
	}
}

// What the documentation shows must work.
func TestTheDocumentedFileIsValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../docs/payments.md")
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	dir := t.TempDir()
	example = strings.ReplaceAll(example, "/etc/vendbox", dir)
	for name, key := range map[string]string{
		"alipay-app.pem": privatePEM(ourKey()), "wechat-merchant.pem": privatePEM(ourKey()),
		"alipay-public.pem": publicBase64(gatewayKey()), "wechat-public.pem": publicBase64(gatewayKey()),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(key), 0o600))
	}
	channels, err := parse(t, example, map[string]string{
		"STRIPE_SECRET_KEY": stripeKey, "STRIPE_WEBHOOK_SECRET": stripeSecret, "WECHAT_API_V3_KEY": wechatV3Key, "EPAY_KEY": epayKey,
	})
	require.NoError(t, err)
	require.Len(t, channels, 4)
}

func TestEveryProblemIsListed(t *testing.T) {
	t.Parallel()
	const leak = "do-not-print-me"
	_, err := parse(t, `{"channels":[
		{"type":"stripe","accounts":[{"name":"a b","currencies":["isk","UGX"],"secret_key":{"env":"NOPE"},"webhook_secrets":[]}]},
		{"type":"alipay","accounts":[
			{"name":"x","app_id":"","seller_id":"1","private_key":"`+leak+`","alipay_public_keys":["`+leak+`"],"currencies":["USD"]},
			{"name":"x","app_id":"1","seller_id":"1","private_key":{"file":"/nowhere/key"},"alipay_public_keys":[{"env":"E","file":"F"}]}]},
		{"type":"wechat","accounts":[{"name":"x","api_v3_keys":["`+leak+`"],"platform_keys":[{"key":"`+leak+`"}]}]},
		{"type":"epay","name":"Epay","accounts":[{"name":"x","pid":"1","keys":[""]},{"name":"y","pid":"1","keys":["k"],"base_url":"ftp://x"}]},
		{"type":"epay","accounts":[{"neme":"x"}]},
		{"type":"epay","accounts":[]},
		{"type":"sandbox","return_url":"nowhere"}]}`, nil)
	require.Error(t, err)
	require.NotContains(t, err.Error(), leak)
	for _, problem := range []string{
		"channels[0].return_url: is missing", `channels[0].accounts[0].name: 1 to 100`, `"isk" is no currency`, "UGX is not supported",
		"channels[0].accounts[0].secret_key: the environment has no NOPE", "channels[0].accounts[0].webhook_secrets: name at least one",
		"channels[1].accounts[0].app_id: is missing", "channels[1].accounts[0].private_key: neither PEM",
		"channels[1].accounts[0].alipay_public_keys: neither PEM", "channels[1].accounts[0].currencies: this gateway takes CNY only",
		`channels[1].accounts[1]: /alipay_public_keys/0: want "value", {"env":"NAME"} or {"file":"PATH"}`,
		"channels[2].accounts[0].mchid: is missing", "channels[2].accounts[0].api_v3_keys: want 32", "channels[2].accounts[0].platform_keys: ne",
		"channels[3].name: lower-case", "channels[3].accounts[0].base_url: is missing", "channels[3].accounts[0].keys: is empty",
		"channels[3].accounts[1].name: an earlier account has the same ids", "channels[3].accounts[1].base_url: want http",
		"channels[4].accounts[0]: /neme", `channels[5].name: "epay" is taken`, "channels[5].accounts: name at least one",
		`channels[6].name: "sandbox" is taken`, "channels[6].return_url: want http", `channels[6].type: "sandbox" is not one of`,
	} {
		require.ErrorContains(t, err, problem)
	}
	for _, text := range []string{``, `{}`, `{"channels":[],"channels":[]}`, `{"channels":[]} x`, `{"Channels":[]}`} {
		_, err := parse(t, text, nil)
		require.Error(t, err, text)
	}
}

func TestWhereNoAccountWillDo(t *testing.T) {
	t.Parallel()
	c := stripeChannel(t, "https://stripe.example")
	attempt := attemptOf(t, c, "EUR")
	attempt.Amount.Currency = "CNY"
	_, err := c.Account(attempt)
	requireCode(t, err, "payment_currency_unsupported")
}

func TestCredentialIsNotPrinted(t *testing.T) {
	t.Parallel()
	var c gateways.Credential
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		require.Equal(t, "[redacted]", fmt.Sprintf(verb, c))
	}
	text, err := json.Marshal(map[string]any{"key": c})
	require.NoError(t, err)
	require.JSONEq(t, `{"key":"[redacted]"}`, string(text))
	require.Equal(t, "[redacted]", c.LogValue().String())
}
