package outbox

// CheckCursor reads a cursor; what it accepts, it writes the same.
func CheckCursor(cursor string) error {
	_, err := parsePosition(cursor)
	return err
}

// Measure is what CheckForeign goes by.
var Measure = measure

// ReservedTypes are the first words of vendbox's own event types.
var ReservedTypes = reservedTypes

// OwnTypes are vendbox's own event types.
var OwnTypes = ownTypes
