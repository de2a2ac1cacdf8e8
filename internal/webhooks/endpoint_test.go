package webhooks

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
)

func TestEndpointLife(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx := t.Context()

	created, secret, err := b.CreateEndpoint(ctx, NewEndpoint{
		URL: "https://example.com/h?k=v", Description: "ERP", EventTypes: []string{"order.paid", "order.paid"},
	})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(secret.Secret, "whsec_"))
	raw, err := base64.StdEncoding.DecodeString(secret.Secret[len("whsec_"):])
	require.NoError(t, err)
	require.Len(t, raw, 32)
	got, err := b.Endpoint(ctx, created.ID)
	require.NoError(t, err)
	require.Equal(t, created, got)
	require.Equal(t, []string{"order.paid"}, got.EventTypes)

	changed, err := b.UpdateEndpoint(ctx, created.ID, EndpointPatch{Description: new("CRM"), EventTypes: &[]string{"*"}, Enabled: new(false)})
	require.NoError(t, err)
	require.Equal(t, EndpointDisabled, changed.Status)
	require.Equal(t, ReasonOperator, changed.DisabledReason)
	require.Equal(t, "https://example.com/h?k=v", changed.URL)
	_, err = b.SendTest(ctx, created.ID, "")
	require.True(t, fault.HasCode(err, "webhook_endpoint_disabled"))
	changed, err = b.EnableEndpoint(ctx, created.ID)
	require.NoError(t, err)
	require.Equal(t, EndpointEnabled, changed.Status)
	require.Empty(t, changed.DisabledReason)

	_, err = b.UpdateEndpoint(ctx, created.ID, EndpointPatch{URL: new("https://10.0.0.1")})
	require.True(t, fault.HasCode(err, "webhook_url_refused"))
	_, err = b.UpdateEndpoint(ctx, created.ID, EndpointPatch{EventTypes: &[]string{}})
	require.True(t, fault.HasCode(err, "webhook_event_types_invalid"))
	_, err = b.UpdateEndpoint(ctx, created.ID, EndpointPatch{Description: new(strings.Repeat("é", 501))})
	require.True(t, fault.HasCode(err, "webhook_description_invalid"))
	_, _, err = b.CreateEndpoint(ctx, NewEndpoint{URL: "http://example.com", EventTypes: []string{"*"}})
	require.True(t, fault.HasCode(err, "webhook_url_refused"))

	require.NoError(t, b.DeleteEndpoint(ctx, created.ID))
	for _, err := range []error{
		b.DeleteEndpoint(ctx, created.ID),
		second(b.Endpoint(ctx, created.ID)),
		second(b.EnableEndpoint(ctx, created.ID)),
		second(b.SendTest(ctx, created.ID, "")),
		second(b.RotateSecret(ctx, created.ID, nil)),
		second(b.Endpoint(ctx, uuid.New())),
	} {
		require.True(t, fault.HasCode(err, "webhook_endpoint_not_found"), "%v", err)
	}
	require.Zero(t, b.count(t, `select count(*) from webhook_secrets`))
}

func second[T any](_ T, err error) error { return err }

func TestEndpointsArePaged(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	var want []uuid.UUID
	for range 5 {
		e, _ := b.endpoint(t, "https://example.com")
		want = append([]uuid.UUID{e.ID}, want...)
	}
	require.NoError(t, b.DeleteEndpoint(t.Context(), want[2]))
	want = append(want[:2:2], want[3:]...)

	var got []uuid.UUID
	cursor, pages := "", 0
	for {
		page, next, err := b.Endpoints(t.Context(), cursor, 2)
		require.NoError(t, err)
		pages++
		for _, e := range page {
			got = append(got, e.ID)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Equal(t, want, got)
	require.Equal(t, 2, pages)
	_, _, err := b.Endpoints(t.Context(), "x", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"), "%v", err)
}

// Promise I12: the secret stands nowhere but sealed.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	e, secret := b.endpoint(t, "https://example.com")
	key := keyOf(t, secret)
	require.Zero(t, b.count(t, `select count(*) from webhook_secrets
		where position($1::bytea in sealed) > 0 or position(convert_to($2, 'UTF8') in sealed) > 0`, key, secret))
	require.Equal(t, "[redacted]", Secret{Secret: secret}.String())

	for range 6 {
		_, err := b.RotateSecret(t.Context(), e.ID, nil)
		require.NoError(t, err)
	}
	const valid = `select count(*) from webhook_secrets where expires_at is null or expires_at > now()`
	require.Equal(t, keptSecrets+1, b.count(t, valid),
		"signatures stay bounded however often one rotates")
	_, err := b.RotateSecret(t.Context(), e.ID, new(time.Duration(0)))
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, valid), "no overlap: a leaked one")
	_, err = b.RotateSecret(t.Context(), e.ID, new(MaxSecretOverlap+1))
	require.True(t, fault.HasCode(err, "webhook_overlap_invalid"))
}

func TestTestEventGoesToOneEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, local())
	sub := subscribe(t, always(http.StatusOK))
	e, _ := b.endpoint(t, sub.URL+"/tested", "order.paid")
	b.endpoint(t, sub.URL+"/other", "*")

	id, err := b.SendTest(t.Context(), e.ID, "")
	require.NoError(t, err)
	jobs := b.relay(t, b.take())
	require.Len(t, jobs, 1)
	require.NoError(t, b.work(t, jobs[0].Args.(Args), 1))
	require.Len(t, sub.requests(), 1)
	require.Equal(t, "/tested", sub.requests()[0].path)
	require.Equal(t, "msg_"+id.String(), sub.requests()[0].header.Get("Webhook-Id"))
	require.Contains(t, string(sub.requests()[0].body), `"type":"webhook.test"`)
}
