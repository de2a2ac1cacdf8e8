package sms

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// draft is everything that a message is made of, as it was read.
type draft dbq.SMSMessageDraftsRow

// errNoMessage says that the ledger has no such message.
var errNoMessage = errors.New("sms: no such message")

// newDrafts gathers the reads of jobs that run at the same time into one statement.
func (s *Service) newDrafts() *groupcommit.Group[uuid.UUID, draft] {
	return groupcommit.New(groupcommit.Config[uuid.UUID, draft]{
		Interval: groupcommit.CalmInterval, UnderLoad: groupcommit.CalmUnderLoad, Retryable: pgdb.IsRetryable,
		Flush: func(ctx context.Context, ids []uuid.UUID) ([]groupcommit.Result[draft], error) {
			rows, err := dbq.New(s.deps.Pool).SMSMessageDrafts(ctx, ids)
			if err != nil {
				return nil, fmt.Errorf("sms: read messages: %w", err)
			}
			found := make(map[uuid.UUID]draft, len(rows))
			for _, row := range rows {
				found[row.ID] = draft(row)
			}
			results := make([]groupcommit.Result[draft], len(ids))
			for i, id := range ids {
				d, ok := found[id]
				if results[i].Value = d; !ok {
					results[i].Err = errNoMessage
				}
			}
			return results, nil
		},
	})
}

// problem is why a message cannot be written. It holds neither number nor text.
type problem struct{ code, detail string }

// compose writes the message. A nil problem means that it can be sent; an error, that it can be
// tried again.
func (s *Service) compose(ctx context.Context, d draft) (m Outgoing, segments int, p *problem, err error) {
	if d.Body == nil {
		return m, 0, &problem{"template_deleted", "the template was deleted before the message was sent"}, nil
	}
	if age := s.now().Sub(d.OpenedAt); age > s.cfg.MaxAge {
		return m, 0, &problem{"too_old", fmt.Sprintf("the message has waited for %s and is out of date", age.Round(time.Minute))}, nil
	}
	to, err := s.recipient(ctx, d)
	if err != nil {
		return m, 0, nil, err
	}
	if to.IsZero() {
		return m, 0, &problem{"recipient_unreadable", "the order's sealed contact has no readable telephone number"}, nil
	}
	parsed, err := checkBody(d.EventType, *d.Body)
	if err != nil {
		//nolint:nilerr // it is told as a problem: trying again would not help
		return m, 0, &problem{"template_invalid", "the template is not valid for its event type"}, nil
	}
	filled := facts{
		locale: d.Locale, number: d.Number, total: d.TotalAmount, currency: d.Currency, names: d.Names,
		quantities: d.Quantities, url: s.cfg.PublicURL + "/o/" + s.deps.Vault.OrderToken(d.OrderID),
		expiresAt: d.ExpiresAt, payload: d.Payload,
	}
	rendered, missing := parsed.render(filled.value)
	if missing != "" {
		return m, 0, &problem{"variable_missing", "the event has no value for {{" + missing + "}}"}, nil
	}
	_, segments = Segments(rendered)
	if segments < 1 || segments > s.cfg.MaxSegments {
		return m, 0, &problem{"text_length", fmt.Sprintf("the text needs %d segments of at most %d", segments, s.cfg.MaxSegments)}, nil
	}
	return Outgoing{Ref: d.ID, To: to, Text: rendered, TemplateRef: *d.ProviderRef}, segments, nil, nil
}

// recipient opens the order's contact. It is zero when that does not open or has no number; an error is the database's.
func (s *Service) recipient(ctx context.Context, d draft) (contact.Phone, error) {
	opened, err := s.deps.Vault.Unseal(ctx, cardvault.KindContact, d.OrderID, d.ContactSealed)
	if errors.Is(err, cardvault.ErrUnseal) {
		return contact.Phone{}, nil
	}
	if err != nil {
		return contact.Phone{}, err
	}
	c, err := contact.FromJSON(opened)
	if err != nil {
		return contact.Phone{}, nil //nolint:nilerr // what opens and is no contact will never be one
	}
	return c.Phone, nil
}
