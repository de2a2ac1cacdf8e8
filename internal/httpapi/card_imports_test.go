package httpapi

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

func (s *testServer) importCards(sku, query, contentType, body string) *answer {
	s.t.Helper()
	return s.as(productScopes, "POST", "/v1/products/"+sku+"/card-imports"+query, body, "Content-Type", contentType)
}

func TestCardImportThroughTheDoor(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	s.makeProduct("game-1", "card")
	var report CardImport
	a := s.importCards("game-1", "", "text/plain; charset=UTF-8", "\uFEFFAAA\r\n\r\nBBB\r\nAAA\r\nC\x00C\r\n")
	a.into(http.StatusCreated, &report)
	require.Equal(t, CardImport{
		ID: report.ID, SKU: "game-1", Status: "completed", Format: "text", Lines: 4, Imported: 2, DuplicatesInFile: 1, InvalidCount: 1,
		Invalid: []invalidLine{{Line: 5, Reason: "control_character"}}, Actor: "key:testtest",
		CreatedAt: report.CreatedAt, FinishedAt: report.FinishedAt,
	}, report)
	require.Contains(t, string(a.body), `"duplicates_in_stock":0`)

	var got CardImport
	s.as("products:read", "GET", a.Header.Get("Location"), "").into(http.StatusOK, &got)
	require.Equal(t, report, got)
	s.as("products:read", "GET", "/v1/products/game-1/card-imports/"+uuid.NewString(), "").
		problem(http.StatusNotFound, "card_import_not_found")

	s.importCards("game-1", "", "text/csv", "pin,serial\nP1,S1\nP2,\n").into(http.StatusCreated, &report)
	require.Equal(t, int64(2), report.Imported)
	s.importCards("game-1", "?delimiter=%3B%3B", "text/plain", "AAA;;DDD;;E;F").into(http.StatusCreated, &report)
	require.Equal(t, int64(2), report.Imported)
	require.Equal(t, int64(1), report.DuplicatesInStock)

	var page listBody[CardImport]
	s.as("products:read", "GET", "/v1/products/game-1/card-imports?limit=1", "").into(http.StatusOK, &page)
	require.Equal(t, report.ID, page.Data[0].ID)
	rest := listBody[CardImport]{}
	s.as("products:read", "GET", "/v1/products/game-1/card-imports?limit=2&cursor="+*page.NextCursor, "").into(http.StatusOK, &rest)
	require.Len(t, rest.Data, 2)
	require.Nil(t, rest.NextCursor, "the last page may be just full")
	require.Empty(t, rest.Data[1].Invalid)
	require.Equal(t, int64(1), rest.Data[1].InvalidCount)

	var product Product
	s.as("products:read", "GET", "/v1/products/game-1", "").into(http.StatusOK, &product)
	require.Equal(t, int64(6), product.Stock.Available)
}

func TestCardImportRefusedAtTheDoor(t *testing.T) {
	t.Parallel()
	s, pool := newInventoryServer(t)
	s.makeProduct("game-1", "card")
	s.makeProduct("count-1", "counted")
	const secret = "SECRET-CODE"
	for _, test := range []struct {
		sku, query, contentType, body string
		status                        int
		code                          string
	}{
		{"none", "", "text/plain", secret, http.StatusNotFound, "product_not_found"},
		{"a%20b", "", "text/plain", secret, http.StatusNotFound, "product_not_found"},
		{"count-1", "", "text/plain", secret, http.StatusConflict, "product_not_card"},
		{"game-1", "", "application/json", secret, http.StatusUnsupportedMediaType, "unsupported_media_type"},
		{"game-1", "", "", secret, http.StatusUnsupportedMediaType, "unsupported_media_type"},
		{"game-1", "", "text/plain; charset=gbk", secret, http.StatusUnsupportedMediaType, "unsupported_media_type"},
		{"game-1", "", "text/plain", "", http.StatusBadRequest, "body_missing"},
		{"game-1", "?delimeter=%3B", "text/plain", secret, http.StatusUnprocessableEntity, "validation_failed"},
		{"game-1", "?delimiter=ab", "text/csv", "pin\n" + secret, http.StatusUnprocessableEntity, "import_delimiter_invalid"},
		{"game-1", "", "text/csv", secret + "," + secret, http.StatusUnprocessableEntity, "import_header_invalid"},
		{"game-1", "", "text/plain", strings.Repeat(secret+"\n", 400), http.StatusRequestEntityTooLarge, "body_too_large"},
	} {
		a := s.importCards(test.sku, test.query, test.contentType, test.body)
		a.problem(test.status, test.code)
		require.NotContains(t, string(a.body), secret)
	}
	require.NotContains(t, s.log.String(), secret)
	require.Zero(t, countRows(t, pool, "cards"))
	require.Zero(t, countRows(t, pool, "card_import_lines"))
}

func countRows(t *testing.T, pool *pgxpool.Pool, table string) int {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "select count(*) from "+table).Scan(&n))
	return n
}

// TestCardImportCutOff sends half of a body and goes away.
func TestCardImportCutOff(t *testing.T) {
	t.Parallel()
	s, pool := newInventoryServer(t)
	s.makeProduct("game-1", "card")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	w := bufio.NewWriter(conn)
	fmt.Fprintf(w, "POST /v1/products/game-1/card-imports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\nAAA\nBBB\n", productScopes)
	require.NoError(t, w.Flush())
	require.Eventually(t, func() bool { return countRows(t, pool, "card_imports") == 1 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, conn.Close())

	var page listBody[CardImport]
	require.Eventually(t, func() bool {
		s.as("products:read", "GET", "/v1/products/game-1/card-imports", "").into(http.StatusOK, &page)
		return page.Data[0].Status == "failed"
	}, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, []string{"body_incomplete", "interrupted"}, page.Data[0].Error)
	require.Zero(t, countRows(t, pool, "cards"))
	require.Zero(t, countRows(t, pool, "card_import_lines"))
}
