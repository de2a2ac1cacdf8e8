package payments

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// errEndedMeanwhile says that an order expired between the look at it and its lock: its stock was to be locked first. The
// batch is run again and sees it.
var errEndedMeanwhile = errors.New("payments: an order expired meanwhile")

// Service takes payments through its channels.
type Service struct {
	pool     *pgxpool.Pool
	box      *outbox.Box
	now      func() time.Time
	channels map[string]*openChannel
	begin    *groupcommit.Group[Payment, Payment]
	atOnce   AtOnce
}

type openChannel struct {
	Channel

	apply *groupcommit.Group[Notice, Application]
}

// take applies what the gateway tells.
func (c *openChannel) take(ctx context.Context, notice Notice) (Application, error) {
	if strings.HasPrefix(notice.EventID, confirmedPrefix) {
		return Application{}, fault.New(fault.Malformed, "callback_malformed", "field", "event_id")
	}
	return c.apply.Do(ctx, notice)
}

// NewService opens the channels. Close it.
func NewService(pool *pgxpool.Pool, box *outbox.Box, now func() time.Time, channels ...Channel) *Service {
	s := &Service{pool: pool, box: box, now: now, channels: map[string]*openChannel{}}
	s.begin = groupcommit.New(groupcommit.Config[Payment, Payment]{
		Flush: s.insert, Retryable: pgdb.IsRetryable, Splittable: pgdb.IsMembers,
	})
	for _, channel := range channels {
		s.channels[channel.Name()] = &openChannel{channel, groupcommit.New(groupcommit.Config[Notice, Application]{
			Flush: func(ctx context.Context, notices []Notice) ([]groupcommit.Result[Application], error) {
				return s.flush(ctx, channel.Name(), notices)
			},
			Retryable: isRetryable, Splittable: pgdb.IsMembers,
		})}
	}
	return s
}

// Close lets the notices at hand finish.
func (s *Service) Close() {
	s.begin.Close()
	for _, channel := range s.channels {
		channel.apply.Close()
	}
}

// Payment is an attempt that has begun.
type Payment struct {
	Attempt

	Channel      string
	Status       string
	Instructions Instructions
	CreatedAt    time.Time
}

// Begin starts an attempt to pay an order. Faults: order_not_found, payment_channel_unknown, order_not_payable, and the
// channel's own.
func (s *Service) Begin(ctx context.Context, orderID uuid.UUID, channelName string) (Payment, error) {
	channel, err := s.channel(channelName)
	if err != nil {
		return Payment{}, err
	}
	// The row comes first: a gateway may call back before its own answer has arrived.
	p, err := s.begin.Do(ctx, Payment{
		Attempt: Attempt{ID: uuid.Must(uuid.NewV7()), OrderID: orderID},
		Channel: channelName, Status: "pending", CreatedAt: s.now().UTC().Truncate(time.Microsecond),
	})
	if err != nil {
		return Payment{}, err
	}
	if p.Instructions, p.Reference, err = channel.Begin(ctx, p.Attempt); err != nil || p.Reference == "" {
		return p, err
	}
	err = dbq.New(s.pool).PaymentSetReference(ctx, dbq.PaymentSetReferenceParams{ID: p.ID, Reference: p.Reference})
	return p, err
}

// insert records the attempts of a set of buyers whose orders can be paid.
func (s *Service) insert(ctx context.Context, attempts []Payment) ([]groupcommit.Result[Payment], error) {
	ids := make([]uuid.UUID, len(attempts))
	for i, p := range attempts {
		ids[i] = p.OrderID
	}
	orders, err := ordering.GetMany(ctx, s.pool, ids)
	if err != nil {
		return nil, err
	}
	results := make([]groupcommit.Result[Payment], len(attempts))
	var columns dbq.PaymentInsertParams
	for i, p := range attempts {
		if p.Attempt, results[i].Err = s.complete(p, orders[p.OrderID]); results[i].Err != nil {
			continue
		}
		results[i].Value = p
		columns.IDs = append(columns.IDs, p.ID)
		columns.OrderIds = append(columns.OrderIds, p.OrderID)
		columns.Channels = append(columns.Channels, p.Channel)
		columns.Accounts = append(columns.Accounts, p.Account)
		columns.Amounts = append(columns.Amounts, p.Amount.Amount)
		columns.Currencies = append(columns.Currencies, p.Amount.Currency)
		columns.CreatedAt = append(columns.CreatedAt, p.CreatedAt)
		columns.AskAt = append(columns.AskAt, s.firstAskAt(p.Channel, p.CreatedAt))
	}
	if len(columns.IDs) == 0 {
		return results, nil
	}
	// The foreign key waits for whoever holds an order.
	err = s.box.InTxWaiting(ctx, groupcommit.Patience(ctx), func(tx *outbox.Tx) error {
		return dbq.New(tx.AtEnd()).PaymentInsert(ctx, columns)
	})
	if err != nil {
		return nil, fmt.Errorf("payments: insert attempts: %w", err)
	}
	return results, nil
}

// complete adds to an attempt what its order and its channel say.
func (s *Service) complete(p Payment, order *ordering.Order) (Attempt, error) {
	attempt := p.Attempt
	if order == nil {
		return attempt, fault.New(fault.NotFound, "order_not_found", "order_id", p.OrderID)
	}
	if order.Status != ordering.PendingPayment || !p.CreatedAt.Before(order.ExpiresAt) {
		return attempt, fault.New(fault.Conflict, "order_not_payable", "order_id", p.OrderID, "status", order.Status)
	}
	attempt.OrderNumber, attempt.ExpiresAt = order.Number, order.ExpiresAt
	attempt.Amount = ordering.Money{Amount: order.Total, Currency: order.Currency}
	var err error
	attempt.Account, err = s.channels[p.Channel].Account(attempt)
	return attempt, err
}

// Receive verifies a callback, records it and applies it. It returns what the gateway wants to hear. A repeated notice
// is answered like the first.
func (s *Service) Receive(ctx context.Context, channelName string, callback Callback) (Answer, Application, error) {
	channel, err := s.channel(channelName)
	if err != nil {
		return Answer{}, Application{}, err
	}
	if len(callback.Body)+len(callback.Query) > MaxCallback {
		return Answer{}, Application{}, fault.New(fault.TooLarge, "body_too_large", "limit", MaxCallback)
	}
	notice, err := channel.Verify(ctx, callback)
	if err != nil {
		return Answer{}, Application{}, err
	}
	applied, err := channel.take(ctx, notice)
	if err != nil {
		return Answer{}, Application{}, err
	}
	return channel.Acknowledge(), applied, nil
}

func (s *Service) channel(name string) (*openChannel, error) {
	channel, ok := s.channels[name]
	if !ok {
		return nil, fault.New(fault.NotFound, "payment_channel_unknown", "channel", name)
	}
	return channel, nil
}
