// Package paging cuts lists into pages: the newest first, by the UUIDv7 of their rows, and never by OFFSET.
package paging

import (
	"encoding/base64"
	"errors"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
)

// How many rows a page has when its caller does not say, and at most.
const (
	Default = 20
	Max     = 100
)

// Page says which rows of a list to read: up to MaxRows of those with an id before Before, the newest first. MaxRows is
// one more than the page holds: without a row beyond it, a page that is just full is known to be the last.
type Page struct {
	Before  uuid.UUID
	MaxRows int32
}

// Parse makes the page of a cursor, which is empty for the first page, and of a limit, which is Default at 0 or less
// and Max at the most. Errors: cursor_invalid.
func Parse(cursor string, limit int) (Page, error) {
	if limit <= 0 {
		limit = Default
	}
	page := Page{Before: uuid.Max, MaxRows: int32(min(limit, Max)) + 1}
	if cursor == "" {
		return page, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		page.Before, err = uuid.FromBytes(raw)
	}
	if err == nil && Cursor(page.Before) != cursor { // base64 reads over line ends and stray bits
		err = errors.New("paging: a cursor written in another way than ours")
	}
	if err != nil {
		return Page{}, fault.Wrap(err, fault.Invalid, "cursor_invalid")
	}
	return page, nil
}

// Cut drops the row beyond the page, and makes the cursor of the next page: empty when this one is the last.
func Cut[R any](page Page, rows []R, id func(R) uuid.UUID) (kept []R, next string) {
	size := int(page.MaxRows) - 1
	if len(rows) <= size {
		return rows, ""
	}
	return rows[:size], Cursor(id(rows[size-1]))
}

// Cursor makes the cursor of what comes after an id: the id in other clothes, so that nobody builds on it. Lists use Cut;
// this is for a search that stops before its page is full.
func Cursor(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
