package pgdb

import (
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// encodeUUIDs teaches a connection to send a uuid.UUID as its sixteen bytes. pgx knows the type only as a
// driver.Valuer, which it asks for text and then parses again: sixteen times as slow, and every set-based statement of
// ours carries hundreds of ids.
func encodeUUIDs(m *pgtype.Map) {
	m.TryWrapEncodePlanFuncs = append([]pgtype.TryWrapEncodePlanFunc{wrapUUID}, m.TryWrapEncodePlanFuncs...)
}

func wrapUUID(value any) (pgtype.WrappedEncodePlanNextSetter, any, bool) {
	if id, ok := value.(uuid.UUID); ok {
		return &uuidPlan{}, uuidBytes(id), true
	}
	return nil, nil, false
}

// uuidBytes is what pgx's own codec understands.
type uuidBytes [16]byte

// UUIDValue implements pgtype.UUIDValuer.
func (b uuidBytes) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: b, Valid: true}, nil }

type uuidPlan struct{ next pgtype.EncodePlan }

// SetNext implements pgtype.WrappedEncodePlanNextSetter.
func (p *uuidPlan) SetNext(next pgtype.EncodePlan) { p.next = next }

// Encode implements pgtype.EncodePlan.
func (p *uuidPlan) Encode(value any, buf []byte) ([]byte, error) {
	return p.next.Encode(uuidBytes(value.(uuid.UUID)), buf) //nolint:errcheck,forcetypeassert // planned for this type alone
}

// FirstID is the smallest UUIDv7 of a millisecond (RFC 9562 §5.7), as the database compares them: below the ids of all rows
// that were made from that time on.
func FirstID(t time.Time) (id uuid.UUID) {
	const most = 1<<48 - 1
	ms := uint64(min(max(t.UnixMilli(), 0), most))
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}
