package sms

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Template is a text for an event type in a language.
type Template struct {
	ID            uuid.UUID
	EventType     string
	Locale        string // "en" or "zh"
	Body          string // with {{variables}}
	ProviderRef   string // the gateway's own id of an approved text, "" for none
	ResendUnknown bool   // a message whose outcome is unknown may be sent again
	Enabled       bool
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// NewTemplate is what a template is created from.
type NewTemplate struct {
	EventType, Locale, Body, ProviderRef string
	ResendUnknown, Enabled               bool
}

// TemplatePatch changes what is not nil.
type TemplatePatch struct {
	Body, ProviderRef      *string
	ResendUnknown, Enabled *bool
}

// Bounds of a template, in characters.
const (
	MaxBody        = 1000
	MaxProviderRef = 100
	maxEventType   = 128
)

const templateKey = "sms_templates_event_locale_key"

var eventTypeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

// CreateTemplate saves a template. From the commit on it applies to events that the relay has not seen.
//
// Errors: sms_template_invalid (reason: event_type_malformed, event_type_without_recipient with the known ones,
// locale_unknown, body_length, provider_ref_length, unbalanced_braces, variable_malformed, unknown_variable with
// variable and known); sms_template_exists.
func (s *Service) CreateTemplate(ctx context.Context, n NewTemplate) (Template, error) {
	if err := checkTemplate(n); err != nil {
		return Template{}, err
	}
	row, err := dbq.New(s.deps.Pool).SMSTemplateInsert(ctx, dbq.SMSTemplateInsertParams{
		ID: uuid.Must(uuid.NewV7()), EventType: n.EventType, Locale: n.Locale, Body: n.Body, ProviderRef: n.ProviderRef,
		ResendUnknown: n.ResendUnknown, Enabled: n.Enabled, Now: s.now(),
	})
	if pgdb.IsUniqueViolation(err, templateKey) {
		return Template{}, fault.Wrap(err, fault.Conflict, "sms_template_exists", "event_type", n.EventType, "locale", n.Locale)
	}
	if err != nil {
		return Template{}, fmt.Errorf("sms: create template: %w", err)
	}
	return Template(row), nil
}

func checkTemplate(n NewTemplate) error {
	switch {
	case len(n.EventType) > maxEventType || !eventTypeName.MatchString(n.EventType):
		return errTemplate("event_type_malformed")
	case isReserved(n.EventType) && !slices.Contains(EventTypes(), n.EventType):
		return errTemplate("event_type_without_recipient", "event_type", n.EventType, "known", EventTypes())
	case n.Locale != "en" && n.Locale != "zh":
		return errTemplate("locale_unknown", "known", []string{"en", "zh"})
	}
	return checkText(n.EventType, n.Body, n.ProviderRef)
}

func checkText(eventType, body, providerRef string) error {
	if n := utf8.RuneCountInString(body); n < 1 || n > MaxBody || !printable(body) {
		return errTemplate("body_length", "max", MaxBody)
	}
	if utf8.RuneCountInString(providerRef) > MaxProviderRef || !printable(providerRef) {
		return errTemplate("provider_ref_length", "max", MaxProviderRef)
	}
	_, err := checkBody(eventType, body)
	return err
}

// printable says whether Postgres can keep a string as text.
func printable(s string) bool {
	return utf8.ValidString(s) && !slices.Contains([]byte(s), 0)
}

// Templates gives a page of templates, newest first, and the cursor of the next, empty on the last. An empty event type
// means all. Errors: cursor_invalid.
func (s *Service) Templates(ctx context.Context, eventType, cursor string, limit int) ([]Template, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	var rows []dbq.SMSTemplate
	if q := dbq.New(s.deps.Pool); eventType == "" {
		rows, err = q.SMSTemplateList(ctx, dbq.SMSTemplateListParams{Before: page.Before, MaxRows: page.MaxRows})
	} else {
		rows, err = q.SMSTemplateListOfType(ctx, dbq.SMSTemplateListOfTypeParams{
			EventType: eventType, Before: page.Before, MaxRows: page.MaxRows,
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("sms: list templates: %w", err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.SMSTemplate) uuid.UUID { return row.ID })
	templates := make([]Template, len(rows))
	for i, row := range rows {
		templates[i] = Template(row)
	}
	return templates, next, nil
}

// Template gives one template. Errors: sms_template_not_found.
func (s *Service) Template(ctx context.Context, id uuid.UUID) (Template, error) {
	row, err := dbq.New(s.deps.Pool).SMSTemplateGet(ctx, id)
	if err != nil {
		return Template{}, templateNotFound(err, id)
	}
	return Template(row), nil
}

// PatchTemplate changes a template. Messages that were enlisted and not yet sent go out with the new text. Errors:
// sms_template_not_found, sms_template_invalid.
func (s *Service) PatchTemplate(ctx context.Context, id uuid.UUID, patch TemplatePatch) (Template, error) {
	var row dbq.SMSTemplate
	err := pgdb.InTx(ctx, s.deps.Pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		var err error
		if row, err = q.SMSTemplateLock(ctx, id); err != nil {
			return templateNotFound(err, id)
		}
		apply(&row.Body, patch.Body)
		apply(&row.ProviderRef, patch.ProviderRef)
		apply(&row.ResendUnknown, patch.ResendUnknown)
		apply(&row.Enabled, patch.Enabled)
		if err := checkText(row.EventType, row.Body, row.ProviderRef); err != nil {
			return err
		}
		row, err = q.SMSTemplateUpdate(ctx, dbq.SMSTemplateUpdateParams{
			ID: id, Body: row.Body, ProviderRef: row.ProviderRef, ResendUnknown: row.ResendUnknown, Enabled: row.Enabled, Now: s.now(),
		})
		return err
	})
	if err != nil {
		return Template{}, err
	}
	return Template(row), nil
}

func apply[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// DeleteTemplate removes a template. Messages that were enlisted and not yet sent fail with the code template_deleted;
// what was sent stays in the ledger. Errors: sms_template_not_found.
func (s *Service) DeleteTemplate(ctx context.Context, id uuid.UUID) error {
	n, err := dbq.New(s.deps.Pool).SMSTemplateDelete(ctx, id)
	if err != nil {
		return fmt.Errorf("sms: delete template %s: %w", id, err)
	}
	if n == 0 {
		return templateNotFound(pgx.ErrNoRows, id)
	}
	return nil
}

// seeds are the texts of dev and demo.
var seeds = []NewTemplate{
	{EventType: "order.completed", Locale: "en", Body: "vendbox: your order {{order_number}} has been delivered."},
	{EventType: "order.completed", Locale: "zh", Body: "【vendbox】您的订单 {{order_number}} 已发货。"},
}

// SeedTemplates saves the texts of dev and demo where there are none for their event type and language.
func (s *Service) SeedTemplates(ctx context.Context) error {
	for _, seed := range seeds {
		err := dbq.New(s.deps.Pool).SMSTemplateSeed(ctx, dbq.SMSTemplateSeedParams{
			ID: uuid.Must(uuid.NewV7()), EventType: seed.EventType, Locale: seed.Locale, Body: seed.Body, Now: s.now(),
		})
		if err != nil {
			return fmt.Errorf("sms: seed templates: %w", err)
		}
	}
	return nil
}

func templateNotFound(err error, id uuid.UUID) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.New(fault.NotFound, "sms_template_not_found", "id", id.String())
	}
	return fmt.Errorf("sms: template %s: %w", id, err)
}
