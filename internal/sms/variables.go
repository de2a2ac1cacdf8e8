package sms

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vendbox/vendbox/internal/money"
)

// The variables every text about an order may use.
var orderVariables = []string{"order_number", "total", "items", "url"}

// ownTypes are our events that have a buyer to tell, with the variables their texts may use.
var ownTypes = map[string][]string{
	"order.created":   append(slices.Clone(orderVariables), "expires_at"),
	"order.paid":      orderVariables,
	"order.on_hold":   orderVariables,
	"order.completed": orderVariables,
}

// reserved are the prefixes of our own event types, as vendbox.emit refuses them.
var reserved = []string{"order", "payment", "product", "stock", "webhook"}

// EventTypes lists our event types that may have a template. Types of others' applications may have one too.
func EventTypes() []string { return slices.Sorted(maps.Keys(ownTypes)) }

// Variables lists what a text for an event type may use. A type of another application has the order's variables and
// any scalar field of its payload, shown as "data.<field>".
func Variables(eventType string) []string {
	known, data := variablesOf(eventType)
	if data {
		return append(slices.Clone(known), "data.<field>")
	}
	return known
}

func variablesOf(eventType string) (known []string, data bool) {
	if known, ours := ownTypes[eventType]; ours {
		return known, false
	}
	if isReserved(eventType) {
		return nil, false
	}
	return orderVariables, true
}

func isReserved(eventType string) bool {
	prefix, _, _ := strings.Cut(eventType, ".")
	return slices.Contains(reserved, prefix)
}

// facts are what a text is filled from.
type facts struct {
	locale     string
	number     string
	total      int64 // minor units
	currency   string
	names      []string // of the order's lines
	quantities []int32
	url        string
	expiresAt  time.Time
	payload    json.RawMessage // of the event, where the text needs it
}

// value gives a variable's value, false when there is none.
func (f facts) value(variable string) (string, bool) {
	switch variable {
	case "order_number":
		return f.number, true
	case "total":
		return formatMoney(f.total, f.currency, f.locale), true
	case "items":
		return formatItems(f.names, f.quantities, f.locale), true
	case "url":
		return f.url, true
	case "expires_at":
		return f.expiresAt.UTC().Format("2006-01-02 15:04 UTC"), true
	}
	field, isData := strings.CutPrefix(variable, "data.")
	if !isData {
		return "", false
	}
	return scalarField(f.payload, field)
}

// scalarField gives a top-level string, number or boolean of a JSON object as text. Numbers keep their digits.
func scalarField(payload json.RawMessage, field string) (string, bool) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil {
		return "", false
	}
	raw := fields[field]
	switch {
	case len(raw) == 0, raw[0] == '{', raw[0] == '[', raw[0] == 'n':
		return "", false
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	default:
		return string(raw), true
	}
}

// formatMoney writes an amount in GSM-7 characters where it can: "19.99 CNY", in Chinese "19.99元".
func formatMoney(minor int64, currency, locale string) string {
	amount := money.Money{Amount: minor, Currency: currency}.Decimal()
	if locale == "zh" && currency == "CNY" {
		return amount + "元"
	}
	return amount + " " + currency
}

// maxItems is how many lines of an order a text names; a message is no invoice.
const maxItems = 3

// formatItems writes an order's lines: "Game card x2, Voucher, +3". An x, because the multiplication sign is not in GSM-7.
func formatItems(names []string, quantities []int32, locale string) string {
	separator := ", "
	if locale == "zh" {
		separator = "、"
	}
	var parts []string
	for i, name := range names {
		if i == maxItems {
			parts = append(parts, "+"+strconv.Itoa(len(names)-maxItems))
			break
		}
		name = clip(name, 40)
		if quantities[i] > 1 {
			name += " x" + strconv.Itoa(int(quantities[i]))
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, separator)
}
