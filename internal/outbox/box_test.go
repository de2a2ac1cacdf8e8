package outbox_test

import (
	"encoding/json"
	"slices"
	"strconv"
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

func TestFeedRefusesForeignCursors(t *testing.T) {
	t.Parallel()
	box := outbox.NewBox(pgtest.New(t), time.Now, nil)
	appendThings(t, box, "thing", 1)
	_, cursor := readAll(t, box, "", 1)
	for _, foreign := range []string{"x", "MS4y", "!!!!", cursor + "A", cursor + "\n"} {
		_, _, err := box.Feed(t.Context(), foreign, nil, 1)
		require.True(t, fault.HasCode(err, "cursor_invalid"), foreign)
	}
}

// walk goes on from a cursor until it has caught up, and returns the aggregates' ids, the last cursor and how many pages
// there were.
func walk(t *testing.T, box *outbox.Box, cursor string, types []string, limit int) (ids []string, last string, pages int) {
	t.Helper()
	for {
		events, next, err := box.Feed(t.Context(), cursor, types, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(events), limit)
		for _, event := range events {
			ids = append(ids, event.AggregateID)
		}
		if next == cursor {
			return ids, next, pages
		}
		cursor = next
		pages++
	}
}

// typed appends an event of each type, in one transaction each; their aggregates' ids count up from 0.
func typed(t *testing.T, box *outbox.Box, types ...string) {
	t.Helper()
	for i, eventType := range types {
		require.NoError(t, box.InTx(t.Context(), func(tx *outbox.Tx) error {
			tx.Append(outbox.Event{AggregateType: "thing", AggregateID: strconv.Itoa(i), Type: eventType, Payload: json.RawMessage(`{}`)})
			return nil
		}))
	}
}

func TestAFeedOfSomeTypesIsTheFeedWithoutTheOthers(t *testing.T) {
	t.Parallel()
	box := outbox.NewBox(pgtest.New(t), time.Now, nil)
	appended := []string{"t.a", "t.b", "t.a", "t.a", "t.c", "t.b", "t.c", "t.c"}
	typed(t, box, appended...)
	readAll(t, box, "", len(appended))
	for _, types := range [][]string{nil, {"t.a"}, {"t.b"}, {"t.c"}, {"t.a", "t.c"}, {"t.none"}} {
		var want []string
		for i, eventType := range appended {
			if types == nil || slices.Contains(types, eventType) {
				want = append(want, strconv.Itoa(i))
			}
		}
		for limit := 1; limit <= len(appended)+1; limit++ {
			got, _, _ := walk(t, box, "", types, limit)
			require.Equal(t, want, got, "%v by %d", types, limit)
		}
	}
}

// Without a cursor that moves, a reader of a rare type would look at all the others again at every call.
func TestAPageWithoutEventsMovesOn(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	box := outbox.NewBox(pool, time.Now, nil)
	_, err := pool.Exec(t.Context(), `insert into outbox (id, aggregatetype, aggregateid, type, payload, epoch, occurred_at)
		select uuid_v7(), 'thing', i::text, case i when 22000 then 'thing.rare' else 'thing.made' end, '{}', outbox_epoch(), now()
		from generate_series(1, 25000) i`)
	require.NoError(t, err)
	readAll(t, box, "", 1)

	ids, cursor, pages := walk(t, box, "", []string{"thing.rare"}, 10)
	require.Equal(t, []string{"22000"}, ids)
	require.Equal(t, 3, pages, "each looked at a part, and none at what another had looked at")
	events, next, err := box.Feed(t.Context(), "", []string{"thing.rare"}, 10)
	require.NoError(t, err)
	require.Empty(t, events)
	require.NotEmpty(t, next)

	typed(t, box, "thing.rare")
	require.Eventually(t, func() bool {
		ids, _, _ = walk(t, box, cursor, []string{"thing.rare"}, 10)
		return len(ids) > 0
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"0"}, ids)
}

// The cursor of a page without events must not pass what is appended but not committed.
func TestAPageWithoutEventsPassesNoLateCommit(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	box := outbox.NewBox(pool, time.Now, nil)
	typed(t, box, "thing.made")
	readAll(t, box, "", 1)
	late, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = late.Rollback(t.Context()) }()
	_, err = late.Exec(t.Context(), `select emit('thing.rare', 'thing', 'late', '{}')`)
	require.NoError(t, err)
	typed(t, box, "thing.made", "thing.made")

	ids, cursor, _ := walk(t, box, "", []string{"thing.rare"}, 10)
	require.Empty(t, ids)
	require.NotEmpty(t, cursor)
	require.NoError(t, late.Commit(t.Context()))
	require.Eventually(t, func() bool {
		ids, _, _ = walk(t, box, cursor, []string{"thing.rare"}, 10)
		return len(ids) > 0
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{"late"}, ids)
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
		"relay": `select id from outbox where epoch = 1 and txid = '900'::xid8 and seq > 7
			and occurred_at >= current_date and occurred_at < current_date + 1 order by seq limit 500`,
		"feed": `select id from (
			select scanned.*, lead(seq) over (order by epoch, txid, seq) is null as last, type = any(array['thing.rare']) as matches from (
				select id, type, epoch, txid, seq from outbox where (epoch, txid, seq) > (1, '0'::xid8, 0)
				and (epoch, txid) < ((select outbox_epoch()), pg_snapshot_xmin(pg_current_snapshot()))
				order by epoch, txid, seq limit 10000) as scanned) as feed
			where matches or last order by epoch, txid, seq limit 100`,
	} {
		rows, err := pool.Query(t.Context(), "explain "+query)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		plan := strings.Join(lines, "\n")
		today := "outbox_" + time.Now().UTC().Format("20060102")
		require.NotContains(t, plan, "Seq Scan on "+today, name+":\n"+plan)
		require.Contains(t, plan, today+"_epoch_txid_seq_idx", name+":\n"+plan)
		require.NotContains(t, plan, "Filter: (ROW(epoch, txid)", name+": both ends are the index's:\n"+plan)
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
