package inventory_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// testBundle is a service on a database of its own.
type testBundle struct {
	*inventory.Service

	pool  *pgxpool.Pool
	vault *cardvault.Vault
	made  atomic.Int64
}

func setup(tb testing.TB) *testBundle {
	tb.Helper()
	pool := pgtest.New(tb)
	vault, err := cardvault.Open(tb.Context(), pool, cardvault.NewMasterKey())
	require.NoError(tb, err)
	return &testBundle{
		Service: inventory.NewService(pool, vault, outbox.NewBox(pool, time.Now, nil), time.Now),
		pool:    pool, vault: vault,
	}
}

// product makes one and gives its SKU.
func (b *testBundle) product(tb testing.TB, kind inventory.Kind) string {
	tb.Helper()
	sku := "sku-" + string('a'+rune(b.made.Add(1)))
	_, err := b.Create(tb.Context(), inventory.CreateParams{
		SKU: sku, Name: "Product", Kind: kind, Price: inventory.Money{Amount: 5000, Currency: "CNY"},
	})
	require.NoError(tb, err)
	return sku
}

// take imports a text file.
func (b *testBundle) take(tb testing.TB, sku, text string) inventory.Report {
	tb.Helper()
	report, err := b.Import(tb.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatText, Reader: strings.NewReader(text), Actor: "key:test",
	})
	require.NoError(tb, err)
	return report
}

// count runs a query for one number.
func (b *testBundle) count(tb testing.TB, sql string, args ...any) int64 {
	tb.Helper()
	var n int64
	require.NoError(tb, b.pool.QueryRow(tb.Context(), sql, args...).Scan(&n))
	return n
}

// cards opens every card of a product that is available, in the order in which they are sold.
func (b *testBundle) cards(tb testing.TB, sku string) []string {
	tb.Helper()
	rows, err := b.pool.Query(tb.Context(), `
		select c.id, c.sealed from cards c join products p on p.id = c.product_id
		where p.sku = $1 and c.state = 'available' order by c.expires_at nulls last, c.id`, sku)
	require.NoError(tb, err)
	codes := []string{}
	var id uuid.UUID
	var sealed []byte
	for rows.Next() {
		require.NoError(tb, rows.Scan(&id, &sealed))
		code, err := b.vault.Unseal(tb.Context(), cardvault.KindCard, id, sealed)
		require.NoError(tb, err)
		codes = append(codes, string(code))
	}
	require.NoError(tb, rows.Err())
	return codes
}
