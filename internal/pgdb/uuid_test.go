package pgdb_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/pgdb"
	"github.com/vendbox/vendbox/internal/pgtest"
)

func TestUUIDsGoThereAndBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ids := []uuid.UUID{uuid.New(), uuid.Nil, uuid.Max}
	one := ids[0]
	var nothing *uuid.UUID
	var back []uuid.UUID
	var single, pointed uuid.UUID
	var null *uuid.UUID
	require.NoError(t, pool.QueryRow(t.Context(), `select $1::uuid[], $2::uuid, $3::uuid, $4::uuid`, ids, one, &one, nothing).
		Scan(&back, &single, &pointed, &null))
	require.Equal(t, ids, back)
	require.Equal(t, one, single)
	require.Equal(t, one, pointed)
	require.Nil(t, null)
	var text string
	require.NoError(t, pool.QueryRow(t.Context(), `select $1::text`, one.String()).Scan(&text))
	require.Equal(t, one.String(), text)
	require.NoError(t, pool.QueryRow(t.Context(), `select $1::uuid::text`, pgx.QueryExecModeSimpleProtocol, one).Scan(&text))
	require.Equal(t, one.String(), text)
}

func BenchmarkEncodeUUIDs(b *testing.B) {
	ids := make([]uuid.UUID, 500)
	for i := range ids {
		ids[i] = uuid.New()
	}
	for name, prepare := range map[string]func(*pgtype.Map){"pgx": func(*pgtype.Map) {}, "ours": pgdb.EncodeUUIDs} {
		b.Run(name, func(b *testing.B) {
			m := pgtype.NewMap()
			prepare(m)
			var buf []byte
			for b.Loop() {
				var err error
				if buf, err = m.Encode(pgtype.UUIDArrayOID, pgx.BinaryFormatCode, ids, buf[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
