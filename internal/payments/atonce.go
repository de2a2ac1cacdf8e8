package payments

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// AtOnce delivers orders in the transaction that records their payment. The zero value leaves that to jobs.
type AtOnce struct {
	// Deliver completes those of a set of locked orders that the transaction has paid and that can be delivered now, in memory,
	// and gives them; the others are left to their jobs.
	Deliver func(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) ([]*ordering.Order, error)
	// Delivered hears of them once it is committed.
	Delivered func(ctx context.Context, orders []*ordering.Order)
	// Failed hears why payments were recorded without their deliveries, once they are.
	Failed func(ctx context.Context, err error)
}

// DeliverAtOnce is to be called before the first notice.
func (s *Service) DeliverAtOnce(atOnce AtOnce) { s.atOnce = atOnce }

// flush applies notices and delivers what they pay. Money goes first: whatever is wrong with a delivery does not keep its
// payment from being recorded.
func (s *Service) flush(ctx context.Context, channel string, notices []Notice) ([]groupcommit.Result[Application], error) {
	if s.atOnce.Deliver == nil {
		return s.flushWith(ctx, channel, notices, nil)
	}
	var delivered []*ordering.Order
	begun := false
	results, err := s.flushWith(ctx, channel, notices, func(tx *outbox.Tx, orders []*ordering.Order) (err error) {
		begun = true // what failed before, a lock on an order say, is not the delivery's
		delivered, err = s.deliver(ctx, tx, orders)
		return err
	})
	switch {
	case err == nil:
		s.atOnce.Delivered(ctx, delivered)
	case begun && mayBeDeliverys(err):
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withoutDelivery) // the first try may have used all of ctx
		defer cancel()
		why := err
		if results, err = s.flushWith(ctx, channel, notices, nil); err == nil {
			s.atOnce.Failed(ctx, why)
		}
	}
	return results, err
}

// deliver takes a panic for an error.
func (s *Service) deliver(ctx context.Context, tx *outbox.Tx, orders []*ordering.Order) (delivered []*ordering.Order, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("payments: panic in a delivery: %v\n%s", p, debug.Stack())
		}
	}()
	return s.atOnce.Deliver(ctx, tx, orders)
}

// withoutDelivery is how long the second try may take.
const withoutDelivery = 15 * time.Second

// mayBeDeliverys says whether an error may go away without the delivery: all but those that certainly have nothing to do with
// it.
func mayBeDeliverys(err error) bool {
	return !errors.Is(err, errEndedMeanwhile) && !errors.Is(err, pgdb.ErrCommitUnknown) && !pgdb.IsUnavailable(err)
}

func isRetryable(err error) bool { return errors.Is(err, errEndedMeanwhile) || pgdb.IsRetryable(err) }

func (s *Service) flushWith(
	ctx context.Context, channel string, notices []Notice, deliver Deliver,
) (results []groupcommit.Result[Application], err error) {
	err = s.box.InTxWaiting(ctx, groupcommit.Patience(ctx), func(tx *outbox.Tx) error {
		results, err = Apply(ctx, tx, channel, notices, deliver)
		return err
	})
	return results, err
}
