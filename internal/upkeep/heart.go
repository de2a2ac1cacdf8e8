package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/dbq"
)

const (
	beatEvery = 2 * time.Second
	// lostAfter is how long a client is silent before its jobs are given back.
	lostAfter = 8 * time.Second
	// silence is a gap after which a heart is no longer steady. It is well below lostAfter: a stall of the database that
	// leaves the caller steady has not made anybody else lost.
	silence = 4 * time.Second
	// stopTimeout bounds the last word of a heart.
	stopTimeout = 3 * time.Second
)

// HeartConfig of a Heart. Pool and ClientID are required.
type HeartConfig struct {
	// Pool says where the database is. The heart has a connection of its own, so that a busy pool does not stop it.
	Pool *pgxpool.Pool
	// ClientID is the ID in the river.Config of the client it beats for; unique to this process.
	ClientID string
	// Log. Default: none.
	Log *slog.Logger
}

func (c HeartConfig) withDefaults() HeartConfig {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c HeartConfig) validate() error {
	if c.Pool == nil || c.ClientID == "" {
		return errors.New("upkeep: a heart needs Pool and ClientID")
	}
	return nil
}

// Heart shows the other processes that this one lives.
type Heart struct {
	cfg  HeartConfig
	conn *pgx.Conn // nil: to be opened
	stop context.CancelFunc
	done chan struct{}
}

// StartHeart beats once, or fails, and then goes on until Close, whatever becomes of the database in between. Start it
// before the River client and close it after that has stopped, or others take the client's jobs for lost.
func StartHeart(ctx context.Context, cfg HeartConfig) (*Heart, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	h := &Heart{cfg: cfg, done: make(chan struct{})}
	if err := h.beat(ctx); err != nil {
		return nil, fmt.Errorf("upkeep: first heartbeat: %w", err)
	}
	ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	go h.run(ctx)
	return h, nil
}

// Close stops the heart and takes its row away: nothing is left to be rescued.
func (h *Heart) Close() {
	h.stop()
	<-h.done
}

func (h *Heart) run(ctx context.Context) {
	defer close(h.done)
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	silent := false
	for {
		select {
		case <-ctx.Done():
			h.fallSilent(ctx)
			return
		case <-tick.C:
		}
		err := h.beat(ctx)
		switch {
		case err != nil && !silent && ctx.Err() == nil:
			h.cfg.Log.WarnContext(ctx, "upkeep: no heartbeat; after a while other processes will take over our jobs", "error", err)
		case err == nil && silent:
			h.cfg.Log.InfoContext(ctx, "upkeep: the heart beats again")
		}
		silent = err != nil
	}
}

// beat is over before the next one is due.
func (h *Heart) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	if h.conn == nil || h.conn.IsClosed() {
		conn, err := pgx.ConnectConfig(ctx, h.cfg.Pool.Config().ConnConfig)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		h.conn = conn
	}
	err := dbq.New(h.conn).UpkeepBeat(ctx, dbq.UpkeepBeatParams{ClientID: h.cfg.ClientID, Silence: silence})
	if err != nil {
		return errors.Join(err, h.conn.Close(ctx)) // whatever it was, a new connection does not have it
	}
	return nil
}

func (h *Heart) fallSilent(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	// A beat that was cut short has closed the connection; the pool's will do.
	if h.conn == nil || h.conn.IsClosed() {
		if err := dbq.New(h.cfg.Pool).UpkeepHeartStop(ctx, h.cfg.ClientID); err != nil {
			h.cfg.Log.WarnContext(ctx, "upkeep: heartbeat not removed", "error", err)
		}
		return
	}
	err := dbq.New(h.conn).UpkeepHeartStop(ctx, h.cfg.ClientID)
	if err = errors.Join(err, h.conn.Close(ctx)); err != nil {
		h.cfg.Log.WarnContext(ctx, "upkeep: heartbeat not removed", "error", err)
	}
}
