package outbox

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vendbox/vendbox/internal/fault"
)

const (
	maxType        = 128
	maxAggregateID = 255
	// maxPayload bounds a payload as Postgres writes it, in bytes, and maxLevels how deep its values stand in it.
	maxPayload = 256 << 10
	maxLevels  = 64
)

var (
	// reservedTypes are the first words of vendbox's own event types.
	reservedTypes = []string{"order", "payment", "product", "stock", "webhook"}
	// ownTypes are vendbox's own event types, as docs/webhooks.md explains them.
	ownTypes = []string{
		"order.created", "order.paid", "order.on_hold", "order.completed", "order.released", "order.expired", "order.canceled",
		"order.refunded", "payment.refunded", "payment.refund_failed", "payment.exception", "stock.imported", "stock.low",
		"stock.depleted", "stock.restocked", "webhook.endpoint_disabled", "webhook.test",
	}
	typePattern      = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)
	aggregatePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// CheckForeign is the rule for events that are not vendbox's own, for every door by which they come in. The door in SQL,
// vendbox.emit (migration 000015), has it written out once more; a test compares the two. Errors: event_type_reserved,
// event_malformed, event_data_too_large.
func CheckForeign(e Event) error {
	first, _, _ := strings.Cut(e.Type, ".")
	if slices.Contains(reservedTypes, first) {
		return fault.New(fault.Invalid, "event_type_reserved", "type", e.Type)
	}
	size, levels, ok := measure(e.Payload)
	idLength := utf8.RuneCountInString(e.AggregateID)
	switch {
	case !ok || levels > maxLevels || idLength < 1 || idLength > maxAggregateID ||
		len(e.Type) > maxType || !typePattern.MatchString(e.Type) || !aggregatePattern.MatchString(e.AggregateType):
		return fault.New(fault.Invalid, "event_malformed")
	case size > maxPayload:
		return fault.New(fault.TooLarge, "event_data_too_large", "limit", maxPayload)
	}
	return nil
}

// measure reads an object as jsonb does, and says in how many bytes Postgres writes it and how many levels deep its
// values stand. It is not ok if it is no object, or one with a name twice.
func measure(object []byte) (size, levels int, ok bool) {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if d.PeekKind() != '{' {
		return 0, 0, false
	}
	for {
		depth := d.StackDepth()
		_, before := d.StackIndex(depth)
		token, err := d.ReadToken()
		if err != nil {
			_, values := d.StackIndex(0)
			return size, levels, errors.Is(err, io.EOF) && values == 1
		}
		kind := token.Kind()
		if kind != '}' && kind != ']' {
			levels = max(levels, depth)
			if before > 0 {
				size += len(", ") // ": " is as long
			}
		}
		switch kind {
		case '"':
			size += textSize(token.String())
		case '0':
			size += numberSize(token.String())
		case 'n', 't', 'f':
			size += len(token.String())
		default:
			size++
		}
	}
}

// textSize is the length of a JSON string as escape_json of Postgres writes it.
func textSize(s string) int {
	size := len(s) + len(`""`)
	for _, c := range []byte(s) {
		switch {
		case strings.IndexByte("\"\\\b\f\n\r\t", c) >= 0:
			size++
		case c < ' ':
			size += len(`\u0000`) - 1
		}
	}
	return size
}

// numberSize is the length of a JSON number as a numeric of Postgres: without an exponent, and with all the digits behind
// the point that it was written with.
func numberSize(number string) int {
	digits, negative := strings.CutPrefix(number, "-")
	shift := 0
	if at := strings.IndexAny(digits, "eE"); at >= 0 {
		shift, _ = strconv.Atoi(digits[at+1:]) // what is out of range is at its end
		shift = min(max(shift, -maxPayload), maxPayload)
		digits = digits[:at]
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	size := 1 // 0
	if significant := strings.TrimLeft(whole+fraction, "0"); significant != "" {
		size = max(1, len(significant)-len(fraction)+shift)
		if negative {
			size++
		}
	}
	if scale := len(fraction) - shift; scale > 0 {
		size += len(".") + scale
	}
	return size
}

// CanHappen says whether there can be events of a type: of vendbox's own words there are only those above. product.* and the like
// stand for all that there are and will be.
func CanHappen(eventType string) bool {
	first, rest, _ := strings.Cut(eventType, ".")
	return rest == "*" || !slices.Contains(reservedTypes, first) || slices.Contains(ownTypes, eventType)
}
