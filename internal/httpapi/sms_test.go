package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/sms"
)

const (
	smsReader = "sms:read"
	smsWriter = "sms:write"
)

func newSMSServer(t *testing.T) (*testServer, *pgxpool.Pool, *sms.Sandbox) {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	jobs, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: pgdb.DefaultSchema, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	sandbox := sms.NewSandbox(pool, vault, time.Now)
	t.Cleanup(sandbox.Close)
	room, err := sms.NewService(sms.Config{PublicURL: "https://shop.example"},
		sms.Deps{Pool: pool, Vault: vault, Provider: sandbox, Jobs: jobs})
	require.NoError(t, err)
	t.Cleanup(room.Close)
	return newTestServer(t, Deps{SMS: room, SMSSandbox: sandbox}), pool, sandbox
}

func TestSMSTemplates(t *testing.T) {
	t.Parallel()
	s, _, _ := newSMSServer(t)
	var made SMSTemplate
	s.as(smsWriter, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"zh","body":"【vendbox】订单 {{order_number}}：{{url}}"}`).
		into(http.StatusCreated, &made)
	require.True(t, made.Enabled)
	require.Equal(t, "UCS-2", made.Encoding)
	require.Equal(t, []string{"order_number", "total", "items", "url"}, made.Variables)

	s.as(smsWriter, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"zh","body":"x"}`).
		problem(http.StatusConflict, "sms_template_exists")
	refused := s.as(smsWriter, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"en","body":"{{phone}}"}`).
		problem(http.StatusUnprocessableEntity, "sms_template_invalid")
	require.Equal(t, "phone", refused["variable"])
	require.Contains(t, refused["known"], "order_number")
	s.as(smsWriter, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"fr","body":"x"}`).
		problem(http.StatusUnprocessableEntity, "validation_failed")
	s.as(smsReader, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"en","body":"x"}`).
		problem(http.StatusForbidden, "scope_missing")

	path := "/v1/sms-templates/" + made.ID.String()
	var got SMSTemplate
	s.as(smsWriter, "PATCH", path, `{"enabled":false,"body":"now {{total}}"}`).into(http.StatusOK, &got)
	require.Equal(t, []any{false, "now {{total}}", "GSM-7"}, []any{got.Enabled, got.Body, got.Encoding})
	s.as(smsWriter, "PATCH", path, `{"body":"{{total"}`).problem(http.StatusUnprocessableEntity, "sms_template_invalid")
	s.as(smsReader, "GET", path, "").into(http.StatusOK, &got)
	require.Equal(t, "now {{total}}", got.Body)

	var page struct {
		Data       []SMSTemplate `json:"data"`
		NextCursor *string       `json:"next_cursor"`
	}
	s.as(smsReader, "GET", "/v1/sms-templates?event_type=order.paid", "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 1)
	require.Nil(t, page.NextCursor)
	s.as(smsReader, "GET", "/v1/sms-templates?event_type=order.created", "").into(http.StatusOK, &page)
	require.Empty(t, page.Data)

	require.Equal(t, http.StatusNoContent, s.as(smsWriter, "DELETE", path, "").StatusCode)
	s.as(smsWriter, "DELETE", path, "").problem(http.StatusNotFound, "sms_template_not_found")
	s.as(smsReader, "GET", path, "").problem(http.StatusNotFound, "sms_template_not_found")
}

func TestSMSMessages(t *testing.T) {
	t.Parallel()
	s, pool, _ := newSMSServer(t)
	var tpl SMSTemplate
	s.as(smsWriter, "POST", "/v1/sms-templates", `{"event_type":"order.paid","locale":"en","body":"x"}`).into(http.StatusCreated, &tpl)
	order, failed, sent := uuid.New(), uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	for id, status := range map[uuid.UUID]string{failed: "failed", sent: "sent"} {
		_, err := pool.Exec(t.Context(), `insert into sms_messages (id, event_id, event_occurred_at, event_type, template_id, order_id,
			recipient_fingerprint, recipient_masked, locale, status, created_at, opened_at, finished_at)
			values ($1, $1, $5, 'order.paid', $2, $3, uuid_send($1), '+86*******8000', 'en', $4, $5, $5, $5)`,
			id, tpl.ID, order, status, time.Now())
		require.NoError(t, err)
	}
	var page struct {
		Data       []SMSMessage `json:"data"`
		NextCursor *string      `json:"next_cursor"`
	}
	s.as(smsReader, "GET", "/v1/sms-messages?limit=1&order_id="+order.String(), "").into(http.StatusOK, &page)
	require.Equal(t, sent, page.Data[0].ID)
	s.as(smsReader, "GET", "/v1/sms-messages?cursor="+*page.NextCursor, "").into(http.StatusOK, &page)
	require.Equal(t, failed, page.Data[0].ID)
	require.Nil(t, page.NextCursor)
	require.Equal(t, "+86*******8000", page.Data[0].To)
	s.as(smsReader, "GET", "/v1/sms-messages?status=sent", "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 1)
	s.as(smsReader, "GET", "/v1/sms-messages?status=lost", "").problem(http.StatusUnprocessableEntity, "validation_failed")
	s.as(smsReader, "GET", "/v1/sms-messages?cursor=x", "").problem(http.StatusUnprocessableEntity, "cursor_invalid")

	var one SMSMessage
	s.as(smsReader, "POST", "/v1/sms-messages/"+failed.String()+"/resend", "").problem(http.StatusForbidden, "scope_missing")
	s.as(smsWriter, "POST", "/v1/sms-messages/"+failed.String()+"/resend", "").into(http.StatusAccepted, &one)
	require.Equal(t, "pending", one.Status)
	refused := s.as(smsWriter, "POST", "/v1/sms-messages/"+failed.String()+"/resend", "").
		problem(http.StatusConflict, "sms_message_not_resendable")
	require.Equal(t, "pending", refused["message_status"])
	s.as(smsWriter, "POST", "/v1/sms-messages/"+uuid.NewString()+"/resend", "").problem(http.StatusNotFound, "sms_message_not_found")
	s.as(smsReader, "GET", "/v1/sms-messages/"+failed.String(), "").into(http.StatusOK, &one)
	require.Nil(t, one.FinishedAt)
	s.as(smsReader, "GET", "/v1/sms-messages/"+uuid.NewString(), "").problem(http.StatusNotFound, "sms_message_not_found")
}

func TestSMSSandboxMessages(t *testing.T) {
	t.Parallel()
	s, _, sandbox := newSMSServer(t)
	to, err := contact.ParsePhone("+8613800138000", "")
	require.NoError(t, err)
	m := sms.Outgoing{Ref: uuid.New(), To: to, Text: "vendbox: hello"}
	require.Equal(t, sms.Sent, sandbox.Send(t.Context(), m).Outcome)
	var page struct {
		Data []SMSSandboxMessage `json:"data"`
	}
	s.as(smsWriter, "GET", "/v1/sms-sandbox-messages", "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 1)
	require.Equal(t, []any{m.Ref, "+86*******8000", "vendbox: hello"}, []any{page.Data[0].MessageID, page.Data[0].To, page.Data[0].Text})
	s.as(smsReader, "GET", "/v1/sms-sandbox-messages", "").problem(http.StatusForbidden, "scope_missing")

	none := newTestServer(t, Deps{})
	var raw map[string]json.RawMessage
	none.as(smsWriter, "GET", "/v1/sms-sandbox-messages", "").into(http.StatusOK, &raw)
	require.JSONEq(t, `[]`, string(raw["data"]))
}
