package ordering

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/outbox"
)

// DueAfter is an order whose time is over, and the place in the list of those that the next page goes on from.
type DueAfter struct {
	ID        uuid.UUID
	ExpiresAt time.Time
}

// Due finds up to limit unpaid orders whose time is over, the oldest first, after those of an earlier page. They are not
// locked.
func Due(ctx context.Context, db dbq.DBTX, now time.Time, after DueAfter, limit int) ([]DueAfter, error) {
	rows, err := dbq.New(db).OrderDue(ctx, dbq.OrderDueParams{
		Now: now, AfterTime: after.ExpiresAt, AfterID: after.ID, MaxRows: int32(limit),
	})
	due := make([]DueAfter, len(rows))
	for i, row := range rows {
		due[i] = DueAfter(row)
	}
	return due, err
}

// Expire ends those of the orders that are still unpaid and whose time is over, gives their stock back and says how many
// there were. Orders that somebody else is at are passed over.
func Expire(ctx context.Context, tx *outbox.Tx, ids []uuid.UUID) (int, error) {
	shelf, err := LockStock(ctx, tx, ids)
	if err != nil {
		return 0, err
	}
	orders, err := lockFree(ctx, tx, ids)
	if err != nil {
		return 0, err
	}
	var expired []*Order
	for _, o := range orders {
		if o.ExpiresAt.After(tx.Now) || !o.CanStep(EventExpired) {
			continue
		}
		shelf.giveBack(o)
		if err := o.step(tx, EventExpired, byExpiry, func() { o.ClosedAt = tx.Now }); err != nil {
			return 0, err
		}
		expired = append(expired, o)
	}
	if err := shelf.Save(ctx, tx); err != nil {
		return 0, err
	}
	return len(expired), Save(ctx, tx, expired)
}

// soon is longer than any transaction between its look at an order and its lock.
const soon = time.Minute

// ExpiredOf says which of the orders had expired a moment ago, or may expire at any moment. They are not locked: if one is
// to go on, its stock has to be locked before it.
func ExpiredOf(ctx context.Context, tx *outbox.Tx, ids []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := dbq.New(tx).OrderStanding(ctx, ids)
	if err != nil {
		return nil, err
	}
	var expired []uuid.UUID
	for _, row := range rows {
		status, due := Status(row.Status), !row.ExpiresAt.After(tx.Now.Add(soon))
		if status == Expired || due && (status == PendingPayment || status == OnHold) {
			expired = append(expired, row.ID)
		}
	}
	return expired, nil
}
