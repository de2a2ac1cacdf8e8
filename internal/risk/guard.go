package risk

import (
	"context"
	"errors"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Guard refuses orders that are to be placed, by the rules whose action that is: the fault order_refused, which does not
// say by which rule. nil where no rule refuses.
func (s *Service) Guard() *ordering.Guard {
	var refusing []rule
	for _, r := range s.rules {
		if r.Action == Refuse {
			refusing = append(refusing, r)
		}
	}
	if len(refusing) == 0 {
		return nil
	}
	return &ordering.Guard{
		Look: func(ctx context.Context, batch []ordering.PlaceParams) error { return s.look(ctx, refusing, batch) },
		Told: s.told,
	}
}

// look reads what the rules have to know, and leaves each order's Judge to decide in memory: within the transaction, since
// only there are the prices known, and whether the order's key has placed it before.
func (s *Service) look(ctx context.Context, rules []rule, batch []ordering.PlaceParams) error {
	subjects := make([]subject, len(batch))
	asked := make([][]probe, len(batch))
	some := false
	for i := range batch {
		p := &batch[i]
		subjects[i] = subject{
			id: p.ID, phone: p.PhoneFingerprint, email: p.EmailFingerprint, ip: p.IPFingerprint, domain: domainOf(p.ContactMasked),
		}
		for j := range rules {
			asked[i] = append(asked[i], rules[j].probes(&subjects[i], s.now())...)
		}
		some = some || len(asked[i]) > 0
	}
	seen := make([]history, len(batch))
	if some {
		var err error
		if seen, err = s.askers.Do(ctx, asked); err != nil {
			return err
		}
	}
	for i := range batch {
		batch[i].Judge = func(o *ordering.Order) error {
			whole := subjects[i]
			whole.setOrder(o)
			for j := range rules {
				if rules[j].matches(&whole, seen[i]) {
					return fault.Wrap(&refusalError{rules[j].Name}, fault.Conflict, "order_refused")
				}
			}
			return nil
		}
	}
	return nil
}

// refusalError is order_refused's cause, for the log alone.
type refusalError struct{ rule string }

func (e *refusalError) Error() string { return "risk rule " + e.rule }

func (s *Service) told(ctx context.Context, err error) {
	if refusal, ok := errors.AsType[*refusalError](err); ok {
		s.metrics.matched(ctx, []string{refusal.rule}, Refuse)
		s.log.InfoContext(ctx, "risk: order refused", "rule", refusal.rule)
	}
}
