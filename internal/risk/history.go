package risk

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// by is what orders are found by.
type by int

const (
	byPhone by = iota
	byEmail
	byIP
)

// probeKey is a question of one order: which rule asks, and what it counts by.
type probeKey struct {
	rule int
	by   by
}

// history is what the probes of one order have found.
type history map[probeKey]int

// probe asks for other orders of the same phone, e-mail address or IP.
type probe struct {
	probeKey

	fingerprint []byte
	self        uuid.UUID
	since       uuid.UUID // ids are in the order of time
	most        int       // orders to read
	completed   bool      // only those that were delivered
}

const (
	// scorerRule stands for the scorer, which asks as a rule does.
	scorerRule = -1
	// firstRule stands for its question whether this is the buyer's first order.
	firstRule = -2

	scorerWindow = 24 * time.Hour
	scorerMost   = 100
	// firstMost of a buyer's orders are looked through for one that was delivered.
	firstMost = 1000
)

// probes are the questions of a rule about an order, from the time that is now.
func (r *rule) probes(s *subject, now time.Time) []probe {
	since := pgdb.FirstID(now.Add(-time.Duration(r.Window)))
	switch r.If {
	case OrdersPerPhone:
		return counts(r.n, s, since, r.MoreThan, byPhone)
	case OrdersPerEmail:
		return counts(r.n, s, since, r.MoreThan, byEmail)
	case OrdersPerIP:
		return counts(r.n, s, since, r.MoreThan, byIP)
	case FirstOrderAbove:
		return firsts(r.n, s)
	default:
		return nil
	}
}

func counts(n int, s *subject, since uuid.UUID, most int, by ...by) []probe {
	var probes []probe
	for _, by := range by {
		if fingerprint := s.by(by); fingerprint != nil {
			probes = append(probes, probe{probeKey: probeKey{n, by}, fingerprint: fingerprint, self: s.id, since: since, most: most})
		}
	}
	return probes
}

// firsts ask whether somebody with this phone or e-mail address has had an order completed.
func firsts(n int, s *subject) []probe {
	probes := counts(n, s, uuid.Nil, firstMost, byPhone, byEmail)
	for i := range probes {
		probes[i].completed = true
	}
	return probes
}

func (s *subject) by(by by) []byte {
	return [...][]byte{byPhone: s.phone, byEmail: s.email, byIP: s.ip}[by]
}

// ask answers the probes of several orders, in as many statements as there are things to find orders by.
func ask(ctx context.Context, db dbq.DBTX, asked [][]probe) ([]history, error) {
	seen := make([]history, len(asked))
	var all []probe
	var whose []int
	for i, probes := range asked {
		seen[i] = history{}
		for _, p := range probes {
			all, whose = append(all, p), append(whose, i)
		}
	}
	q := dbq.New(db)
	for by, count := range map[by]func(context.Context, dbq.RiskCountByPhoneParams) ([]dbq.RiskCountByPhoneRow, error){
		byPhone: q.RiskCountByPhone,
		byEmail: func(ctx context.Context, p dbq.RiskCountByPhoneParams) ([]dbq.RiskCountByPhoneRow, error) {
			rows, err := q.RiskCountByEmail(ctx, dbq.RiskCountByEmailParams(p))
			return convert(rows, err)
		},
		byIP: func(ctx context.Context, p dbq.RiskCountByPhoneParams) ([]dbq.RiskCountByPhoneRow, error) {
			rows, err := q.RiskCountByIP(ctx, dbq.RiskCountByIPParams(p))
			return convert(rows, err)
		},
	} {
		p := columns(all, by)
		if len(p.Ns) == 0 {
			continue
		}
		rows, err := count(ctx, p)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			seen[whose[row.N]][all[row.N].probeKey] = int(row.Found)
		}
	}
	return seen, nil
}

// convert: the three queries select the same columns.
func convert[R dbq.RiskCountByEmailRow | dbq.RiskCountByIPRow](rows []R, err error) ([]dbq.RiskCountByPhoneRow, error) {
	converted := make([]dbq.RiskCountByPhoneRow, len(rows))
	for i, row := range rows {
		converted[i] = dbq.RiskCountByPhoneRow(row)
	}
	return converted, err
}

func columns(all []probe, by by) dbq.RiskCountByPhoneParams {
	var c dbq.RiskCountByPhoneParams
	for n, p := range all {
		if p.by != by {
			continue
		}
		c.Ns = append(c.Ns, int32(n))
		c.Fingerprints = append(c.Fingerprints, p.fingerprint)
		c.Selves = append(c.Selves, p.self)
		c.Since = append(c.Since, p.since)
		c.Most = append(c.Most, int32(p.most))
		c.Completed = append(c.Completed, p.completed)
	}
	return c
}
