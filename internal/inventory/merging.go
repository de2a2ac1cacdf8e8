package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// imported is the payload of the event stock.imported.
type imported struct {
	ImportID  uuid.UUID `json:"import_id"`
	ProductID uuid.UUID `json:"product_id"`
	SKU       string    `json:"sku"`
	Imported  int64     `json:"imported"`
	Available int64     `json:"available"`
}

// merge makes cards of the staged lines, adds them to the stock and completes the report, in one transaction. Two
// imports of the same codes wait for each other at the cards' unique index. The stock row, which orders are waiting
// for, is locked last.
func (s *Service) merge(ctx context.Context, product Product, report *Report) error {
	// The table was empty a moment ago as far as the planner knows. Outside of the transaction: ANALYZE has a lock that
	// other imports would wait for.
	if err := dbq.New(s.pool).CardImportLinesAnalyze(ctx); err != nil {
		return fmt.Errorf("analyze staged cards: %w", err)
	}
	done := *report
	err := s.box.InTx(ctx, func(tx *outbox.Tx) error {
		done = *report // it may run again
		if err := pgdb.WholeTables(ctx, tx); err != nil {
			return err
		}
		q := dbq.New(tx)
		_, err := q.CardImportLockRunning(ctx, report.ID)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.Conflict, "import_abandoned", "import_id", report.ID)
		}
		if err != nil {
			return fmt.Errorf("lock card import: %w", err)
		}
		if err := takeStaged(ctx, q, product, &done); err != nil {
			return err
		}
		if done.Imported > 0 {
			if err := addToStock(ctx, tx, product, &done); err != nil {
				return err
			}
		}
		done.Status, done.FinishedAt = ImportCompleted, &tx.Now
		return complete(ctx, q, &done)
	})
	if err != nil {
		return err
	}
	*report = done
	return nil
}

// takeStaged inserts the cards and counts what became of the lines.
func takeStaged(ctx context.Context, q *dbq.Queries, product Product, report *Report) error {
	var err error
	report.Imported, err = q.CardInsertStaged(ctx, dbq.CardInsertStagedParams{
		ProductID: product.ID, ImportID: report.ID,
	})
	if err != nil {
		return fmt.Errorf("insert cards: %w", err)
	}
	valid := report.Lines - report.InvalidCount
	if report.Imported < valid {
		known, err := q.CardCountKnown(ctx, dbq.CardCountKnownParams{ImportID: report.ID, ProductID: product.ID})
		if err != nil {
			return fmt.Errorf("count known cards: %w", err)
		}
		report.DuplicatesInStock, report.DuplicatesDelivered = known.InStock, known.Delivered
		report.DuplicatesInFile = valid - report.Imported - known.InStock - known.Delivered
	}
	staged, err := q.CardImportLinesDelete(ctx, report.ID)
	if err != nil {
		return fmt.Errorf("delete staged cards: %w", err)
	}
	if staged != valid {
		// The staging table is unlogged: a crash of Postgres empties it, and the lines sent after that are no whole.
		return fault.New(fault.Unavailable, "import_lost", "import_id", report.ID)
	}
	return nil
}

// addToStock makes the cards available, with the movement and the event that say so.
func addToStock(ctx context.Context, tx *outbox.Tx, product Product, report *Report) error {
	q := dbq.New(tx)
	err := q.StockMovementInsert(ctx, dbq.StockMovementInsertParams{
		ID: uuid.Must(uuid.NewV7()), ProductID: product.ID, Delta: report.Imported, Reason: "card import " + report.ID.String(),
		Actor: report.Actor, CreatedAt: tx.Now,
	})
	if err != nil {
		return fmt.Errorf("stock movement: %w", err)
	}
	stock, err := q.StockAdd(ctx, dbq.StockAddParams{ProductID: product.ID, Delta: report.Imported})
	if err != nil {
		return fmt.Errorf("add to stock: %w", err)
	}
	payload, err := json.Marshal(imported{
		ImportID: report.ID, ProductID: product.ID, SKU: product.SKU, Imported: report.Imported, Available: stock.Available,
	})
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	tx.Append(outbox.Event{
		AggregateType: "product", AggregateID: product.ID.String(), Type: "stock.imported", Payload: payload,
	})
	return announceAdded(tx, product, report.Imported, Level(stock))
}

func complete(ctx context.Context, q *dbq.Queries, report *Report) error {
	invalid, err := json.Marshal(report.Invalid)
	if err != nil {
		return fmt.Errorf("invalid lines: %w", err)
	}
	err = q.CardImportComplete(ctx, dbq.CardImportCompleteParams{
		ID: report.ID, Lines: report.Lines, Imported: report.Imported, DuplicatesInFile: report.DuplicatesInFile,
		DuplicatesInStock: report.DuplicatesInStock, DuplicatesDelivered: report.DuplicatesDelivered,
		InvalidCount: report.InvalidCount, Invalid: invalid, FinishedAt: report.FinishedAt,
	})
	if err != nil {
		return fmt.Errorf("complete card import: %w", err)
	}
	return nil
}
