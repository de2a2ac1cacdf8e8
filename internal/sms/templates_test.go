package sms

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx := t.Context()
	tpl := b.template(t, "order.paid", "en", "paid {{total}}")
	got, err := b.Template(ctx, tpl.ID)
	require.NoError(t, err)
	require.Equal(t, tpl, got)

	_, err = b.CreateTemplate(ctx, NewTemplate{EventType: "order.paid", Locale: "en", Body: "x"})
	require.True(t, fault.HasCode(err, "sms_template_exists"), "%v", err)

	patched, err := b.PatchTemplate(ctx, tpl.ID, TemplatePatch{Body: new("now {{url}}"), ProviderRef: new("SMS_1"), Enabled: new(false)})
	require.NoError(t, err)
	require.Equal(t, []any{"now {{url}}", "SMS_1", false, false},
		[]any{patched.Body, patched.ProviderRef, patched.Enabled, patched.ResendUnknown})
	_, err = b.PatchTemplate(ctx, tpl.ID, TemplatePatch{Body: new("{{nope}}")})
	require.True(t, fault.HasCode(err, "sms_template_invalid"))
	got, err = b.Template(ctx, tpl.ID)
	require.NoError(t, err)
	require.Equal(t, patched, got, "a refused patch changes nothing")

	second := b.template(t, "shop.a", "zh", "x")
	third := b.template(t, "shop.a", "en", "x")
	page, next, err := b.Templates(ctx, "", "", 2)
	require.NoError(t, err)
	require.Equal(t, []Template{third, second}, page)
	page, next, err = b.Templates(ctx, "", next, 2)
	require.NoError(t, err)
	require.Equal(t, []Template{patched}, page)
	require.Empty(t, next)
	page, _, err = b.Templates(ctx, "shop.a", "", 0)
	require.NoError(t, err)
	require.Len(t, page, 2)
	_, _, err = b.Templates(ctx, "", "!", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"))

	require.NoError(t, b.DeleteTemplate(ctx, tpl.ID))
	for _, err := range []error{
		b.DeleteTemplate(ctx, tpl.ID),
		second2(b.Template(ctx, tpl.ID)),
		second2(b.PatchTemplate(ctx, tpl.ID, TemplatePatch{})),
	} {
		require.True(t, fault.HasCode(err, "sms_template_not_found"), "%v", err)
	}
}

func second2[T any](_ T, err error) error { return err }

func TestTemplateIsChecked(t *testing.T) {
	t.Parallel()
	good := NewTemplate{EventType: "order.paid", Locale: "en", Body: "x"}
	for reason, spoil := range map[string]func(*NewTemplate){
		"event_type_malformed":         func(n *NewTemplate) { n.EventType = "Paid" },
		"event_type_without_recipient": func(n *NewTemplate) { n.EventType = "product.created" },
		"locale_unknown":               func(n *NewTemplate) { n.Locale = "fr" },
		"body_length":                  func(n *NewTemplate) { n.Body = strings.Repeat("中", 1001) },
		"provider_ref_length":          func(n *NewTemplate) { n.ProviderRef = strings.Repeat("x", 101) },
		"unbalanced_braces":            func(n *NewTemplate) { n.Body = "{{url" },
		"unknown_variable":             func(n *NewTemplate) { n.Body = "{{phone}}" },
		"variable_malformed":           func(n *NewTemplate) { n.Body = "{{a b}}" },
	} {
		n := good
		require.NoError(t, checkTemplate(n))
		spoil(&n)
		f, ok := fault.As(checkTemplate(n))
		require.True(t, ok, reason)
		require.Equal(t, reason, f.Params["reason"])
	}
	for _, body := range []string{"", "a\x00b", "\xff"} {
		n := good
		n.Body = body
		require.Error(t, checkTemplate(n), "%q", body)
	}
	n := good
	n.Body = strings.Repeat("中", 1000)
	require.NoError(t, checkTemplate(n))
}

func TestMessagesPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.template(t, "order.completed", "en", "x")
	order := b.order(t, number, "en")
	events := b.events(t, "order.completed", "en", `{}`, order, order, order, b.order(t, number, "en"))
	require.Len(t, b.relay(t, events), 4)
	_, err := b.pool.Exec(t.Context(), `update sms_messages set status = 'failed', finished_at = now() where event_id = any($1)`,
		[]uuid.UUID{events[0].ID, events[3].ID})
	require.NoError(t, err)
	for _, c := range []struct {
		filter MessageFilter
		want   int
	}{
		{MessageFilter{}, 4},
		{MessageFilter{Status: StatusFailed}, 2},
		{MessageFilter{OrderID: order}, 3},
		{MessageFilter{OrderID: order, Status: StatusFailed}, 1},
		{MessageFilter{OrderID: uuid.New()}, 0},
	} {
		var all []Message
		cursor := ""
		for {
			page, next, err := b.Messages(t.Context(), c.filter, cursor, 1)
			require.NoError(t, err)
			all = append(all, page...)
			if cursor = next; next == "" {
				break
			}
		}
		require.Len(t, all, c.want, "%+v", c.filter)
		for i := 1; i < len(all); i++ {
			require.Greater(t, all[i-1].ID.String(), all[i].ID.String(), "newest first")
		}
	}
	_, _, err = b.Messages(t.Context(), MessageFilter{}, "x", 1)
	require.True(t, fault.HasCode(err, "cursor_invalid"))
	_, err = b.Message(t.Context(), uuid.New())
	require.True(t, fault.HasCode(err, "sms_message_not_found"))
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := NewService(Config{
		PublicURL: "shop", MaxAttempts: 99, RetryBase: time.Hour, RetryCap: time.Second, MaxAge: -1, MaxSegments: -1,
	}, Deps{})
	for _, problem := range []string{"public URL", "max attempts", "retries", "max age", "max segments"} {
		require.ErrorContains(t, err, problem)
	}
}
