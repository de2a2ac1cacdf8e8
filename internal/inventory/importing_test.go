package inventory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/inventory"
)

func TestImportText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	report := b.take(t, sku, "\uFEFFAAA-1\r\n\r\nBBB-2\r\nAAA-1\r\nbad\x00bad\r\nCCC-3")
	require.Equal(t, inventory.Report{
		ID: report.ID, SKU: sku, Status: inventory.ImportCompleted, Format: inventory.FormatText, Lines: 5, Imported: 3,
		DuplicatesInFile: 1, InvalidCount: 1, Invalid: []inventory.InvalidLine{{Line: 5, Reason: "control_character"}},
		Actor: "key:test", CreatedAt: report.CreatedAt, FinishedAt: report.FinishedAt,
	}, report)
	require.Equal(t, []string{"AAA-1", "BBB-2", "CCC-3"}, b.cards(t, sku), "sold in the order of the file")

	product, err := b.GetWithStock(t.Context(), sku)
	require.NoError(t, err)
	require.Equal(t, int64(3), product.Available)
	require.Equal(t, int64(3), product.Stock.Imported)

	stored, err := b.GetImport(t.Context(), sku, report.ID)
	require.NoError(t, err)
	require.Equal(t, report, stored)
	listed, next, err := b.ListImports(t.Context(), sku, "", 1)
	require.NoError(t, err)
	require.Empty(t, next, "the page is full, and the last")
	stored.Invalid = []inventory.InvalidLine{}
	require.Equal(t, []inventory.Report{stored}, listed)

	var payload []byte
	require.NoError(t, b.pool.QueryRow(t.Context(), `select payload from outbox where type = 'stock.imported'
		and aggregatetype = 'product' and aggregateid = $1`, product.ID.String()).Scan(&payload))
	require.JSONEq(t, fmt.Sprintf(`{"import_id":%q,"product_id":%q,"sku":%q,"imported":3,"available":3}`,
		report.ID, product.ID, sku), string(payload))
	require.Zero(t, b.count(t, `select count(*) from card_import_lines`))
}

func TestImportCSV(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	report, err := b.Import(t.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatCSV, Delimiter: ";", Actor: "key:test",
		Reader: strings.NewReader("expires_at;pin;serial\n;P1;S1\n2999-01-01;P2;S2\n2001-01-01;P3;S3\n;;S4\n"),
	})
	require.NoError(t, err)
	require.Equal(t, int64(4), report.Lines)
	require.Equal(t, int64(2), report.Imported)
	require.Equal(t, []inventory.InvalidLine{{Line: 4, Reason: "expired"}, {Line: 5, Reason: "pin_missing"}}, report.Invalid)
	require.Equal(t, []string{"S2 P2", "S1 P1"}, b.cards(t, sku), "what expires goes first")
	require.Equal(t, int64(1), b.take(t, sku, "S1 P1\n").DuplicatesInStock, "a code is the same in either format")
}

func TestImportTellsDuplicatesApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku, other := b.product(t, inventory.KindCard), b.product(t, inventory.KindCard)
	b.take(t, sku, "available\ndelivered\ndisabled\nrevoked\n")
	for _, state := range []string{"delivered", "disabled", "revoked"} {
		_, err := b.pool.Exec(t.Context(), `update cards set state = $1 where fingerprint = $2`,
			state, b.vault.Fingerprint("card", []byte(state)))
		require.NoError(t, err)
	}
	report := b.take(t, sku, "new\nrevoked\nnew\ndelivered\navailable\ndisabled\navailable\ndelivered\n")
	require.Equal(t, int64(8), report.Lines)
	require.Equal(t, int64(1), report.Imported)
	require.Equal(t, int64(3), report.DuplicatesInFile, "beside the first of its kind a line is a duplicate in the file")
	require.Equal(t, int64(1), report.DuplicatesInStock)
	require.Equal(t, int64(3), report.DuplicatesDelivered)
	require.Equal(t, int64(4), b.take(t, other, "available\ndelivered\ndisabled\nrevoked\n").Imported, "products are apart")
}

func TestImportOfNothingNew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	b.take(t, sku, "A\n")
	events := b.count(t, `select count(*) from outbox`)
	for _, file := range []string{"", "\n\n", "A\n", "\x00\n"} {
		report := b.take(t, sku, file)
		require.Equal(t, inventory.ImportCompleted, report.Status)
		require.Zero(t, report.Imported)
		require.NotNil(t, report.Invalid)
	}
	require.Equal(t, events, b.count(t, `select count(*) from outbox`), "no news, no event")
	require.Equal(t, int64(1), b.count(t, `select count(*) from stock_movements`))
}

func TestImportRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	card, counted := b.product(t, inventory.KindCard), b.product(t, inventory.KindCounted)
	for code, p := range map[string]inventory.ImportParams{
		"product_not_found":        {SKU: "none", Format: inventory.FormatText},
		"product_not_card":         {SKU: counted, Format: inventory.FormatText},
		"import_format_invalid":    {SKU: card, Format: "xlsx"},
		"import_delimiter_invalid": {SKU: card, Format: inventory.FormatText, Delimiter: strings.Repeat("-", 17)},
	} {
		p.Reader = iotest.ErrReader(errors.New("read before the parameters were checked"))
		_, err := b.Import(t.Context(), p)
		require.True(t, fault.HasCode(err, code), "%s: %v", code, err)
	}
	require.Zero(t, b.count(t, `select count(*) from card_imports`))
	_, err := b.GetImport(t.Context(), card, uuid.New())
	require.True(t, fault.HasCode(err, "card_import_not_found"), "%v", err)
	_, _, err = b.ListImports(t.Context(), "none", "", 10)
	require.True(t, fault.HasCode(err, "product_not_found"), "%v", err)
}

// requireNothing wants an import that left nothing but its failed row.
func (b *testBundle) requireNothing(t *testing.T, sku, why string) {
	t.Helper()
	reports, _, err := b.ListImports(t.Context(), sku, "", 1)
	require.NoError(t, err)
	require.Len(t, reports, 1)
	require.Equal(t, inventory.ImportFailed, reports[0].Status)
	require.Equal(t, why, reports[0].Error)
	require.NotNil(t, reports[0].FinishedAt)
	for _, table := range []string{"cards", "card_import_lines", "stock_movements", "outbox"} {
		require.Zero(t, b.count(t, `select count(*) from `+table), table)
	}
	require.Zero(t, b.count(t, `select sum(available) from stock`))
}

func TestImportInterrupted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err       error
		code, why string
	}{
		"connection": {io.ErrUnexpectedEOF, "", "interrupted"},
		"door":       {fault.New(fault.TooLarge, "body_too_large"), "body_too_large", "body_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			sku := b.product(t, inventory.KindCard)
			_, err := b.Import(t.Context(), inventory.ImportParams{
				SKU: sku, Format: inventory.FormatText, Actor: "key:test",
				Reader: io.MultiReader(&codes{left: 12_000}, iotest.ErrReader(test.err)),
			})
			require.ErrorIs(t, err, test.err)
			if test.code != "" {
				require.True(t, fault.HasCode(err, test.code))
			}
			b.requireNothing(t, sku, test.why)
		})
	}
}

func TestImportCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := b.Import(ctx, inventory.ImportParams{
		SKU: sku, Format: inventory.FormatText, Actor: "key:test",
		Reader: io.MultiReader(&codes{left: 12_000}, readFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		})),
	})
	require.ErrorIs(t, err, context.Canceled)
	b.requireNothing(t, sku, "interrupted")
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestImportCSVWithoutHeaderLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	_, err := b.Import(t.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatCSV, Actor: "key:test", Reader: strings.NewReader("S1,P1\nS2,P2\n"),
	})
	require.True(t, fault.HasCode(err, "import_header_invalid"), "%v", err)
	b.requireNothing(t, sku, "import_header_invalid")
}

func TestImportAtOnceTakesEachCardOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	const lines, rivals = 12_000, 3
	reports := make([]inventory.Report, rivals)
	errs := make([]error, rivals)
	var done sync.WaitGroup
	for i := range rivals {
		done.Go(func() {
			reports[i], errs[i] = b.Import(t.Context(), inventory.ImportParams{
				SKU: sku, Format: inventory.FormatText, Actor: "key:test", Reader: &codes{left: lines},
			})
		})
	}
	done.Wait()
	total := int64(0)
	for i := range rivals {
		require.NoError(t, errs[i])
		require.Equal(t, int64(lines), reports[i].Imported+reports[i].DuplicatesInStock, "%+v", reports[i])
		total += reports[i].Imported
	}
	require.Equal(t, int64(lines), total)
	require.Equal(t, int64(lines), b.count(t, `select count(*) from cards`))
	require.Equal(t, int64(lines), b.count(t, `select sum(available) from stock`))
	require.Equal(t, int64(lines), b.count(t, `select sum(delta) from stock_movements`))
}

func TestImportInvalidListIsCapped(t *testing.T) {
	t.Parallel()
	b := setup(t)
	report := b.take(t, b.product(t, inventory.KindCard), strings.Repeat("\x01\n", 1500)+"A\n")
	require.Equal(t, int64(1500), report.InvalidCount)
	require.Equal(t, int64(1501), report.Lines)
	require.Equal(t, int64(1), report.Imported)
	require.Len(t, report.Invalid, 1000)
	require.Equal(t, int64(1000), report.Invalid[999].Line)
}

// TestImportLeaks looks for the codes everywhere but in the vault.
func TestImportLeaks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	const secret = "SECRET"
	var seen bytes.Buffer
	for _, file := range []string{
		"SECRET-1\nSECRET-3\nSECRET-1\nSECRET\x00\nSECRET\xff\n" + strings.Repeat(secret, 900) + "\n",
		"serial,pin,expires_at\nSECRET,SECRET,SECRET\n\"SECRET,1\nSECRET,SECRET-2,\n",
		"SECRET,SECRET\n",
	} {
		for _, format := range []inventory.Format{inventory.FormatText, inventory.FormatCSV} {
			report, err := b.Import(t.Context(), inventory.ImportParams{
				SKU: sku, Format: format, Reader: io.MultiReader(strings.NewReader(file)), Actor: "key:test",
			})
			fmt.Fprintf(&seen, "%+v %v\n", report, err)
			require.NoError(t, json.NewEncoder(&seen).Encode(report))
			_, err = b.Import(t.Context(), inventory.ImportParams{
				SKU: sku, Format: format, Reader: io.MultiReader(strings.NewReader(file), iotest.ErrReader(io.ErrUnexpectedEOF)),
			})
			require.Error(t, err)
			fmt.Fprintf(&seen, "%+v\n", err)
		}
	}
	for _, table := range []string{"cards", "card_imports", "card_import_lines", "stock_movements", "outbox", "river_job"} {
		var rows *string
		require.NoError(t, b.pool.QueryRow(t.Context(), `select string_agg(t::text, '') from `+table+` t`).Scan(&rows))
		if rows != nil {
			seen.WriteString(*rows)
		}
	}
	require.Greater(t, b.count(t, `select count(*) from cards`), int64(1))
	require.NotContains(t, seen.String(), secret)
	require.NotContains(t, seen.String(), fmt.Sprintf("%x", secret), "as a bytea prints")
}

func TestImportAfterAPostgresCrash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	_, err := b.Import(t.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatText, Actor: "key:test",
		Reader: io.MultiReader(&codes{left: 12_000}, readFunc(func([]byte) (int, error) {
			require.Eventually(t, func() bool { return b.count(t, `select count(*) from card_import_lines`) >= 5000 },
				10*time.Second, time.Millisecond)
			_, err := b.pool.Exec(t.Context(), `truncate card_import_lines`) // as recovery does with an unlogged table
			require.NoError(t, err)
			return 0, io.EOF
		})),
	})
	require.True(t, fault.HasCode(err, "import_lost"), "%v", err)
	b.requireNothing(t, sku, "import_lost")
}

func TestCleanStaleImports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	_, err := b.Import(t.Context(), inventory.ImportParams{
		SKU: sku, Format: inventory.FormatText, Actor: "key:test",
		Reader: io.MultiReader(&codes{left: 6000}, readFunc(func([]byte) (int, error) {
			cleaned, err := b.CleanStaleImports(t.Context(), time.Minute)
			require.NoError(t, err)
			require.Zero(t, cleaned, "it is alive")
			_, err = b.pool.Exec(t.Context(), `update card_imports set alive_at = now() - interval '2 minutes'`)
			require.NoError(t, err)
			cleaned, err = b.CleanStaleImports(t.Context(), time.Minute)
			require.NoError(t, err)
			require.Equal(t, 1, cleaned)
			return 0, io.EOF
		})),
	})
	require.True(t, fault.HasCode(err, "import_abandoned"), "what was taken for dead stays dead: %v", err)
	b.requireNothing(t, sku, "abandoned")
}

func TestCleanStaleImportsAfterAKill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sku := b.product(t, inventory.KindCard)
	b.take(t, sku, "A\n")
	_, err := b.pool.Exec(t.Context(), `
		with dead as (
			insert into card_imports (id, product_id, status, format, actor, alive_at)
			select gen_random_uuid(), id, 'running', 'text', 'key:test', now() - interval '1 hour' from products returning id)
		insert into card_import_lines (import_id, line, card_id, fingerprint, sealed)
		select id, 1, gen_random_uuid(), '\x00'::bytea, '\x00'::bytea from dead
		union all select gen_random_uuid(), 1, gen_random_uuid(), '\x00', '\x00'`) // and lines that came after its end
	require.NoError(t, err)
	cleaned, err := b.CleanStaleImports(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, 1, cleaned)
	require.Zero(t, b.count(t, `select count(*) from card_import_lines`))
	require.Equal(t, int64(1), b.count(t, `select count(*) from card_imports where status = 'failed' and error = 'abandoned'`))
	require.Equal(t, int64(1), b.count(t, `select count(*) from card_imports where status = 'completed'`))
	cleaned, err = b.CleanStaleImports(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Zero(t, cleaned)
}

// TestImportAddsUp imports random files one after the other and holds the sums against a model.
func TestImportAddsUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		sku := "p-" + uuid.NewString()
		_, err := b.Create(t.Context(), inventory.CreateParams{
			SKU: sku, Name: "Product", Kind: inventory.KindCard, Price: inventory.Money{Amount: 1, Currency: "USD"},
		})
		require.NoError(rt, err)
		known := map[string]bool{}
		for range rapid.IntRange(1, 3).Draw(rt, "files") {
			line := rapid.SampledFrom([]string{"A", " A ", "B", "C", "D\r", "E", "", " ", "\x02", "\xff"})
			lines := rapid.SliceOfN(line, 0, 12).Draw(rt, "lines")
			var want inventory.Report
			inFile := map[string]bool{}
			for _, text := range lines {
				code := strings.TrimSpace(text)
				switch {
				case code == "":
					continue
				case code == "\x02" || code == "\xff":
					want.InvalidCount++
				case inFile[code]:
					want.DuplicatesInFile++
				case known[code]:
					want.DuplicatesInStock++
				default:
					want.Imported++
				}
				inFile[code] = true
				want.Lines++
			}
			report := b.take(t, sku, strings.Join(lines, "\n"))
			for code := range inFile {
				known[code] = true
			}
			require.Equal(rt, want.Lines, report.Lines)
			require.Equal(rt, want.Imported, report.Imported)
			require.Equal(rt, want.DuplicatesInFile, report.DuplicatesInFile)
			require.Equal(rt, want.DuplicatesInStock, report.DuplicatesInStock)
			require.Equal(rt, want.InvalidCount, report.InvalidCount)
			require.Len(rt, report.Invalid, int(want.InvalidCount))
			product, err := b.GetWithStock(t.Context(), sku)
			require.NoError(rt, err)
			require.Equal(rt, product.Stock.Imported, product.Available)
			require.Len(rt, b.cards(t, sku), int(product.Available))
		}
	})
}
