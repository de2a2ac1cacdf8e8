package outbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func TestPartitionsAreMadeAheadAndFoundByDay(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	now := time.Now()
	box := outbox.NewBox(pool, func() time.Time { return now }, nil)
	made, err := box.MakePartitions(t.Context(), 7)
	require.NoError(t, err)
	require.Zero(t, made, "the migration has made them")
	now = now.AddDate(0, 0, 3)
	made, err = box.MakePartitions(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, 3, made)
	appendThings(t, box, "later", 1)
	var partition string
	require.NoError(t, pool.QueryRow(t.Context(), `select tableoid::regclass::text from outbox`).Scan(&partition))
	require.Equal(t, "outbox_"+now.UTC().Format("20060102"), partition)
}

// A day nobody made a partition for does not refuse events, and gets them when its partition is made.
func TestADayWithoutPartitionIsCaughtAndMadeGood(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	now := time.Now().AddDate(0, 0, 40)
	box := outbox.NewBox(pool, func() time.Time { return now }, nil)
	appendThings(t, box, "lost", 3)
	partitionOf := func() (name string) {
		require.NoError(t, pool.QueryRow(t.Context(), `select distinct tableoid::regclass::text from outbox`).Scan(&name))
		return name
	}
	require.Equal(t, "outbox_default", partitionOf())
	made, err := box.MakePartitions(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, 3, made)
	require.Equal(t, "outbox_"+now.UTC().Format("20060102"), partitionOf())
	ids, _ := readAll(t, box, "", 3)
	require.Equal(t, []string{"lost-0", "lost-1", "lost-2"}, ids)
}

func TestFeedNarrowsByTypeAndRefusesForeignCursors(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	box := outbox.NewBox(pool, time.Now, nil)
	require.NoError(t, box.InTx(t.Context(), func(tx *outbox.Tx) error {
		for _, eventType := range []string{"thing.made", "thing.sold", "thing.made"} {
			tx.Append(outbox.Event{AggregateType: "thing", AggregateID: eventType, Type: eventType, Payload: json.RawMessage(`{}`)})
		}
		return nil
	}))
	readAll(t, box, "", 3)
	sold, next, err := box.Feed(t.Context(), "", []string{"thing.sold"}, 10)
	require.NoError(t, err)
	require.Len(t, sold, 1)
	nothing, same, err := box.Feed(t.Context(), next, []string{"thing.sold"}, 10)
	require.NoError(t, err)
	require.Empty(t, nothing)
	require.Equal(t, next, same)
	for _, cursor := range []string{"x", "MS4y", "!!!!", next + "A"} {
		_, _, err := box.Feed(t.Context(), cursor, nil, 1)
		require.True(t, fault.HasCode(err, "cursor_invalid"), cursor)
	}
}

// The plans of the two reads of the outbox, with rows in several partitions: the index of each partition that has any.
func TestReadsUseTheirIndex(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
		select uuid_v7(), 'thing', i::text, 'thing.made', '{}', 1, now() - (i % 2) * interval '1 day' from generate_series(1, 20000) i`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `analyze outbox`)
	require.NoError(t, err)
	for name, query := range map[string]string{
		"relay": `select id from outbox where epoch = 1 and txid = '900'::xid8
			and occurred_at >= current_date and occurred_at < current_date + 1 order by seq`,
		"feed": `select id from outbox where (epoch, txid, seq) > (1, '0'::xid8, 0)
			and (epoch, txid) < (1, pg_snapshot_xmin(pg_current_snapshot()))
			order by epoch, txid, seq limit 100`,
	} {
		rows, err := pool.Query(t.Context(), "explain "+query)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		today := "outbox_" + time.Now().UTC().Format("20060102")
		require.NotContains(t, plan, "Seq Scan on "+today, name+":\n"+plan)
		require.Contains(t, plan, today+"_epoch_txid_seq_idx", name+":\n"+plan)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("MS4xLjE")
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		if err := outbox.CheckCursor(cursor); err != nil && !fault.HasCode(err, "cursor_invalid") {
			t.Fatal(err)
		}
	})
}
