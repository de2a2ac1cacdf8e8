package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// maxInvalidListed bounds Report.Invalid; InvalidCount counts them all.
const maxInvalidListed = 1000

// ImportStatus says how far an import is.
type ImportStatus string

// The statuses.
const (
	ImportRunning   ImportStatus = "running"
	ImportCompleted ImportStatus = "completed"
	ImportFailed    ImportStatus = "failed" // and left nothing behind
)

// Report is what became of an import. Lines = Imported + the duplicates + InvalidCount; blank lines and a CSV file's
// header do not count.
type Report struct {
	ID                  uuid.UUID     `json:"id"`
	SKU                 string        `json:"sku"`
	Status              ImportStatus  `json:"status"`
	Format              Format        `json:"format"`
	Lines               int64         `json:"lines"`
	Imported            int64         `json:"imported"`
	DuplicatesInFile    int64         `json:"duplicates_in_file"`
	DuplicatesInStock   int64         `json:"duplicates_in_stock"`
	DuplicatesDelivered int64         `json:"duplicates_delivered"` // or disabled, or revoked: known, and not for sale
	InvalidCount        int64         `json:"invalid_count"`
	Invalid             []InvalidLine `json:"invalid"`         // the first 1,000; none in a list of reports
	Error               string        `json:"error,omitempty"` // why it failed: interrupted, abandoned, internal or a fault's code
	Actor               string        `json:"actor"`
	CreatedAt           time.Time     `json:"created_at"`
	FinishedAt          *time.Time    `json:"finished_at,omitempty"`
}

// InvalidLine is a line that was refused. It never says what stood there.
type InvalidLine struct {
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

func (r *Report) refuse(line int64, reason string) {
	r.Lines++
	r.InvalidCount++
	if len(r.Invalid) < maxInvalidListed {
		r.Invalid = append(r.Invalid, InvalidLine{Line: line, Reason: reason})
	}
}

// GetImport returns the report of a product's import, or the fault card_import_not_found.
func (s *Service) GetImport(ctx context.Context, sku string, id uuid.UUID) (Report, error) {
	row, err := dbq.New(s.pool).CardImportByID(ctx, dbq.CardImportByIDParams{SKU: sku, ID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return Report{}, fault.New(fault.NotFound, "card_import_not_found", "import_id", id)
	}
	if err != nil {
		return Report{}, fmt.Errorf("read card import %s: %w", id, err)
	}
	return reportOf(row)
}

// ListImports returns a page of a product's reports without their invalid lines, the newest first, and the cursor of the
// next, empty on the last. Errors: cursor_invalid, product_not_found.
func (s *Service) ListImports(ctx context.Context, sku, cursor string, limit int) ([]Report, string, error) {
	page, err := paging.Parse(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	q := dbq.New(s.pool)
	product, err := bySKU(ctx, q, sku)
	if err != nil {
		return nil, "", err
	}
	rows, err := q.CardImportList(ctx, dbq.CardImportListParams{
		ProductID: product.ID, Before: page.Before, MaxRows: page.MaxRows,
	})
	if err != nil {
		return nil, "", fmt.Errorf("list card imports of %s: %w", sku, err)
	}
	rows, next := paging.Cut(page, rows, func(row dbq.CardImportListRow) uuid.UUID { return row.ID })
	reports := make([]Report, len(rows))
	for i, row := range rows {
		if reports[i], err = reportOf(dbq.CardImportByIDRow(row)); err != nil {
			return nil, "", err
		}
	}
	return reports, next, nil
}

func reportOf(row dbq.CardImportByIDRow) (Report, error) {
	report := Report{
		ID: row.ID, SKU: row.SKU, Status: ImportStatus(row.Status), Format: Format(row.Format), Lines: row.Lines,
		Imported: row.Imported, DuplicatesInFile: row.DuplicatesInFile, DuplicatesInStock: row.DuplicatesInStock,
		DuplicatesDelivered: row.DuplicatesDelivered, InvalidCount: row.InvalidCount, Error: textOf(row.Error),
		Actor: row.Actor, CreatedAt: row.CreatedAt.UTC(),
	}
	if row.FinishedAt != nil {
		report.FinishedAt = new(row.FinishedAt.UTC())
	}
	if err := json.Unmarshal(row.Invalid, &report.Invalid); err != nil {
		return Report{}, fmt.Errorf("invalid lines of card import %s: %w", row.ID, err)
	}
	return report, nil
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
