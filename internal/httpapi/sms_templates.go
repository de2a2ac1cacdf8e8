package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/sms"
)

// SMSTemplate is the text for an event type in a language.
type SMSTemplate struct {
	ID            uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The template's id."`
	EventType     string    `json:"event_type" example:"order.completed" doc:"The type of the events that it tells of."`
	Locale        string    `json:"locale" enum:"en,zh" example:"zh" doc:"Its language. English stands in where there is none in the buyer's."`
	Body          string    `json:"body" example:"Order {{order_number}}: {{url}}" doc:"The text with its variables."`
	ProviderRef   string    `json:"provider_ref" example:"SMS_154950909" doc:"The gateway's id of an approved text; empty for none."`
	ResendUnknown bool      `json:"resend_unknown" example:"false" doc:"Whether a message whose outcome is unknown is sent again by itself."`
	Enabled       bool      `json:"enabled" example:"true" doc:"Whether events make messages of it."`
	Variables     []string  `json:"variables" example:"[\"order_number\",\"total\",\"items\",\"url\"]" doc:"What may stand in {{ }} for this event type. data.<field> is any field of the payload's top level that is a string, a number or a boolean."`
	Encoding      string    `json:"encoding" enum:"GSM-7,UCS-2" example:"UCS-2" doc:"How the text as it is written travels. GSM-7 fits 160 characters into a message, UCS-2 70."`
	CreatedAt     time.Time `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was created."`
	UpdatedAt     time.Time `json:"updated_at" example:"2025-01-02T03:04:05Z" doc:"When it was last changed."`
}

func (s *Server) registerSMSTemplates() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "create-sms-template", Method: http.MethodPost, Path: "/v1/sms-templates", Tags: []string{tagSMS},
			Summary: "Create a text message template",
			Description: "From then on each event of the type, whose order has a telephone number, makes a message in the buyer's language, or in " +
				"English. Ours are order.created, order.paid, order.on_hold and order.completed; any type of your own works as well.",
			DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict},
		},
		Auth: needs(access.SMSWrite), Faults: []string{"sms_template_invalid", "sms_template_exists"},
	}, s.createSMSTemplate)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-sms-templates", Method: http.MethodGet, Path: "/v1/sms-templates", Tags: []string{tagSMS},
			Summary: "List text message templates", Description: "Templates, newest first.",
		},
		Auth: needs(access.SMSRead), Faults: []string{"cursor_invalid"},
	}, s.listSMSTemplates)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-sms-template", Method: http.MethodGet, Path: "/v1/sms-templates/{id}", Tags: []string{tagSMS},
			Summary: "Get a text message template", Description: "One template.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.SMSRead), Faults: []string{"sms_template_not_found"},
	}, s.getSMSTemplate)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "update-sms-template", Method: http.MethodPatch, Path: "/v1/sms-templates/{id}", Tags: []string{tagSMS},
			Summary:     "Change a text message template",
			Description: "Changes what is given. Messages that wait to be sent go out with the new text.",
			Errors:      []int{http.StatusNotFound},
		},
		Auth: needs(access.SMSWrite), Faults: []string{"sms_template_not_found", "sms_template_invalid"},
	}, s.updateSMSTemplate)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "delete-sms-template", Method: http.MethodDelete, Path: "/v1/sms-templates/{id}", Tags: []string{tagSMS},
			Summary:       "Delete a text message template",
			Description:   "Messages that wait to be sent fail with the error code template_deleted; to stop new ones only, disable it instead.",
			DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.SMSWrite), Faults: []string{"sms_template_not_found"},
	}, s.deleteSMSTemplate)
}

type createSMSTemplateInput struct {
	Body struct {
		EventType     string `json:"event_type" maxLength:"128" pattern:"^[a-z][a-z0-9_]*(\\.[a-z0-9_]+)+$" example:"order.completed" doc:"The type of the events that it tells of."`
		Locale        string `json:"locale" enum:"en,zh" example:"zh" doc:"Its language."`
		Body          string `json:"body" minLength:"1" maxLength:"1000" example:"Order {{order_number}}: {{url}}" doc:"The text. {{name}} stands for a variable; which there are depends on the event type."`
		ProviderRef   string `json:"provider_ref,omitempty" maxLength:"100" example:"SMS_154950909" doc:"The gateway's id of an approved text."`
		ResendUnknown bool   `json:"resend_unknown,omitempty" example:"false" doc:"Send a message again whose outcome is unknown. Its reader may then get it twice."`
		Enabled       *bool  `json:"enabled,omitempty" example:"true" doc:"Whether events make messages of it. Default true."`
	}
}

type smsTemplateOutput struct{ Body SMSTemplate }

func (s *Server) createSMSTemplate(ctx context.Context, in *createSMSTemplateInput) (*smsTemplateOutput, error) {
	b := in.Body
	t, err := s.deps.SMS.CreateTemplate(ctx, sms.NewTemplate{
		EventType: b.EventType, Locale: b.Locale, Body: b.Body, ProviderRef: b.ProviderRef, ResendUnknown: b.ResendUnknown,
		Enabled: b.Enabled == nil || *b.Enabled,
	})
	return smsTemplateAnswer(t, err)
}

type listSMSTemplatesInput struct {
	PageQuery

	EventType string `query:"event_type" maxLength:"128" example:"order.completed" doc:"Only templates for this event type."`
}

type listSMSTemplatesOutput struct{ Body listBody[SMSTemplate] }

func (s *Server) listSMSTemplates(ctx context.Context, in *listSMSTemplatesInput) (*listSMSTemplatesOutput, error) {
	templates, next, err := s.deps.SMS.Templates(ctx, in.EventType, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]SMSTemplate, len(templates))
	for i, t := range templates {
		views[i] = viewSMSTemplate(t)
	}
	return &listSMSTemplatesOutput{list(views, next)}, nil
}

func (s *Server) getSMSTemplate(ctx context.Context, in *UUIDPath) (*smsTemplateOutput, error) {
	return smsTemplateAnswer(s.deps.SMS.Template(ctx, in.ID))
}

type updateSMSTemplateInput struct {
	UUIDPath

	Body struct {
		Body          *string `json:"body,omitempty" minLength:"1" maxLength:"1000" example:"Order {{order_number}}: {{url}}" doc:"The new text."`
		ProviderRef   *string `json:"provider_ref,omitempty" maxLength:"100" example:"SMS_154950909" doc:"The gateway's id of an approved text; empty for none."`
		ResendUnknown *bool   `json:"resend_unknown,omitempty" example:"true" doc:"Whether a message whose outcome is unknown is sent again by itself."`
		Enabled       *bool   `json:"enabled,omitempty" example:"false" doc:"Whether events make messages of it."`
	}
}

func (s *Server) updateSMSTemplate(ctx context.Context, in *updateSMSTemplateInput) (*smsTemplateOutput, error) {
	return smsTemplateAnswer(s.deps.SMS.PatchTemplate(ctx, in.ID, sms.TemplatePatch(in.Body)))
}

func (s *Server) deleteSMSTemplate(ctx context.Context, in *UUIDPath) (*struct{}, error) {
	return nil, s.deps.SMS.DeleteTemplate(ctx, in.ID)
}

func smsTemplateAnswer(t sms.Template, err error) (*smsTemplateOutput, error) {
	if err != nil {
		return nil, err
	}
	return &smsTemplateOutput{viewSMSTemplate(t)}, nil
}

func viewSMSTemplate(t sms.Template) SMSTemplate {
	encoding, _ := sms.Segments(t.Body)
	return SMSTemplate{
		ID: t.ID, EventType: t.EventType, Locale: t.Locale, Body: t.Body, ProviderRef: t.ProviderRef, ResendUnknown: t.ResendUnknown,
		Enabled: t.Enabled, Variables: sms.Variables(t.EventType), Encoding: string(encoding),
		CreatedAt: utc(t.CreatedAt), UpdatedAt: utc(t.UpdatedAt),
	}
}
