package paging_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// read is what a query does with a page.
func read(list []uuid.UUID, page paging.Page) []uuid.UUID {
	var rows []uuid.UUID
	for _, id := range list {
		if id.String() < page.Before.String() && len(rows) < int(page.MaxRows) {
			rows = append(rows, id)
		}
	}
	return rows
}

func same(id uuid.UUID) uuid.UUID { return id }

func TestPagesAreTheListAndNoneIsEmpty(t *testing.T) {
	t.Parallel()
	for rows, wantPages := range map[int]int{0: 1, 1: 1, 3: 1, 4: 2, 6: 2, 7: 3} {
		list := make([]uuid.UUID, rows)
		for i := range list {
			list[i] = uuid.Must(uuid.NewV7())
		}
		slices.Reverse(list)
		var got []uuid.UUID
		pages, cursor := 0, ""
		for pages == 0 || cursor != "" {
			page, err := paging.Parse(cursor, 3)
			require.NoError(t, err)
			var kept []uuid.UUID
			kept, cursor = paging.Cut(page, read(list, page), same)
			got = append(got, kept...)
			pages++
		}
		require.True(t, slices.Equal(list, got), "%d rows", rows)
		require.Equal(t, wantPages, pages, "%d rows", rows)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int32{-1: 21, 0: 21, 1: 2, 100: 101, 101: 101, 1 << 40: 101} {
		page, err := paging.Parse("", limit)
		require.NoError(t, err)
		require.Equal(t, paging.Page{Before: uuid.Max, MaxRows: want}, page, limit)
	}
}

func TestForeignCursorsAreRefused(t *testing.T) {
	t.Parallel()
	for _, cursor := range []string{
		"x", "!!!!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAAAAAAAAAAAAAAAAAAAA\n", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAA",
		"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2",
	} {
		_, err := paging.Parse(cursor, 1)
		require.True(t, fault.HasCode(err, "cursor_invalid"), "%q: %v", cursor, err)
	}
}

// What is taken for a cursor is one that Cut writes, byte by byte.
func FuzzCursor(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("AZxfbnwae2CaVB8Oiis8Tf")
	f.Fuzz(func(t *testing.T, cursor string) {
		page, err := paging.Parse(cursor, 1)
		if err != nil {
			require.True(t, fault.HasCode(err, "cursor_invalid"), "%v", err)
			return
		}
		if cursor != "" {
			_, again := paging.Cut(page, []uuid.UUID{page.Before, uuid.Nil}, same)
			require.Equal(t, cursor, again)
		}
	})
}
