package outbox

// CheckCursor reads a cursor; what it accepts, it writes the same.
func CheckCursor(cursor string) error {
	_, err := parsePosition(cursor)
	return err
}
