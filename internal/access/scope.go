package access

import (
	"slices"

	"github.com/vendbox/vendbox/internal/fault"
)

// Scope is one thing a key may be allowed to do. The list is closed: see Scopes.
type Scope string

// The scopes. A key with Admin has them all, also those that later versions add.
const (
	Admin           Scope = "admin"
	ProductsRead    Scope = "products:read"
	ProductsWrite   Scope = "products:write"
	CardsImport     Scope = "cards:import"
	CardsRead       Scope = "cards:read"
	OrdersRead      Scope = "orders:read"
	OrdersWrite     Scope = "orders:write"
	OrdersManage    Scope = "orders:manage"
	PaymentsRead    Scope = "payments:read"
	PaymentsWrite   Scope = "payments:write"
	PaymentsManage  Scope = "payments:manage"
	EventsRead      Scope = "events:read"
	EventsWrite     Scope = "events:write"
	WebhooksRead    Scope = "webhooks:read"
	WebhooksWrite   Scope = "webhooks:write"
	SMSRead         Scope = "sms:read"
	SMSWrite        Scope = "sms:write"
	FailedJobsRead  Scope = "failed_jobs:read"
	FailedJobsWrite Scope = "failed_jobs:write"
)

// ScopeInfo is a scope and what it allows, in words for the person who makes a key.
type ScopeInfo struct {
	Scope       Scope
	Description string
}

// Scopes lists every scope there is.
func Scopes() []ScopeInfo {
	return []ScopeInfo{
		{Admin, "Everything."},
		{ProductsRead, "List and read products and their stock."},
		{ProductsWrite, "Create and change products; adjust counted stock."},
		{CardsImport, "Import cards. It cannot read a card back."},
		{CardsRead, "Read the card codes of orders. Every reading is recorded."},
		{OrdersRead, "List and read orders. It does not show card codes."},
		{OrdersWrite, "Place orders."},
		{OrdersManage, "Cancel, hold, release, reject and refund orders; read refunds and settle them; read risk assessments."},
		{PaymentsRead, "List and read payments and what is wrong with them."},
		{PaymentsWrite, "Start payments."},
		{PaymentsManage, "Confirm payments by hand: whoever may do it can have goods delivered without a gateway's word."},
		{EventsRead, "Read the event feed."},
		{EventsWrite, "Append events of your own."},
		{WebhooksRead, "List webhook endpoints, deliveries and attempts. It does not show signing secrets."},
		{WebhooksWrite, "Create and change webhook endpoints; rotate secrets; resend deliveries."},
		{SMSRead, "List SMS messages and templates."},
		{SMSWrite, "Change SMS templates; resend messages; read the sandbox."},
		{FailedJobsRead, "List and read failed jobs."},
		{FailedJobsWrite, "Retry, resolve and discard failed jobs."},
	}
}

// ParseScopes checks names against the list and gives them sorted and without repeats. Errors: scopes_missing for none,
// scope_unknown.
func ParseScopes(names []string) ([]Scope, error) {
	if len(names) == 0 {
		return nil, fault.New(fault.Invalid, "scopes_missing")
	}
	scopes := make([]Scope, 0, len(names))
	for _, name := range names {
		scope := Scope(name)
		if !slices.ContainsFunc(Scopes(), func(info ScopeInfo) bool { return info.Scope == scope }) {
			return nil, fault.New(fault.Invalid, "scope_unknown", "scope", name)
		}
		scopes = append(scopes, scope)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}
