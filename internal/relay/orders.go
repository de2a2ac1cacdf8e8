package relay

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
)

// idsPerNotice keeps a notification below Postgres' bound of 8,000 bytes: an id and its comma are 37.
const idsPerNotice = 200

// changedOrders are the payloads that name the orders of a batch, each once. Nobody watches an order before it is placed,
// so its first event is left out: that is half of what a busy shop would send.
func changedOrders(events []outbox.Event) []string {
	var ids []string
	for _, event := range events {
		if event.AggregateType != ordering.AggregateType || event.Sequence == 1 {
			continue
		}
		// Other applications' events may name anything.
		if id, err := uuid.Parse(event.AggregateID); err == nil {
			ids = append(ids, id.String())
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var payloads []string
	for some := range slices.Chunk(ids, idsPerNotice) {
		payloads = append(payloads, strings.Join(some, ","))
	}
	return payloads
}
