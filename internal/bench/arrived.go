package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// PipelineCheck is what SQL and the subscriber found, over all orders of the run so far.
type PipelineCheck struct {
	Orders          int `json:"orders"`           // of the run's product
	Completed       int `json:"completed"`        // of them
	Cards           int `json:"cards"`            // delivered to them
	DistinctCards   int `json:"distinct_cards"`   // of those
	WrongOrders     int `json:"wrong_orders"`     // with more or fewer cards than units
	WrongCards      int `json:"wrong_cards"`      // delivered and not in state delivered, or the other way round
	StockGap        int `json:"stock_gap"`        // imported − available − delivered
	SMSSent         int `json:"sms_sent"`         // for them
	WrongSMS        int `json:"wrong_sms"`        // orders with more or fewer than their messages
	Webhooks        int `json:"webhooks"`         // order.completed that the subscriber received, repeats included
	WebhookIDs      int `json:"webhook_ids"`      // different ones
	MissingWebhooks int `json:"missing_webhooks"` // events of these orders that the subscriber has not seen
	OpenDeliveries  int `json:"open_deliveries"`  // webhooks that the ledger does not show as succeeded
}

// arrived waits until everything has, then checks that it did so once.
func (r *pipelineRun) arrived(ctx context.Context) (PipelineCheck, error) {
	if err := r.drain(ctx); err != nil {
		return PipelineCheck{}, err
	}
	// A webhook is received before its success is written down.
	if err := r.ledgersClosed(ctx); err != nil {
		return PipelineCheck{}, err
	}
	var c PipelineCheck
	if err := r.readOrders(ctx, &c); err != nil {
		return c, err
	}
	if err := r.readWebhooks(ctx, &c); err != nil {
		return c, err
	}
	if err := c.verify(r.paid, r.perOrder); err != nil {
		return c, fmt.Errorf("the check failed: %w", err)
	}
	return c, nil
}

func (r *pipelineRun) ledgersClosed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Drain)
	defer cancel()
	for {
		open, err := r.openDeliveries(ctx)
		if err != nil || open == 0 {
			return err
		}
		if err := pause(ctx, watchEvery*10); err != nil {
			return fmt.Errorf("bench: %d webhook deliveries stay open: %w", open, err)
		}
	}
}

func (r *pipelineRun) openDeliveries(ctx context.Context) (open int, err error) {
	err = r.cfg.Pool.QueryRow(ctx, `select count(*) from webhook_deliveries where status <> 'succeeded' and id >= $1`,
		pgdb.FirstID(r.began)).Scan(&open)
	if err != nil {
		return 0, fmt.Errorf("bench: check webhooks: %w", err)
	}
	return open, nil
}

func (r *pipelineRun) readOrders(ctx context.Context, c *PipelineCheck) error {
	return wholeTables(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `
		with product as (
			select id from products where sku = $1
		), bought as (
			select o.id, o.status, i.quantity,
			       (select count(*) from card_deliveries d where d.order_id = o.id) as cards,
			       (select count(*) from sms_messages m where m.order_id = o.id and m.status in ('sent', 'delivered')) as sms
			from order_items i join orders o on o.id = i.order_id
			where i.order_id >= $2 and i.product_id = (select id from product)
		), given as (
			select d.card_id, c.state from card_deliveries d join cards c on c.id = d.card_id
			where c.product_id = (select id from product)
		)
		select (select count(*) from bought),
		       (select count(*) from bought where status = 'completed'),
		       (select count(*) from given),
		       (select count(distinct card_id) from given),
		       (select count(*) from bought where cards <> quantity),
		       (select count(*) from given where state <> 'delivered')
		       + (select count(*) from cards c where c.product_id = (select id from product) and c.state = 'delivered'
		          and not exists (select 1 from card_deliveries d where d.card_id = c.id)),
		       (select sum(m.delta) from stock_movements m where m.product_id = (select id from product))
		       - (select s.available from stock s where s.product_id = (select id from product)) - (select count(*) from given),
		       (select coalesce(sum(sms), 0) from bought),
		       (select count(*) from bought where sms <> $3)`,
			r.sku, pgdb.FirstID(r.began), r.perOrder).
			Scan(&c.Orders, &c.Completed, &c.Cards, &c.DistinctCards, &c.WrongOrders, &c.WrongCards, &c.StockGap, &c.SMSSent, &c.WrongSMS)
	})
}

func (r *pipelineRun) readWebhooks(ctx context.Context, c *PipelineCheck) (err error) {
	var ids []string
	err = wholeTables(ctx, r.cfg.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
		select 'msg_' || e.id from outbox e
		where e.occurred_at >= $2 and e.type = $3 and e.aggregateid in (
			select i.order_id::text from order_items i
			where i.order_id >= $4 and i.product_id = (select id from products where sku = $1))`,
			r.sku, r.began, orderCompleted, pgdb.FirstID(r.began))
		if err == nil {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	if err != nil {
		return err
	}
	c.MissingWebhooks = r.cfg.Webhooks.missing(ids)
	c.Webhooks, c.WebhookIDs = r.cfg.Webhooks.Count(orderCompleted)
	c.WebhookIDs -= r.sinkBase
	c.OpenDeliveries, err = r.openDeliveries(ctx)
	return err
}

func (c PipelineCheck) verify(orders, smsPerOrder int) error {
	var wrong []error
	say := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	say(c.Orders != orders, "%d orders were paid, %d exist", orders, c.Orders)
	say(c.Completed != orders, "of %d orders %d are completed", orders, c.Completed)
	say(c.Cards != orders || c.DistinctCards != orders, "%d orders of one unit got %d cards, %d different ones",
		orders, c.Cards, c.DistinctCards)
	say(c.WrongOrders != 0, "%d orders have more or fewer cards than units", c.WrongOrders)
	say(c.WrongCards != 0, "%d cards are in a state that does not fit their delivery", c.WrongCards)
	say(c.StockGap != 0, "stock: imported − available − delivered = %d", c.StockGap)
	say(c.WrongSMS != 0 || c.SMSSent != orders*smsPerOrder, "%d SMS were sent for %d orders of %d each; %d orders have a wrong number",
		c.SMSSent, orders, smsPerOrder, c.WrongSMS)
	say(c.MissingWebhooks != 0, "%d webhooks are missing", c.MissingWebhooks)
	say(c.WebhookIDs != orders, "the subscriber saw %d different events for %d orders", c.WebhookIDs, orders)
	say(c.OpenDeliveries != 0, "%d webhook deliveries are open", c.OpenDeliveries)
	return errors.Join(wrong...)
}
