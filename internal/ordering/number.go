package ordering

import (
	"encoding/base32"
	"time"

	"github.com/google/uuid"
)

// Crockford's alphabet: no I, L, O or U, so that a number survives being read out on the telephone.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// numberOf makes the number a person is told: the day (UTC) and ten characters of the id's random part. 50 random bits
// within a day; the table's unique key refuses the collision that chance still allows.
func numberOf(id uuid.UUID, placedAt time.Time) string {
	return placedAt.UTC().Format("060102") + "-" + crockford.EncodeToString(id[8:])[3:13]
}
