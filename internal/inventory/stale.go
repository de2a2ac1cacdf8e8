package inventory

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// CleanStaleImports marks the imports that gave no sign of life for olderThan as failed ("abandoned"), deletes the lines
// they left in the staging table, and returns how many imports that were. A live import gives one every ten seconds, so
// olderThan is some minutes. One that is taken for dead by mistake fails when it comes to its end; it never leaves half
// of its cards.
func (s *Service) CleanStaleImports(ctx context.Context, olderThan time.Duration) (int, error) {
	cleaned := 0
	err := pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := dbq.New(tx)
		now := s.timestamp()
		ids, err := q.CardImportFailStale(ctx, dbq.CardImportFailStaleParams{OlderThan: olderThan, FinishedAt: &now})
		if err != nil {
			return fmt.Errorf("fail stale card imports: %w", err)
		}
		cleaned = len(ids)
		if err := q.CardImportLinesDeleteOrphans(ctx); err != nil {
			return fmt.Errorf("delete the lines of stale card imports: %w", err)
		}
		return nil
	})
	return cleaned, err
}
