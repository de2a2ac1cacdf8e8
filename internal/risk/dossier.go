package risk

import (
	"context"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// dossier is everything that is known of a paid order, but for the scorer's opinion.
type dossier struct {
	subject

	order *ordering.Order
	seen  history
}

// flushRead gathers the dossiers of orders, nil for those that are not to be assessed: done before, or not there.
func (s *Service) flushRead(ctx context.Context, ids []uuid.UUID) ([]groupcommit.Result[*dossier], error) {
	orders, err := ordering.GetMany(ctx, s.pool, ids)
	if err != nil {
		return nil, err
	}
	rows, err := dbq.New(s.pool).RiskSubjects(ctx, ids)
	if err != nil {
		return nil, err
	}
	byID := map[uuid.UUID]*dossier{}
	var known []*dossier
	var asked [][]probe
	for _, row := range rows {
		order := orders[row.ID]
		if row.Assessed || order == nil || !isOpen(order) {
			continue
		}
		d := &dossier{order: order, subject: subject{
			id: row.ID, phone: row.PhoneFingerprint, email: row.EmailFingerprint, ip: row.IPFingerprint, domain: domainOf(order.ContactMasked),
		}}
		d.setOrder(order)
		byID[row.ID] = d
		known, asked = append(known, d), append(asked, s.questions(&d.subject))
	}
	seen, err := ask(ctx, s.pool, asked)
	if err != nil {
		return nil, err
	}
	for i, d := range known {
		d.seen = seen[i]
	}
	results := make([]groupcommit.Result[*dossier], len(ids))
	for i, id := range ids {
		results[i].Value = byID[id]
	}
	return results, nil
}

// isOpen: the order is paid, and there is something left to decide. For what a person has on hold an operator sees what the
// rules think of it. What waits for goods goes on by itself when they come, and is assessed then.
func isOpen(o *ordering.Order) bool {
	return o.PaymentStatus != ordering.Unpaid && (o.Status == ordering.Processing || o.Status == ordering.OnHold) && !o.WaitsForGoods()
}

// questions are the probes of all the rules, and of the scorer.
func (s *Service) questions(of *subject) []probe {
	var all []probe
	for i := range s.rules {
		r := &s.rules[i]
		if r.If == FirstOrderAbove && !r.isBelow(of.total) {
			continue
		}
		all = append(all, r.probes(of, s.now())...)
	}
	if s.scorer != nil {
		all = append(all, counts(scorerRule, of, pgdb.FirstID(s.now().Add(-scorerWindow)), scorerMost, byPhone, byEmail, byIP)...)
		all = append(all, firsts(firstRule, of)...)
	}
	return all
}

// matching names the rules that match.
func (s *Service) matching(d *dossier) []string {
	var names []string
	for i := range s.rules {
		if s.rules[i].matches(&d.subject, d.seen) {
			names = append(names, s.rules[i].Name)
		}
	}
	return names
}

// question is what the scorer is asked about it.
func (d *dossier) question(rules []string) question {
	q := question{
		OrderID: d.order.ID, Amount: d.total, Contact: d.order.ContactMasked, PlacedAt: d.order.PlacedAt.UTC(),
		First: d.seen[probeKey{firstRule, byPhone}] == 0 && d.seen[probeKey{firstRule, byEmail}] == 0,
		Rules: append([]string{}, rules...),
	}
	for _, item := range d.order.Items {
		q.Items = append(q.Items, questionItem{item.SKU, item.Quantity, item.UnitPrice})
	}
	for by, into := range map[by]**int{byPhone: &q.Counts.Phone, byEmail: &q.Counts.Email, byIP: &q.Counts.IP} {
		if d.by(by) != nil {
			n := d.seen[probeKey{scorerRule, by}] + 1
			*into = &n
		}
	}
	return q
}
