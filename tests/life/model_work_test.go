package life

import (
	"bytes"
	"slices"
	"time"

	"github.com/vendbox/vendbox/internal/ordering"
)

// What goes on by itself: deliveries, orders that waited for goods, jobs that were lost.

func (m *model) work() {
	for _, o := range m.queue {
		switch {
		case o.Status != ordering.Processing:
		case m.hasCards(o.wants()):
			m.deliver(o)
		default:
			o.step(ordering.OnHold)
			o.Hold = ordering.HoldCardShortage
		}
	}
	m.queue = nil
}

func (m *model) restock(now time.Time) (released int) {
	var waiting []*modelOrder
	for _, o := range m.byID() {
		if o.Status == ordering.OnHold && (o.Hold == ordering.HoldCardShortage || o.Hold == ordering.HoldLateNoStock) {
			waiting = append(waiting, o)
		}
	}
	cards := map[string]int{}
	for sku, s := range m.shelf {
		cards[sku] = s.cards
	}
	for _, o := range m.orders { // which has cards coming already
		if o.Status == ordering.Processing {
			m.takeCards(o.wants())
		}
	}
	for _, o := range waiting {
		wants := o.wants()
		if !m.hasCards(wants) || o.Hold == ordering.HoldLateNoStock && !m.canReserve(wants) {
			continue
		}
		m.takeCards(wants)
		m.release(o, now)
		released++
	}
	for sku, s := range m.shelf {
		s.cards = cards[sku] // they were only counted
	}
	return released
}

// heal puts everything that is in progress back to work.
func (m *model) heal() (healed int) {
	m.queue = nil
	for _, o := range m.byID() {
		if o.Status == ordering.Processing {
			m.queue = append(m.queue, o)
		}
	}
	return len(m.queue)
}

func (m *model) byID() []*modelOrder {
	return slices.SortedFunc(slices.Values(m.orders), func(x, y *modelOrder) int { return bytes.Compare(x.ID[:], y.ID[:]) })
}
