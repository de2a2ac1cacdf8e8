package sms_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
	"github.com/vendbox/vendbox/internal/sms"
	"github.com/vendbox/vendbox/internal/sms/providertest"
)

func TestSandboxConforms(t *testing.T) {
	t.Parallel()
	providertest.Run(t, func(t *testing.T) providertest.Subject {
		t.Helper()
		db := pgtest.NewDB(t)
		vault, err := cardvault.Open(t.Context(), db.Pool, cardvault.NewMasterKey())
		require.NoError(t, err)
		pool, err := pgdb.Open(t.Context(), db.Config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		sandbox := sms.NewSandbox(pool, vault, time.Now)
		t.Cleanup(sandbox.Close)
		return providertest.Subject{
			Provider:  sandbox,
			Received:  func(ref uuid.UUID) []providertest.Message { return kept(t, sandbox, db, vault, ref) },
			Misbehave: func(providertest.Mode) { pool.Close() },
		}
	}, []providertest.Mode{providertest.Refusing}) // the far side is our own table
}

// kept gives what the sandbox has for a reference. Its list masks the number, so that is unsealed here.
func kept(t *testing.T, sandbox *sms.Sandbox, db pgtest.DB, vault *cardvault.Vault, ref uuid.UUID) []providertest.Message {
	t.Helper()
	var found []providertest.Message
	all, _, err := sandbox.List(t.Context(), "", 100)
	require.NoError(t, err)
	for _, m := range all {
		if m.MessageID != ref {
			continue
		}
		require.Equal(t, "+86*******8000", m.ToMasked)
		var sealed []byte
		require.NoError(t, db.Pool.QueryRow(t.Context(), `select sealed from sms_sandbox_messages where id = $1`, m.ID).Scan(&sealed))
		require.NotContains(t, string(sealed), "13800138000")
		opened, err := vault.Unseal(t.Context(), cardvault.KindSMS, ref, sealed)
		require.NoError(t, err)
		require.Contains(t, string(opened), `"+8613800138000"`)
		found = append(found, providertest.Message{To: "+8613800138000", Text: m.Text})
	}
	return found
}

func TestSandboxRecognisesRepeats(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	sandbox := sms.NewSandbox(pool, vault, time.Now)
	t.Cleanup(sandbox.Close)
	to, err := contact.ParsePhone("+8613800138000", "")
	require.NoError(t, err)
	var ids []string
	for range 3 {
		m := sms.Outgoing{Ref: uuid.Must(uuid.NewV7()), To: to, Text: "x"}
		first := sandbox.Send(t.Context(), m)
		require.Equal(t, first, sandbox.Send(t.Context(), m))
		ids = append(ids, first.ProviderMessageID)
	}
	page, next, err := sandbox.List(t.Context(), "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{ids[2], ids[1]}, []string{page[0].ID.String(), page[1].ID.String()})
	page, next, err = sandbox.List(t.Context(), next, 2)
	require.NoError(t, err)
	require.Empty(t, next)
	require.Len(t, page, 1)
	_, _, err = sandbox.List(t.Context(), "x", 2)
	require.True(t, fault.HasCode(err, "cursor_invalid"))

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, sms.Temporary, sandbox.Send(gone, sms.Outgoing{Ref: uuid.New(), To: to}).Outcome)
}
