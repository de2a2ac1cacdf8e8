package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// newInventoryServer has products and card imports, and takes uploads of up to 4 KiB.
func newInventoryServer(t *testing.T) (*testServer, *pgxpool.Pool) {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	return newTestServer(t, Deps{
		MaxUpload: 4096,
		Inventory: inventory.NewService(pool, vault, outbox.NewBox(pool, time.Now, nil), time.Now),
	}), pool
}

const productScopes = "products:read,products:write,cards:import"

func (s *testServer) makeProduct(sku, kind string) Product {
	s.t.Helper()
	var made Product
	s.as(productScopes, "POST", "/v1/products",
		`{"sku":"`+sku+`","name":"Game card","kind":"`+kind+`","price":{"amount":5000,"currency":"CNY"}}`).into(http.StatusCreated, &made)
	return made
}

func TestProductsThroughTheDoor(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	made := s.makeProduct("game-1", "counted")
	require.Equal(t, "active", made.Status)
	require.Equal(t, money{Amount: 5000, Currency: "CNY"}, made.Price)
	require.Nil(t, made.LowStockAt)
	require.Equal(t, stock{}, made.Stock)

	problem := s.as(productScopes, "POST", "/v1/products",
		`{"sku":"game-1","name":"Again","kind":"card","price":{"amount":1,"currency":"CNY"}}`).problem(http.StatusConflict, "sku_taken")
	require.Equal(t, "game-1", problem["sku"])

	var got Product
	s.as("products:read", "GET", "/v1/products/game-1", "").into(http.StatusOK, &got)
	require.Equal(t, made, got)
	s.as("products:read", "GET", "/v1/products/game-2", "").problem(http.StatusNotFound, "product_not_found")

	s.as(productScopes, "POST", "/v1/products/game-1/stock", `{"delta":7,"reason":"delivery"}`).into(http.StatusOK, &got)
	require.Equal(t, stock{Available: 7}, got.Stock)
	s.as("products:read", "GET", "/v1/products/game-1?stock=full", "").into(http.StatusOK, &got)
	require.Equal(t, stock{
		Available: 7, Reserved: new(int64(0)), Delivered: new(int64(0)), Disabled: new(int64(0)), Revoked: new(int64(0)), Imported: new(int64(7)),
	}, got.Stock)
	got = Product{}
	s.as("products:read", "GET", "/v1/products/game-1?stock=available", "").into(http.StatusOK, &got)
	require.Equal(t, stock{Available: 7}, got.Stock)
	s.as("products:read", "GET", "/v1/products/game-1?stock=all", "").problem(http.StatusUnprocessableEntity, "validation_failed")
	s.as("products:read", "GET", "/v1/products/none?stock=full", "").problem(http.StatusNotFound, "product_not_found")
	problem = s.as(productScopes, "POST", "/v1/products/game-1/stock", `{"delta":-8,"reason":"broken"}`).
		problem(http.StatusConflict, "stock_below_zero")
	require.InDelta(t, 7, problem["available"], 0)
	s.as(productScopes, "POST", "/v1/products/game-1/stock", `{"delta":0,"reason":"x"}`).
		problem(http.StatusUnprocessableEntity, "stock_delta_zero")
	s.makeProduct("game-2", "card")
	s.as(productScopes, "POST", "/v1/products/game-2/stock", `{"delta":1,"reason":"x"}`).
		problem(http.StatusConflict, "product_not_counted")
}

func TestProductPatchTellsNullFromNothing(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	s.makeProduct("game-1", "card")
	patch := func(body string) Product {
		var got Product
		s.as(productScopes, "PATCH", "/v1/products/game-1", body).into(http.StatusOK, &got)
		return got
	}
	require.Equal(t, int64(5), *patch(`{"low_stock_at":5}`).LowStockAt)
	got := patch(`{"name":"New","status":"disabled","price":{"amount":1,"currency":"USD"}}`)
	require.Equal(t, "New", got.Name)
	require.Equal(t, "disabled", got.Status)
	require.Equal(t, money{Amount: 1, Currency: "USD"}, got.Price)
	require.Equal(t, int64(5), *got.LowStockAt)
	require.Nil(t, patch(`{"low_stock_at":null}`).LowStockAt)
	require.Equal(t, got.Name, patch(`{}`).Name)

	for _, body := range []string{
		`{"low_stock_at":-1}`, `{"low_stock_at":"5"}`, `{"low_stock_at":1.5}`, `{"name":""}`, `{"status":"gone"}`, `{"sku":"other"}`,
		`{"price":{"amount":0,"currency":"USD"}}`, `{"price":{"amount":1}}`,
	} {
		s.as(productScopes, "PATCH", "/v1/products/game-1", body).problem(http.StatusUnprocessableEntity, "validation_failed")
	}
	s.as(productScopes, "PATCH", "/v1/products/none", `{}`).problem(http.StatusNotFound, "product_not_found")
}

func TestProductListPages(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	for _, sku := range []string{"a", "b", "c"} {
		s.makeProduct(sku, "card")
	}
	var page listBody[Product]
	s.as("products:read", "GET", "/v1/products?limit=2", "").into(http.StatusOK, &page)
	require.Len(t, page.Data, 2)
	require.Equal(t, "c", page.Data[0].SKU)
	require.Nil(t, page.Data[0].Stock.Reserved)
	rest := listBody[Product]{}
	s.as("products:read", "GET", "/v1/products?limit=2&cursor="+*page.NextCursor, "").into(http.StatusOK, &rest)
	require.Len(t, rest.Data, 1)
	require.Equal(t, "a", rest.Data[0].SKU)
	require.Nil(t, rest.NextCursor)
	full := listBody[Product]{}
	s.as("products:read", "GET", "/v1/products?limit=3", "").into(http.StatusOK, &full)
	require.Len(t, full.Data, 3)
	require.Nil(t, full.NextCursor, "the last page may be just full")
	s.as("products:read", "GET", "/v1/products?cursor=x", "").problem(http.StatusUnprocessableEntity, "cursor_invalid")
}

func TestProductInputIsChecked(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	for _, body := range []string{
		`{"sku":"-a","name":"N","kind":"card","price":{"amount":1,"currency":"CNY"}}`,
		`{"sku":"` + strings.Repeat("a", 65) + `","name":"N","kind":"card","price":{"amount":1,"currency":"CNY"}}`,
		`{"sku":"a\n","name":"N","kind":"card","price":{"amount":1,"currency":"CNY"}}`,
		`{"sku":"a","name":"","kind":"card","price":{"amount":1,"currency":"CNY"}}`,
		`{"sku":"a","name":"N","kind":"gift","price":{"amount":1,"currency":"CNY"}}`,
		`{"sku":"a","name":"N","kind":"card","price":{"amount":1000000000001,"currency":"CNY"}}`,
		`{"sku":"a","name":"N","kind":"card","price":{"amount":1,"currency":"cny"}}`,
		`{"sku":"a","name":"N","kind":"card"}`,
	} {
		s.as(productScopes, "POST", "/v1/products", body).problem(http.StatusUnprocessableEntity, "validation_failed")
	}
	s.as(productScopes, "GET", "/v1/products/a%20b", "").problem(http.StatusUnprocessableEntity, "validation_failed")
}

func TestProductScopes(t *testing.T) {
	t.Parallel()
	s, _ := newInventoryServer(t)
	s.makeProduct("game-1", "card")
	for _, call := range []struct{ scopes, method, path, body string }{
		{"products:read", "POST", "/v1/products", `{}`},
		{"products:read", "PATCH", "/v1/products/game-1", `{}`},
		{"cards:import", "POST", "/v1/products/game-1/stock", `{}`},
		{"products:write", "GET", "/v1/products", ""},
		{"cards:import", "GET", "/v1/products/game-1", ""},
		{"products:read,products:write", "POST", "/v1/products/game-1/card-imports", "A"},
	} {
		s.as(call.scopes, call.method, call.path, call.body).problem(http.StatusForbidden, "scope_missing")
	}
}
