package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/dbq"
)

const (
	// chunkLines is how many lines one COPY brings: enough that its round trip is nothing, few enough that those under
	// way fit in some megabytes.
	chunkLines = 5000
	// chunkBytes bounds the codes of a chunk, for files of long lines.
	chunkBytes = 1 << 20
	// stagers seal and copy at the same time.
	stagers = 2
	// aliveEvery is how often an import gives a sign of life.
	aliveEvery = 10 * time.Second
)

// chunk is a part of a file on its way to the staging table.
type chunk struct {
	lines []parsed
	bytes int
}

func (c *chunk) full() bool { return len(c.lines) >= chunkLines || c.bytes >= chunkBytes }

// stage reads all lines and copies those that may become cards, sealed, to the staging table. report gets its Lines and
// the invalid ones. The reading is done here, so that nothing reads from the caller's reader after Import has returned.
func (s *Service) stage(ctx context.Context, lines parser, report *Report) error {
	chunks := make(chan chunk)
	g, ctx := errgroup.WithContext(ctx)
	for range stagers {
		g.Go(func() error {
			for c := range chunks {
				if err := s.copyChunk(ctx, report.ID, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	readErr := readChunks(ctx, lines, report, chunks)
	close(chunks)
	if err := g.Wait(); err != nil {
		return err
	}
	return readErr
}

func readChunks(ctx context.Context, lines parser, report *Report, chunks chan<- chunk) error {
	var c chunk
	send := func() error {
		select {
		case chunks <- c:
			c = chunk{}
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			if len(c.lines) == 0 {
				return nil
			}
			return send()
		case err != nil:
			return err
		case line.reason != "":
			report.refuse(line.line, line.reason)
			continue
		}
		report.Lines++
		if c.lines == nil {
			c.lines = make([]parsed, 0, chunkLines)
		}
		c.lines = append(c.lines, line)
		c.bytes += len(line.code)
		if c.full() {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

// copyChunk seals a chunk and copies it, in a statement of its own.
func (s *Service) copyChunk(ctx context.Context, importID uuid.UUID, c chunk) error {
	rows := make([]dbq.CardImportLineCopyParams, len(c.lines))
	for i, line := range c.lines {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("card id: %w", err)
		}
		sealed, err := s.vault.Seal(cardvault.KindCard, id, line.code)
		if err != nil {
			return err
		}
		rows[i] = dbq.CardImportLineCopyParams{
			ImportID: importID, Line: line.line, CardID: id, Sealed: sealed, ExpiresAt: line.expiresAt,
			Fingerprint: s.vault.Fingerprint(cardvault.KindCard, line.code),
		}
	}
	if _, err := dbq.New(s.pool).CardImportLineCopy(ctx, rows); err != nil {
		return fmt.Errorf("stage cards: %w", err)
	}
	return nil
}
