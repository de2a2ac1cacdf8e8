package outbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// emitTakes says whether the door in SQL takes an event.
func emitTakes(t *testing.T, pool *pgxpool.Pool, e outbox.Event) bool {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `select emit($1, $2, $3, $4)`, e.Type, e.AggregateType, e.AggregateID, string(e.Payload))
	return err == nil
}

func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels) + "1" + strings.Repeat("}", levels)
}

// One rule for all doors: what one refuses, the other refuses.
func TestForeignEventsAreCheckedAsByEmit(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	const limit = 256 << 10
	for name, tc := range map[string]struct {
		eventType, aggregateType, aggregateID, payload string
		code                                           string
	}{
		"right":                    {payload: `{"n": 1}`},
		"of an order":              {aggregateType: "order"},
		"a word like ours":         {eventType: "orders.made"},
		"three words":              {eventType: "a.b.c_2"},
		"order":                    {eventType: "order.made", code: "event_type_reserved"},
		"order alone":              {eventType: "order", code: "event_type_reserved"},
		"payment":                  {eventType: "payment.made", code: "event_type_reserved"},
		"product":                  {eventType: "product.made", code: "event_type_reserved"},
		"stock":                    {eventType: "stock.made", code: "event_type_reserved"},
		"webhook":                  {eventType: "webhook.made.late", code: "event_type_reserved"},
		"one word":                 {eventType: "made", code: "event_malformed"},
		"capitals":                 {eventType: "Thing.made", code: "event_malformed"},
		"a line end":               {eventType: "thing.made\n", code: "event_malformed"},
		"an empty word":            {eventType: "thing..made", code: "event_malformed"},
		"a long type":              {eventType: "thing." + long(122)},
		"a type that is too long":  {eventType: "thing." + long(123), code: "event_malformed"},
		"a long aggregate":         {aggregateType: long(64)},
		"too long an aggregate":    {aggregateType: long(65), code: "event_malformed"},
		"an aggregate with a dot":  {aggregateType: "a.b", code: "event_malformed"},
		"a long id":                {aggregateID: strings.Repeat("库", 255)},
		"an id that is too long":   {aggregateID: long(256), code: "event_malformed"},
		"no id":                    {aggregateID: "-", code: "event_malformed"},
		"a list":                   {payload: `[1]`, code: "event_malformed"},
		"null":                     {payload: `null`, code: "event_malformed"},
		"a text":                   {payload: `"x"`, code: "event_malformed"},
		"deep":                     {payload: nested(64)},
		"too deep":                 {payload: nested(65), code: "event_malformed"},
		"large":                    {payload: `{"a": "` + long(limit-9) + `"}`},
		"too large":                {payload: `{"a": "` + long(limit-8) + `"}`, code: "event_data_too_large"},
		"large without its spaces": {payload: strings.Repeat(" ", limit) + `{}`},
		"small without its spaces": {payload: `{"a":[1` + strings.Repeat(",1", limit/3) + `]}`, code: "event_data_too_large"},
		"large for its escapes":    {payload: `{"a":"` + strings.Repeat(`\u0041`, limit/4) + `"}`},
		"small for its exponents":  {payload: `{"a":[1` + strings.Repeat(`,1e30`, limit/32) + `]}`, code: "event_data_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := outbox.Event{
				Type: or(tc.eventType, "thing.made"), AggregateType: or(tc.aggregateType, "thing"),
				AggregateID: strings.TrimSuffix(or(tc.aggregateID, "1"), "-"), Payload: json.RawMessage(or(tc.payload, "{}")),
			}
			err := outbox.CheckForeign(e)
			if tc.code == "" {
				require.NoError(t, err)
			} else {
				require.True(t, fault.HasCode(err, tc.code), "%v", err)
			}
			require.Equal(t, tc.code == "", emitTakes(t, pool, e))
		})
	}
	var source string
	require.NoError(t, pool.QueryRow(t.Context(), `select prosrc from pg_proc where proname = 'emit'`).Scan(&source))
	require.Contains(t, source, "('"+strings.Join(outbox.ReservedTypes, "', '")+"')", "the list is emit's, with nothing left out")
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// What is not JSON never comes as far as emit.
func TestForeignPayloadsThatAreNoJSON(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{``, `{`, `{}{}`, `{} x`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":01}`} {
		err := outbox.CheckForeign(outbox.Event{Type: "a.b", AggregateType: "a", AggregateID: "1", Payload: json.RawMessage(payload)})
		require.True(t, fault.HasCode(err, "event_malformed"), "%s: %v", payload, err)
	}
}

// The size and the depth that the rule goes by are Postgres'.
func TestMeasureIsThatOfPostgres(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		text := rapid.Map(rapid.String(), func(s string) string {
			written, _ := json.Marshal(strings.ReplaceAll(s, "\x00", ""))
			return string(written)
		})
		kinds := []*rapid.Generator[string]{
			text, rapid.SampledFrom([]string{"true", "false", "null", `"\u00e9\/\u0001\b"`, "\"\x7f库\""}),
			rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?`),
		}
		if depth > 0 {
			kinds = append(kinds,
				rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(values []string) string {
					return "[" + strings.Join(values, ",") + "]"
				}),
				rapid.Map(rapid.SliceOfN(value(depth-1), 0, 4), func(values []string) string {
					for i := range values {
						values[i] = fmt.Sprintf(`"name%d" :%s`, i, values[i])
					}
					return "{ " + strings.Join(values, " ,") + "}"
				}))
		}
		return rapid.OneOf(kinds...)
	}
	rapid.Check(t, func(rt *rapid.T) {
		object := `{"a":` + value(4).Draw(rt, "value") + `}`
		size, levels, ok := outbox.Measure([]byte(object))
		require.True(rt, ok)
		var wantSize, wantLevels int
		require.NoError(rt, pool.QueryRow(t.Context(), `
			select octet_length($1::text::jsonb::text), (select max(n) from generate_series(0, 9) n
				where jsonb_path_exists($1::text::jsonb, format('$.**{%s}', n)::jsonpath))`, object).Scan(&wantSize, &wantLevels))
		require.Equal(rt, []int{wantSize, wantLevels}, []int{size, levels}, object)
	})
}

// What docs/webhooks.md explains is what an endpoint can ask for.
func TestOwnTypesAreThoseOfTheDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(string(text), -1) {
		cells := strings.Split(row, "|")
		for _, quoted := range regexp.MustCompile("`([a-z]+\\.[a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			first, _, _ := strings.Cut(quoted[1], ".")
			if slices.Contains(outbox.ReservedTypes, first) {
				documented = append(documented, quoted[1])
			}
		}
	}
	require.ElementsMatch(t, outbox.OwnTypes, documented)
	for eventType, can := range map[string]bool{
		"order.paid": true, "order.paied": false, "order.*": true, "product.*": true, "product.made": false, "shop.sold": true, "shop.*": true,
	} {
		require.Equal(t, can, outbox.CanHappen(eventType), eventType)
	}
}
