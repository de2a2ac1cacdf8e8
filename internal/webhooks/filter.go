package webhooks

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
)

const (
	maxFilters   = 100
	maxFilterLen = 128
	everything   = "*"
)

// filterForm is an event type, or the beginning of one up to a dot and a star.
var filterForm = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.[a-z0-9_]+|\.\*)$`)

// checkFilters wants 1 to 100 filters: "*", "order.*" or an exact type, of which vendbox's own have to exist. It gives them sorted
// and without repeats.
// Error: webhook_event_types_invalid with the first wrong one.
func checkFilters(filters []string) ([]string, error) {
	if len(filters) == 0 || len(filters) > maxFilters {
		return nil, fault.New(fault.Invalid, "webhook_event_types_invalid", "event_type", "", "max", maxFilters)
	}
	for _, filter := range filters {
		if filter != everything && (len(filter) > maxFilterLen || !filterForm.MatchString(filter) || !outbox.CanHappen(filter)) {
			return nil, fault.New(fault.Invalid, "webhook_event_types_invalid", "event_type", clip(filter, maxFilterLen), "max", maxFilters)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(filters))), nil
}

// filtersFor lists every filter that matches an event type: for order.item.sold that is *, order.*, order.item.* and the
// type itself. An endpoint wants the event if it has one of them, which an array operator can tell.
func filtersFor(eventType string) []string {
	filters := []string{everything}
	for i, c := range eventType {
		if c == '.' {
			filters = append(filters, eventType[:i]+".*")
		}
	}
	return append(filters, eventType)
}

// wants says whether one of an endpoint's filters is among those that match.
func wants(filters, matching []string) bool {
	return slices.ContainsFunc(filters, func(filter string) bool { return slices.Contains(matching, filter) })
}

// clip shortens text to a number of bytes, on the border of a character, and makes it valid UTF-8 without NUL.
func clip(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "")
}
