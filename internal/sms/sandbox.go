package sms

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/paging"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Sandbox is a Provider that keeps messages, sealed, instead of sending them. It recognises repeats by their reference.
type Sandbox struct {
	pool  *pgxpool.Pool
	vault *cardvault.Vault
	now   func() time.Time
	group *groupcommit.Group[sealedMessage, uuid.UUID]
}

// sandboxTimeout is above a gathered write's own.
const sandboxTimeout = 20 * time.Second

// SandboxMessage is a message as the sandbox shows it.
type SandboxMessage struct {
	ID        uuid.UUID
	MessageID uuid.UUID
	ToMasked  string
	Text      string
	CreatedAt time.Time
}

type sealedMessage struct {
	ref    uuid.UUID
	sealed []byte
}

// content is what is sealed.
type content struct {
	To   contact.Phone `json:"to"`
	Text string        `json:"text"`
}

// NewSandbox makes the provider. Close it after River has stopped.
func NewSandbox(pool *pgxpool.Pool, vault *cardvault.Vault, now func() time.Time) *Sandbox {
	s := &Sandbox{pool: pool, vault: vault, now: now}
	s.group = groupcommit.New(groupcommit.Config[sealedMessage, uuid.UUID]{Flush: s.flush, Retryable: pgdb.IsRetryable})
	return s
}

// Close lets the writes at hand finish.
func (s *Sandbox) Close() { s.group.Close() }

// Name is "sandbox".
func (*Sandbox) Name() string { return "sandbox" }

// Timeout is 20 s.
func (*Sandbox) Timeout() time.Duration { return sandboxTimeout }

// Send keeps the message. As repeats are recognised, no failure leaves it unknown.
func (s *Sandbox) Send(ctx context.Context, m Outgoing) Result {
	ctx, cancel := context.WithTimeout(ctx, sandboxTimeout)
	defer cancel()
	plain, err := json.Marshal(content{To: m.To, Text: m.Text})
	if err != nil {
		return Result{Outcome: Rejected, Code: "unreadable", Detail: "the message could not be written as JSON"}
	}
	sealed, err := s.vault.Seal(cardvault.KindSMS, m.Ref, plain)
	if err != nil {
		return Result{Outcome: Temporary, Code: "vault", Detail: "the message could not be sealed"}
	}
	id, err := s.group.Do(ctx, sealedMessage{ref: m.Ref, sealed: sealed})
	if err != nil {
		return Result{Outcome: Temporary, Code: "database", Detail: "the sandbox could not write to the database"}
	}
	return Result{Outcome: Sent, ProviderMessageID: id.String()}
}

func (s *Sandbox) flush(ctx context.Context, batch []sealedMessage) ([]groupcommit.Result[uuid.UUID], error) {
	p := dbq.SMSSandboxInsertParams{Now: s.now().UTC()}
	for _, m := range batch {
		p.IDs = append(p.IDs, uuid.Must(uuid.NewV7()))
		p.MessageIds, p.Sealed = append(p.MessageIds, m.ref), append(p.Sealed, m.sealed)
	}
	var rows []dbq.SMSSandboxIDsRow
	err := pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		q := dbq.New(tx)
		if err = q.SMSSandboxInsert(ctx, p); err == nil {
			rows, err = q.SMSSandboxIDs(ctx, p.MessageIds)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sms sandbox: %w", err)
	}
	ids := make(map[uuid.UUID]uuid.UUID, len(rows))
	for _, row := range rows {
		ids[row.MessageID] = row.ID
	}
	results := make([]groupcommit.Result[uuid.UUID], len(batch))
	for i, m := range batch {
		results[i].Value = ids[m.ref]
	}
	return results, nil
}

// List gives a page of what was kept, newest first, and the cursor of the next, empty on the last. Errors: cursor_invalid.
func (s *Sandbox) List(ctx context.Context, cursor string, limit int) ([]SandboxMessage, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	rows, err := dbq.New(s.pool).SMSSandboxList(ctx, dbq.SMSSandboxListParams{Before: page.Before, MaxRows: page.MaxRows})
	if err != nil {
		return nil, "", fmt.Errorf("sms sandbox: list: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.SMSSandboxMessage) uuid.UUID { return row.ID })
	messages := make([]SandboxMessage, len(rows))
	for i, row := range rows {
		opened, err := s.vault.Unseal(ctx, cardvault.KindSMS, row.MessageID, row.Sealed)
		if err != nil {
			return nil, "", fmt.Errorf("sms sandbox: message %s: %w", row.ID, err)
		}
		var c content
		if err := json.Unmarshal(opened, &c); err != nil {
			return nil, "", fmt.Errorf("sms sandbox: message %s is unreadable", row.ID)
		}
		messages[i] = SandboxMessage{ID: row.ID, MessageID: row.MessageID, ToMasked: c.To.Mask(), Text: c.Text, CreatedAt: row.CreatedAt}
	}
	return messages, next, nil
}
