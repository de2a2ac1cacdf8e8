package live

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/ordering"
)

const (
	minBackoff = 100 * time.Millisecond
	maxBackoff = 10 * time.Second
	// quiet is after how long without a notification the connection is asked whether it is still there.
	quiet       = 30 * time.Second
	pingTimeout = 2 * time.Second
	// statesAtOnce bounds one statement of a recheck.
	statesAtOnce = 5000
)

// listen hears what the relays notify, and connects again as often as it has to.
func (h *Hub) listen(ctx context.Context) {
	backoff := minBackoff
	for ctx.Err() == nil {
		listened := time.Now()
		err := h.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(listened) > maxBackoff {
			backoff = minBackoff
		}
		h.cfg.Log.WarnContext(ctx, "live: not listening; watched orders are looked after every few seconds", "error", err, "again_in", backoff)
		if !pause(ctx, backoff) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// listenOnce listens on a connection of its own: one of the pool would be kept from everybody for good.
func (h *Hub) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, h.cfg.Pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTimeout)
		defer cancel()
		_ = conn.Close(closing) // it is over either way
	}()
	var schema string
	if err := conn.QueryRow(ctx, "select current_schema()").Scan(&schema); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "listen "+pgx.Identifier{schema + ".orders"}.Sanitize()); err != nil {
		return err
	}
	h.hint(h.watchedIDs()) // what was notified while nobody listened
	for {
		if err := h.hear(ctx, conn); err != nil {
			return err
		}
	}
}

// hear waits for one notification, or for so long that the connection has to prove itself.
func (h *Hub) hear(ctx context.Context, conn *pgx.Conn) error {
	waiting, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	notification, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		h.hint(parseIDs(notification.Payload))
		return nil
	case ctx.Err() != nil || waiting.Err() == nil:
		return err
	}
	pinging, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return conn.Ping(pinging)
}

// parseIDs leaves out what is no id: anybody who may connect may notify.
func parseIDs(payload string) []uuid.UUID {
	var ids []uuid.UUID
	for text := range strings.SplitSeq(payload, ",") {
		if id, err := uuid.Parse(text); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// recheck finds, every few seconds, what changed without a notification that reached us.
func (h *Hub) recheck(ctx context.Context) {
	ticker := time.NewTicker(h.cfg.Recheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if err := h.recheckOnce(ctx); err != nil && ctx.Err() == nil {
			h.cfg.Log.WarnContext(ctx, "live: watched orders were not looked after", "error", err)
		}
	}
}

func (h *Hub) recheckOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	for ids := range slices.Chunk(h.watchedIDs(), statesAtOnce) {
		rows, err := dbq.New(h.cfg.Pool).LiveStates(ctx, ids)
		if err != nil {
			return fmt.Errorf("live: %w", err)
		}
		h.hint(h.behind(rows))
	}
	return nil
}

// behind are the orders that are further than what watchers have seen.
func (h *Hub) behind(rows []dbq.LiveStatesRow) []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []uuid.UUID
	for _, row := range rows {
		o := h.orders[row.ID]
		state := ordering.Order{Sequence: int(row.Sequence), ExceptionCode: row.ExceptionCode}
		if o != nil && (o.latest == nil || isLater(&state, o.latest)) {
			ids = append(ids, row.ID)
		}
	}
	return ids
}

func (h *Hub) watchedIDs() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.orders))
}

// pause waits, and says whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
