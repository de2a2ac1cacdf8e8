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

// SMSMessage is a text message to a buyer. Its text and number are not kept in the clear.
type SMSMessage struct {
	ID                uuid.UUID  `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The message's id; gateways get it as their reference, the same on every attempt."`
	OrderID           uuid.UUID  `json:"order_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d3" doc:"The order that it is about."`
	EventID           uuid.UUID  `json:"event_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d4" doc:"The event that it tells of. There is one message for an event and a recipient."`
	EventType         string     `json:"event_type" example:"order.completed" doc:"The event's type."`
	TemplateID        uuid.UUID  `json:"template_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d5" doc:"The template that its text is made from. It may have been deleted since."`
	Locale            string     `json:"locale" enum:"en,zh" example:"zh" doc:"The language of the text."`
	To                string     `json:"to" example:"+86*******8000" doc:"The recipient's number, masked."`
	Status            string     `json:"status" enum:"pending,sending,sent,delivered,undelivered,failed,unknown" example:"sent" doc:"pending: waits for its turn or for another attempt. sending: is with the gateway. sent: the gateway has taken it over. failed: it was refused or given up. unknown: it may have been sent, and is not sent again unless somebody says so."`
	Attempts          int        `json:"attempts" example:"1" doc:"How often a gateway was asked."`
	Provider          string     `json:"provider,omitempty" example:"gateway" doc:"The gateway of the last attempt."`
	ProviderMessageID string     `json:"provider_message_id,omitempty" example:"SM0123456789" doc:"The gateway's name for the message."`
	Segments          *int32     `json:"segments,omitempty" example:"1" doc:"As how many messages it is billed."`
	ErrorCode         string     `json:"error_code,omitempty" example:"answer_timeout" doc:"What went wrong at the last attempt: the gateway's code or ours."`
	Error             string     `json:"error,omitempty" example:"the request was written and not answered in time" doc:"The same in words."`
	CreatedAt         time.Time  `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was set to be sent."`
	SentAt            *time.Time `json:"sent_at" nullable:"true" example:"2025-01-02T03:04:06Z" doc:"When the gateway took it over."`
	FinishedAt        *time.Time `json:"finished_at" nullable:"true" example:"2025-01-02T03:04:06Z" doc:"When its status became final; null while it is pending or sending."`
}

// SMSSandboxMessage is a message that the sandbox kept instead of sending it.
type SMSSandboxMessage struct {
	ID        uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The sandbox's id; the message has it as provider_message_id."`
	MessageID uuid.UUID `json:"message_id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d3" doc:"The message."`
	To        string    `json:"to" example:"+86*******8000" doc:"The recipient's number, masked."`
	Text      string    `json:"text" example:"vendbox: your order 261121-7K3M9X has been delivered." doc:"The whole text."`
	CreatedAt time.Time `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was kept."`
}

func (s *Server) registerSMSMessages() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-sms-messages", Method: http.MethodGet, Path: "/v1/sms-messages", Tags: []string{tagSMS},
			Summary: "List text messages", Description: "Messages to buyers, newest first. Ask for status=unknown to see what waits for a decision.",
		},
		Auth: needs(access.SMSRead), Faults: []string{"cursor_invalid"},
	}, s.listSMSMessages)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-sms-message", Method: http.MethodGet, Path: "/v1/sms-messages/{id}", Tags: []string{tagSMS},
			Summary: "Get a text message", Description: "One message as it stands.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.SMSRead), Faults: []string{"sms_message_not_found"},
	}, s.getSMSMessage)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "resend-sms-message", Method: http.MethodPost, Path: "/v1/sms-messages/{id}/resend", Tags: []string{tagSMS},
			Summary: "Send a text message again",
			Description: "Sends a message again whose status is failed or unknown, with all its attempts. An unknown one may reach its reader " +
				"twice; find out from the gateway first. Of several who do it at once one succeeds.",
			DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusGone},
		},
		Auth: needs(access.SMSWrite), Faults: []string{"sms_message_not_found", "sms_message_not_resendable", "sms_template_gone"},
	}, s.resendSMSMessage)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-sms-sandbox-messages", Method: http.MethodGet, Path: "/v1/sms-sandbox-messages", Tags: []string{tagSMS},
			Summary: "List what the sandbox kept",
			Description: "Messages with their texts, newest first, where the sandbox stands in for a gateway. Empty otherwise. Texts hold the " +
				"links that show an order, so it needs the right to write.",
		},
		Auth: needs(access.SMSWrite), Faults: []string{"cursor_invalid"},
	}, s.listSMSSandboxMessages)
}

type listSMSMessagesInput struct {
	PageQuery

	Status  string    `query:"status" enum:"pending,sending,sent,delivered,undelivered,failed,unknown" example:"unknown" doc:"Only messages of this status."`
	OrderID uuid.UUID `query:"order_id" format:"uuid" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d3" doc:"Only messages about this order."`
}

type listSMSMessagesOutput struct{ Body listBody[SMSMessage] }

func (s *Server) listSMSMessages(ctx context.Context, in *listSMSMessagesInput) (*listSMSMessagesOutput, error) {
	filter := sms.MessageFilter{Status: sms.Status(in.Status), OrderID: in.OrderID}
	messages, next, err := s.deps.SMS.Messages(ctx, filter, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]SMSMessage, len(messages))
	for i, m := range messages {
		views[i] = viewSMSMessage(m)
	}
	return &listSMSMessagesOutput{list(views, next)}, nil
}

type smsMessageOutput struct{ Body SMSMessage }

func (s *Server) getSMSMessage(ctx context.Context, in *UUIDPath) (*smsMessageOutput, error) {
	m, err := s.deps.SMS.Message(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &smsMessageOutput{viewSMSMessage(m)}, nil
}

func (s *Server) resendSMSMessage(ctx context.Context, in *UUIDPath) (*smsMessageOutput, error) {
	m, err := s.deps.SMS.Resend(ctx, in.ID, principalOf(ctx).Actor())
	if err != nil {
		return nil, err
	}
	return &smsMessageOutput{viewSMSMessage(m)}, nil
}

func viewSMSMessage(m sms.Message) SMSMessage {
	return SMSMessage{
		ID: m.ID, OrderID: m.OrderID, EventID: m.EventID, EventType: m.EventType, TemplateID: m.TemplateID, Locale: m.Locale,
		To: m.RecipientMasked, Status: m.Status, Attempts: int(m.Attempts), Provider: m.Provider, ProviderMessageID: m.ProviderMessageID,
		Segments: m.Segments, ErrorCode: m.ErrorCode, Error: m.Error, CreatedAt: utc(m.CreatedAt), SentAt: utcPtr(m.SentAt),
		FinishedAt: utcPtr(m.FinishedAt),
	}
}

type listSMSSandboxOutput struct {
	Body listBody[SMSSandboxMessage]
}

func (s *Server) listSMSSandboxMessages(ctx context.Context, in *PageQuery) (*listSMSSandboxOutput, error) {
	if s.deps.SMSSandbox == nil {
		return &listSMSSandboxOutput{list[SMSSandboxMessage](nil, "")}, nil
	}
	messages, next, err := s.deps.SMSSandbox.List(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]SMSSandboxMessage, len(messages))
	for i, m := range messages {
		views[i] = SMSSandboxMessage{ID: m.ID, MessageID: m.MessageID, To: m.ToMasked, Text: m.Text, CreatedAt: utc(m.CreatedAt)}
	}
	return &listSMSSandboxOutput{list(views, next)}, nil
}
