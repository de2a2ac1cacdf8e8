package webhooks

import (
	"encoding/base64"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
)

const (
	defaultPage = 20
	maxPage     = 100
)

func pageSize(limit int) int {
	if limit <= 0 {
		return defaultPage
	}
	return min(limit, maxPage)
}

// parseCursor gives the id that a page's rows come before: all there are, for the empty cursor.
func parseCursor(cursor string) (uuid.UUID, error) {
	if cursor == "" {
		return uuid.Max, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return uuid.Nil, fault.Wrap(err, fault.Invalid, "cursor_invalid")
	}
	id, err := uuid.FromBytes(raw)
	if err != nil {
		return uuid.Nil, fault.Wrap(err, fault.Invalid, "cursor_invalid")
	}
	return id, nil
}

// page cuts one row more than asked for down to the page, and makes the cursor that leads on from it.
func page[R any](rows []R, limit int, idOf func(R) uuid.UUID) ([]R, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	last := idOf(rows[limit-1])
	return rows[:limit], base64.RawURLEncoding.EncodeToString(last[:])
}
