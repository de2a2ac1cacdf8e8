package payments

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

const (
	// firstAsk is how long after its beginning an attempt is asked about: a callback that is not lost has come by then.
	firstAsk              = 20 * time.Second
	askAtOnce, askWorkers = 200, 16
	askTimeout            = 5 * time.Second
	// askFailures is after how many failures without a success between them the rest of a channel's attempts is taken for
	// failed unasked: a gateway that is down shall not keep the orders of another from their turn.
	askFailures = 8
	// expireAnyway is how long a gateway that cannot be reached keeps an order from expiring. Money that shows up later is
	// late money, and is dealt with as such.
	expireAnyway = 10 * time.Minute
	dueAtOnce    = 200
	// expireAtOnce bounds how long one transaction keeps the stock from those who place orders (2 ms for 25). Between two
	// of them it is theirs for expirePause times as long as the last one took: on a busy machine, too, one fifth goes to
	// expiry.
	expireAtOnce   = 25
	expirePause    = 4
	maxExpirePause = 50 * time.Millisecond
)

// firstAskAt is when an attempt of a channel is first asked about; the zero time where it cannot be.
func (s *Service) firstAskAt(channel string, begun time.Time) time.Time {
	if _, ok := s.channels[channel].Channel.(Querier); ok {
		return begun.Add(firstAsk)
	}
	return time.Time{}
}

// queriers are the channels that can be asked.
func (s *Service) queriers() []string {
	var names []string
	for name, channel := range s.channels {
		if _, ok := channel.Channel.(Querier); ok {
			names = append(names, name)
		}
	}
	return names
}

// AskGateways asks what became of attempts whose callbacks have not come, applies what was paid, and says how many were.
// Each is asked 20 s after it began, and then after twice the time, for two days.
func (s *Service) AskGateways(ctx context.Context) (found int, err error) {
	names := s.queriers()
	if len(names) == 0 {
		return 0, nil
	}
	failures := s.noTroubles()
	for ctx.Err() == nil {
		rows, err := dbq.New(s.pool).PaymentsToAsk(ctx, dbq.PaymentsToAskParams{Now: s.now(), Channels: names, MaxRows: askAtOnce})
		if err != nil {
			return found, err
		}
		open := make([]dbq.PaymentsOpenOfRow, len(rows))
		for i, row := range rows {
			open[i] = dbq.PaymentsOpenOfRow(row)
		}
		for _, answer := range s.ask(ctx, open, failures) {
			if answer == askedPaid {
				found++
			}
		}
		if len(rows) < askAtOnce {
			break
		}
	}
	return found, ctx.Err()
}

type askAnswer int

const (
	askedUnpaid askAnswer = iota
	askedPaid
	askFailed
)

// troubles counts, by channel, the questions that have failed since one was answered. It lasts for a whole run, however many
// pages that has: a gateway that hangs costs its patience once.
type troubles map[string]*atomic.Int32

func (s *Service) noTroubles() troubles {
	t := make(troubles, len(s.channels))
	for name := range s.channels {
		t[name] = new(atomic.Int32)
	}
	return t
}

// ask asks about attempts, several at a time and in no transaction, and applies what was paid. It gives the worst that is
// known of each order: paid above failed above unpaid.
func (s *Service) ask(ctx context.Context, attempts []dbq.PaymentsOpenOfRow, failures troubles) map[uuid.UUID]askAnswer {
	answers := make([]askAnswer, len(attempts))
	var g errgroup.Group
	g.SetLimit(askWorkers)
	for i, row := range attempts {
		g.Go(func() error {
			down := failures[row.Channel]
			if down == nil {
				return nil // the channel is not configured any more, so nobody can be asked
			}
			if down.Load() >= askFailures {
				answers[i] = askFailed
				return nil
			}
			if answers[i] = s.askOne(ctx, row); answers[i] == askFailed {
				down.Add(1)
			} else {
				down.Store(0)
			}
			return nil
		})
	}
	_ = g.Wait()
	byOrder := make(map[uuid.UUID]askAnswer, len(attempts))
	for i, row := range attempts {
		if known := byOrder[row.OrderID]; answers[i] == askedPaid || known != askedPaid && answers[i] == askFailed {
			byOrder[row.OrderID] = answers[i]
		}
	}
	return byOrder
}

func (s *Service) askOne(ctx context.Context, row dbq.PaymentsOpenOfRow) askAnswer {
	channel := s.channels[row.Channel]
	querier, ok := channel.Channel.(Querier)
	if !ok {
		return askedUnpaid
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	notice, paid, err := querier.Query(ctx, Attempt{
		ID: row.ID, OrderID: row.OrderID, OrderNumber: row.Number, Account: row.Account,
		Amount: ordering.Money{Amount: row.Amount, Currency: row.Currency}, ExpiresAt: row.ExpiresAt, Reference: row.Reference,
	})
	if err != nil {
		return askFailed
	}
	if !paid {
		return askedUnpaid
	}
	if _, err := channel.take(ctx, notice); err != nil {
		return askFailed
	}
	return askedPaid
}

// ExpireDue ends the unpaid orders whose time is over and says how many there were. Where the gateway can be asked, it is
// asked first; one that cannot be reached puts an order's end off, for up to ten minutes.
func (s *Service) ExpireDue(ctx context.Context) (expired int, err error) {
	var after ordering.DueAfter
	failures := s.noTroubles()
	for {
		due, err := ordering.Due(ctx, s.pool, s.now(), after, dueAtOnce)
		if err != nil || len(due) == 0 {
			return expired, err
		}
		ids, err := s.withoutPaid(ctx, due, failures)
		if err != nil {
			return expired, err
		}
		for some := range slices.Chunk(ids, expireAtOnce) {
			n, err := s.expire(ctx, some, expireWait)
			expired += n
			if err != nil {
				return expired, err
			}
		}
		if len(due) < dueAtOnce {
			return expired, nil
		}
		after = due[len(due)-1]
	}
}

const (
	// expireWait is how long expiry waits for the stock that orders give back to.
	expireWait = 2 * time.Second
	// expireShortWait is for the halves of orders among which one's is held by somebody.
	expireShortWait = 200 * time.Millisecond
)

// expire ends some orders. Where they were many, it rests afterwards. Those whose stock somebody holds are passed over, until the
// next run.
func (s *Service) expire(ctx context.Context, ids []uuid.UUID, wait time.Duration) (n int, err error) {
	began := time.Now()
	err = s.box.InTxWaiting(ctx, wait, func(tx *outbox.Tx) error {
		n, err = ordering.Expire(ctx, tx, ids)
		return err
	})
	switch {
	case pgdb.IsLockTimeout(err) && len(ids) > 1:
		return s.expireHalves(ctx, ids)
	case pgdb.IsLockTimeout(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	if len(ids) < expireAtOnce {
		return n, nil
	}
	select {
	case <-ctx.Done():
		return n, ctx.Err()
	case <-time.After(min(expirePause*time.Since(began), maxExpirePause)):
		return n, nil
	}
}

func (s *Service) expireHalves(ctx context.Context, ids []uuid.UUID) (expired int, err error) {
	for half := range slices.Chunk(ids, (len(ids)+1)/2) {
		n, err := s.expire(ctx, half, expireShortWait)
		expired += n
		if err != nil {
			return expired, err
		}
	}
	return expired, nil
}

// withoutPaid leaves out the orders that turn out to be paid, and those of which that cannot be known yet.
func (s *Service) withoutPaid(ctx context.Context, due []ordering.DueAfter, failures troubles) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, len(due))
	for i, order := range due {
		ids[i] = order.ID
	}
	open, err := dbq.New(s.pool).PaymentsOpenOf(ctx, ids)
	if err != nil || len(open) == 0 {
		return ids, err
	}
	answers := s.ask(ctx, open, failures)
	kept := ids[:0]
	for _, order := range due {
		answer := answers[order.ID]
		if answer == askedPaid || answer == askFailed && s.now().Before(order.ExpiresAt.Add(expireAnyway)) {
			continue
		}
		kept = append(kept, order.ID)
	}
	return kept, nil
}
