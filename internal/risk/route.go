package risk

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/vendbox/vendbox/internal/dbq"
)

// Before puts an assessment before the delivery of paid orders. One that was assessed goes on without another, and so does
// one that a person has released. What goes on by itself, since goods have come for an order that was paid late, does not.
func (s *Service) Before(ctx context.Context, tx pgx.Tx, orderIDs []uuid.UUID) (map[uuid.UUID]river.JobArgs, error) {
	unassessed, err := dbq.New(tx).RiskUnassessed(ctx, orderIDs)
	if err != nil {
		return nil, err
	}
	before := make(map[uuid.UUID]river.JobArgs, len(unassessed))
	for _, orderID := range unassessed {
		before[orderID] = Args{OrderID: orderID}
	}
	return before, nil
}
