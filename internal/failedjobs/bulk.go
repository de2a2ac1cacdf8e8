package failedjobs

import (
	"context"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/paging"
)

// MaxBulk bounds how many entries one call of Bulk acts on.
const MaxBulk = 500

// Action is what a person does about an entry.
type Action string

// The actions.
const (
	ActionRetry   Action = "retry"
	ActionResolve Action = "resolve"
	ActionDiscard Action = "discard"
)

// BulkResult says what became of the entries that Bulk found.
type BulkResult struct {
	Done    int
	Refused map[uuid.UUID]*fault.Error // somebody else was faster, say
	More    bool                       // there are more than were acted on
}

// Bulk acts on up to limit open entries that the filter lets through, newest first, each in a transaction of its own:
// one that is refused holds back no other. The filter's status is not looked at. Errors: the note's faults, and what is
// no fault, which ends the call in the middle.
func (r *Room) Bulk(ctx context.Context, action Action, filter Filter, limit int, actor, note string) (BulkResult, error) {
	if _, err := checkNote(note, action != ActionRetry); err != nil {
		return BulkResult{}, err
	}
	filter.Status = Open
	limit = min(max(limit, 1), MaxBulk)
	result := BulkResult{Refused: map[uuid.UUID]*fault.Error{}}
	cursor, seen := "", 0
	for {
		entries, next, err := r.List(ctx, filter, cursor, min(limit-seen, paging.Max))
		if err != nil {
			return result, err
		}
		for _, entry := range entries {
			err := r.act(ctx, action, entry.ID, actor, note)
			if f, refused := fault.As(err); refused {
				result.Refused[entry.ID] = f
				continue
			}
			if err != nil {
				return result, err
			}
			result.Done++
		}
		seen += len(entries)
		if next == "" || seen >= limit {
			result.More = next != ""
			return result, nil
		}
		cursor = next
	}
}

func (r *Room) act(ctx context.Context, action Action, id uuid.UUID, actor, note string) error {
	switch action {
	case ActionResolve:
		return r.Resolve(ctx, id, actor, note)
	case ActionDiscard:
		return r.Discard(ctx, id, actor, note)
	default:
		_, err := r.Retry(ctx, id, actor, note)
		return err
	}
}
