package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
)

// maxDelimiter bounds ImportParams.Delimiter, in bytes.
const maxDelimiter = 16

// Why an import failed, where no fault says it.
const (
	failedInterrupted = "interrupted" // the reader failed: the client went away, or the file could not be read
	failedAbandoned   = "abandoned"   // its process died; CardImportFailStale writes it
	failedInternal    = "internal"    // our own failure; the log has it
)

// ImportParams of Import.
type ImportParams struct {
	SKU    string
	Format Format
	// Delimiter stands between the cards of FormatText (default: the line end; CR LF will do as well) or between the
	// fields of FormatCSV (one ASCII character; default: a comma). At most 16 bytes.
	Delimiter string
	Reader    io.Reader
	Actor     string
}

// Import reads cards until the reader ends and then takes them all into stock at once, or none. Memory is bounded,
// whatever the size, and no transaction is open while it reads. A code that the product has already, in whatever
// state, is not imported again, so sending a file twice is safe, and is the repair of an import that failed.
//
// Faults: product_not_found, product_not_card, import_format_invalid, import_delimiter_invalid, import_header_invalid,
// import_abandoned (it was silent for so long that CleanStaleImports took it for dead), import_lost (Postgres
// restarted after a crash and forgot the lines). A fault that the reader returns is passed on. Whatever the error, the
// import's row says that it failed; only with pgdb.ErrCommitUnknown it may have completed, which GetImport then tells.
func (s *Service) Import(ctx context.Context, p ImportParams) (Report, error) {
	product, err := bySKU(ctx, dbq.New(s.pool), p.SKU)
	if err != nil {
		return Report{}, err
	}
	if product.Kind != KindCard {
		return Report{}, fault.New(fault.Conflict, "product_not_card", "sku", p.SKU)
	}
	if len(p.Delimiter) > maxDelimiter {
		return Report{}, fault.New(fault.Invalid, "import_delimiter_invalid", "format", string(p.Format))
	}
	in := &faultyReader{Reader: p.Reader}
	lines, err := newParser(p.Format, p.Delimiter, in, s.timestamp())
	if err != nil {
		return Report{}, err
	}
	report := Report{
		ID: uuid.Must(uuid.NewV7()), SKU: p.SKU, Status: ImportRunning, Format: p.Format, Invalid: []InvalidLine{},
		Actor: p.Actor, CreatedAt: s.timestamp(),
	}
	err = dbq.New(s.pool).CardImportInsert(ctx, dbq.CardImportInsertParams{
		ID: report.ID, ProductID: product.ID, Format: string(p.Format), Actor: p.Actor, CreatedAt: report.CreatedAt,
	})
	if err != nil {
		return Report{}, fmt.Errorf("begin card import: %w", err)
	}
	if err := s.run(ctx, product, lines, &report); err != nil {
		if in.err != nil && errors.Is(err, in.err) {
			err = fmt.Errorf("read cards: %w", err)
		}
		return Report{}, errors.Join(err, s.fail(ctx, &report, failureOf(err, in)))
	}
	return report, nil
}

func (s *Service) run(ctx context.Context, product Product, lines parser, report *Report) error {
	if err := s.stageAlive(ctx, lines, report); err != nil {
		return err
	}
	return s.merge(ctx, product, report)
}

// stageAlive is stage with signs of life.
func (s *Service) stageAlive(ctx context.Context, lines parser, report *Report) error {
	ctx, stop := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.keepAlive(ctx, report.ID)
	}()
	err := s.stage(ctx, lines, report)
	stop()
	<-stopped
	return err
}

// keepAlive tells CleanStaleImports that the import goes on, until ctx ends. A sign that fails is made up for by the
// next.
func (s *Service) keepAlive(ctx context.Context, id uuid.UUID) {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = dbq.New(s.pool).CardImportAlive(ctx, id)
		}
	}
}

// failureOf is what a failed import's row says.
func failureOf(err error, in *faultyReader) string {
	if f, ok := fault.As(err); ok {
		return f.Code
	}
	if in.err != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return failedInterrupted
	}
	return failedInternal
}

// fail marks the import as failed and forgets its lines, also when its context has ended.
func (s *Service) fail(ctx context.Context, report *Report, why string) error {
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	invalid, err := json.Marshal(report.Invalid)
	if err != nil {
		return fmt.Errorf("invalid lines: %w", err)
	}
	q, now := dbq.New(s.pool), s.timestamp()
	_, err = q.CardImportFail(ctx, dbq.CardImportFailParams{
		ID: report.ID, Error: why, Lines: report.Lines, InvalidCount: report.InvalidCount, Invalid: invalid,
		FinishedAt: &now,
	})
	if err != nil {
		return fmt.Errorf("mark card import %s as failed: %w", report.ID, err)
	}
	if _, err := q.CardImportLinesDelete(ctx, report.ID); err != nil {
		return fmt.Errorf("forget the lines of card import %s: %w", report.ID, err)
	}
	return nil
}

// faultyReader remembers what the reader failed with, to tell its failures from our own.
type faultyReader struct {
	io.Reader

	err error
}

func (r *faultyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
