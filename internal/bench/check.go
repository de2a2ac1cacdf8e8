package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/pgdb"
)

// Check is what SQL found after a measurement.
type Check struct {
	Orders int64 `json:"orders"` // of this measurement's products
	Units  int64 `json:"units"`  // in their lines
	Taken  int64 `json:"taken"`  // from their stock
	Events int64 `json:"events"` // order.created in the outbox, for them
	Silent int64 `json:"silent"` // orders without that event
	Wrong  int64 `json:"wrong"`  // products of which more or less was taken than ordered, or with less than nothing left
}

// read looks at everything the shelf's orders left behind. The rows are compared here and not by joins: tables that have
// just grown have no statistics, and a bad plan would take minutes.
func (s *shelf) read(ctx context.Context, pool *pgxpool.Pool) (Check, error) {
	var c Check
	units := make(map[uuid.UUID]int64, len(s.ids)) // by product
	orders := map[uuid.UUID]bool{}                 // and whether its event was seen
	var order, product uuid.UUID
	var n int64
	err := each(ctx, pool, []any{&order, &product, &n}, func() { orders[order] = false; units[product] += n; c.Units += n },
		`select order_id, product_id, quantity from order_items where order_id >= $1 and product_id = any($2)`, s.since, s.ids)
	if err != nil {
		return Check{}, err
	}
	c.Orders = int64(len(orders))
	err = each(ctx, pool, []any{&product, &n}, func() {
		c.Taken += s.units - n
		if n < 0 || s.units-n != units[product] {
			c.Wrong++
		}
	}, `select product_id, available from stock where product_id = any($1)`, s.ids)
	if err != nil {
		return Check{}, err
	}
	err = each(ctx, pool, []any{&order}, func() {
		if _, ours := orders[order]; ours {
			orders[order] = true
			c.Events++
		}
	}, `select aggregateid::uuid from outbox where occurred_at >= $1 and aggregatetype = 'order' and type = 'order.created'`, s.from)
	for _, seen := range orders {
		if !seen {
			c.Silent++
		}
	}
	return c, err
}

// each runs a query and calls fn after each row has been scanned into targets.
func each(ctx context.Context, pool *pgxpool.Pool, targets []any, fn func(), query string, args ...any) error {
	return wholeTables(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query, args...)
		if err == nil {
			_, err = pgx.ForEachRow(rows, targets, func() error { fn(); return nil })
		}
		return err
	})
}

// wholeTables runs a check, which reads all that a run left behind.
func wholeTables(ctx context.Context, pool *pgxpool.Pool, check func(tx pgx.Tx) error) error {
	err := pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
		if err := pgdb.WholeTables(ctx, tx); err != nil {
			return err
		}
		return check(tx)
	})
	if err != nil {
		return fmt.Errorf("bench: check: %w", err)
	}
	return nil
}

// against compares with what was acknowledged: acknowledged orders of one unit each, and some of which nobody knows.
func (c Check) against(acknowledged, unknown int64) error {
	var wrong []error
	say := func(is bool, format string, args ...any) {
		if is {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	say(c.Orders < acknowledged, "%d orders were acknowledged, and only %d exist", acknowledged, c.Orders)
	say(c.Orders > acknowledged+unknown, "%d orders exist, and only %d were acknowledged (%d unknown)", c.Orders, acknowledged, unknown)
	say(c.Units != c.Orders, "%d orders of one unit hold %d units", c.Orders, c.Units)
	say(c.Taken != c.Units, "%d units were taken from stock for the %d that were sold", c.Taken, c.Units)
	say(c.Events != c.Orders || c.Silent != 0, "%d orders have %d order.created events; %d have none", c.Orders, c.Events, c.Silent)
	say(c.Wrong != 0, "the stock of %d products is wrong", c.Wrong)
	return errors.Join(wrong...)
}
