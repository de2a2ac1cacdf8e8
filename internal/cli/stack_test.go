package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/config"
)

func TestPaymentChannelsComeFromFileAndFlag(t *testing.T) {
	t.Parallel()
	s := &stack{cfg: config.Defaults()}
	channels, err := s.paymentChannels()
	require.NoError(t, err)
	require.Empty(t, channels)

	s.cfg.Channels = filepath.Join(t.TempDir(), "channels.json")
	s.cfg.SandboxSecret = config.NewSecret("secret")
	_, err = s.paymentChannels()
	require.ErrorContains(t, err, "payment-channels: ")
	require.NoError(t, os.WriteFile(s.cfg.Channels, []byte(`{"channels":[{"type":"epay","accounts":[
		{"name":"a","pid":"1","keys":["k"],"base_url":"https://pay.example"}]}]}`), 0o600))
	channels, err = s.paymentChannels()
	require.NoError(t, err)
	require.Len(t, channels, 2)
	require.Equal(t, "epay", channels[0].Name())
	require.Equal(t, "sandbox", channels[1].Name())
	require.NoError(t, os.WriteFile(s.cfg.Channels, []byte(`{"channels":[{"type":"paypal"}]}`), 0o600))
	_, err = s.paymentChannels()
	require.ErrorContains(t, err, `"paypal" is not one of`)
}
