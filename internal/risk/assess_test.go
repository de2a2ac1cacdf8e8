package risk_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/risk"
)

var ann = buyer{phone: "13800138000", email: "ann@example.com", ip: "203.0.113.7"}

// Each rule holds what it is about, once it is paid, and nothing else.
func TestRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rule m
		run  func(b *bundle)
	}{
		"amount": {m{"if": "amount_above", "amount": yuan(500)}, func(b *bundle) {
			b.passed(b.bought(5, ann))
			b.held(b.bought(6, ann), "r")
		}},
		"amount of another currency": {m{"if": "amount_above", "amount": m{"amount": 1, "currency": "USD"}}, func(b *bundle) {
			b.passed(b.bought(6, ann))
		}},
		"quantity": {m{"if": "quantity_above", "more_than": 3}, func(b *bundle) {
			b.passed(b.bought(3, ann))
			b.held(b.bought(4, ann), "r")
		}},
		"orders of a phone": {m{"if": "orders_per_phone", "more_than": 2, "window": "1h"}, func(b *bundle) {
			b.passed(b.bought(1, ann))
			b.place(1, ann) // one that is not paid counts too
			b.passed(b.bought(1, buyer{phone: "13800138001"}))
			b.held(b.bought(1, buyer{phone: "+86 138 0013 8000"}), "r")
			b.passed(b.bought(1, buyer{}))
			b.pass(2 * time.Hour)
			b.passed(b.bought(1, ann))
		}},
		"orders of an e-mail address": {m{"if": "orders_per_email", "more_than": 1, "window": "1h"}, func(b *bundle) {
			b.passed(b.bought(1, ann))
			b.passed(b.bought(1, buyer{email: "bob@example.com", phone: ann.phone, ip: ann.ip}))
			b.held(b.bought(1, buyer{email: "Ann@EXAMPLE.com"}), "r")
		}},
		"orders of an address": {m{"if": "orders_per_ip", "more_than": 1, "window": "1h"}, func(b *bundle) {
			b.passed(b.bought(1, ann))
			b.held(b.bought(1, buyer{ip: "::ffff:203.0.113.7"}), "r")
			b.passed(b.bought(1, buyer{ip: "2001:db8:1:2::1"}))
			b.held(b.bought(1, buyer{ip: "2001:db8:1:2:ffff::9"}), "r")
			b.passed(b.bought(1, buyer{ip: "2001:db8:1:3::1"}))
		}},
		"first order": {m{"if": "first_order_above", "amount": yuan(200)}, func(b *bundle) {
			b.held(b.bought(3, ann), "r")
			b.held(b.bought(3, buyer{}), "r")
			b.passed(b.bought(2, ann)) // the one that was held does not make her known, this one does
			b.passed(b.bought(3, ann))
			b.passed(b.bought(3, buyer{phone: "13800138999", email: ann.email}))
			b.held(b.bought(3, buyer{phone: "13800138001"}), "r")
		}},
		"blocklist": {m{
			"if": "blocklist", "phones": []string{"138 0013 8000"}, "emails": []string{"eve@example.com"},
			"email_domains": []string{"Trash.example"}, "ips": []string{"203.0.113.7", "2001:db8::1"},
		}, func(b *bundle) {
			b.passed(b.bought(1, buyer{phone: "13800138001", email: "ann@example.com", ip: "203.0.113.8"}))
			b.passed(b.bought(1, buyer{}))
			for _, who := range []buyer{
				{phone: ann.phone}, {email: "Eve@Example.com"}, {email: "x@trash.example"}, {ip: ann.ip}, {ip: "2001:db8::7"},
			} {
				b.held(b.bought(1, who), "r")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.rule["name"] = "r"
			b := setup(t, rules(t, tc.rule))
			b.work()
			tc.run(b)
		})
	}
}

// What an operator does about a held order is on its timeline, and what was released is not assessed again.
func TestAHeldOrderIsReleasedOrRejected(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t,
		m{"name": "large", "if": "amount_above", "amount": yuan(100)},
		m{"name": "bulk", "if": "quantity_above", "more_than": 1},
	))
	b.work()
	id, other := b.bought(2, ann), b.bought(2, ann)
	first := b.held(id, "large", "bulk")
	b.held(other, "large", "bulk")

	operator := ordering.By{Actor: "key:ab12cd34", Reason: "called her"}
	_, err := b.orders.Release(t.Context(), id, operator)
	require.NoError(t, err)
	b.becomes(id, ordering.Completed)
	again, err := b.risk.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 1, b.jobs("assess_order", id))
	require.Equal(t, 1, b.jobs("deliver_order", id))
	story := b.story(id)
	require.Equal(t, []string{
		"order.on_hold by system:risk: rules: large, bulk", "order.released by key:ab12cd34: called her", "order.completed by system:delivery: ",
	}, story[2:])

	rejected, err := b.payments.Reject(t.Context(), b.orders, other, ordering.By{Actor: "key:ab12cd34", Reason: "stolen card"})
	require.NoError(t, err)
	require.Equal(t, ordering.Canceled, rejected.Status)
	require.Equal(t, ordering.Refunded, rejected.PaymentStatus)
	story = b.story(other)
	require.Equal(t, "order.refunded by key:ab12cd34: stolen card", story[len(story)-1])
	require.Zero(t, b.jobs("deliver_order", other))
}

// Nothing is delivered before the decision, whoever runs what how often; and each order is decided once.
func TestAnOrderIsAssessedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(500)}))
	small, large := b.bought(1, ann), b.bought(6, ann)
	b.enlisted("assess_order", small)
	b.enlisted("assess_order", large)
	require.Zero(t, b.int(`select count(*) from river_job where kind = 'deliver_order'`))

	var wg sync.WaitGroup
	for range 20 {
		for _, id := range []uuid.UUID{small, large, uuid.New()} {
			wg.Go(func() { require.NoError(t, b.assess(id)) })
		}
	}
	wg.Wait()
	require.Equal(t, 2, b.int(`select count(*) from risk_assessments`))
	require.Equal(t, 1, b.jobs("deliver_order", small))
	require.Zero(t, b.jobs("deliver_order", large))
	require.Equal(t, ordering.Processing, b.order(small).Status)
	require.Equal(t, 1, b.int(`select count(*) from order_timeline where order_id = $1 and event = 'order.on_hold'`, large))

	b.work()
	b.passed(small)
	require.NoError(t, b.assess(small)) // long after
	require.Equal(t, 1, b.jobs("deliver_order", small))
}

// What a person decides while an assessment waits stays as it is.
func TestAPersonIsFaster(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(100)}))
	operator := ordering.By{Actor: "key:ab12cd34"}
	released, held := b.bought(2, ann), b.bought(2, ann)
	b.enlisted("assess_order", released)
	b.enlisted("assess_order", held)
	for _, id := range []uuid.UUID{released, held} {
		_, err := b.orders.Hold(t.Context(), id, operator)
		require.NoError(t, err)
	}
	_, err := b.orders.Release(t.Context(), released, operator)
	require.NoError(t, err)

	require.NoError(t, b.assess(released))
	require.NoError(t, b.assess(held))
	b.enlisted("deliver_order", released)
	require.Equal(t, ordering.Processing, b.order(released).Status)
	require.Equal(t, ordering.HoldManual, b.order(held).HoldReason)
	for _, id := range []uuid.UUID{released, held} { // and an operator sees what the rules think
		a, err := b.risk.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, risk.DecisionHold, a.Decision)
	}
	b.work()
	b.becomes(released, ordering.Completed)
	require.Equal(t, ordering.OnHold, b.order(held).Status)
}

// A release before the payment is no word about the payment.
func TestReleasedUnpaidIsAssessedWhenPaid(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(100)}))
	b.work()
	id := b.place(2, ann)
	operator := ordering.By{Actor: "key:ab12cd34"}
	_, err := b.orders.Hold(t.Context(), id, operator)
	require.NoError(t, err)
	_, err = b.orders.Release(t.Context(), id, operator)
	require.NoError(t, err)
	require.Equal(t, payments.Applied, b.pay(id))
	b.held(id, "large")
}

// Nor is a person's word that the payment was made, or that another amount will do.
func TestWhatAPersonConfirmsIsAssessed(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(100)}))
	b.work()
	operator := ordering.By{Actor: "key:ab12cd34", Reason: "seen at the bank"}
	for _, came := range []int64{0, 199} {
		id := b.place(2, ann)
		begun, err := b.payments.Begin(t.Context(), id, "sandbox")
		require.NoError(t, err)
		if came > 0 {
			require.Equal(t, payments.WrongAmount, b.notice(begun.ID, ordering.Money{Amount: came, Currency: "CNY"}))
		}
		record, err := b.payments.Confirm(t.Context(), begun.ID, operator)
		require.NoError(t, err)
		require.Equal(t, "succeeded", record.Status)
		b.held(id, "large")
	}
}

// Money that comes after an order has expired does not get past the rules, whether there was stock or had to come first.
func TestLateMoneyIsAssessed(t *testing.T) {
	t.Parallel()
	for name, sold := range map[string]bool{"in stock": false, "sold out": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(100)}))
			b.work()
			id := b.place(2, ann)
			_, err := b.payments.Begin(t.Context(), id, "sandbox")
			require.NoError(t, err)
			b.pass(time.Hour)
			require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
				_, err := ordering.Expire(t.Context(), tx, []uuid.UUID{id})
				return err
			}))
			require.Equal(t, ordering.Expired, b.order(id).Status)
			if !sold {
				require.Equal(t, payments.Applied, b.pay(id))
				b.held(id, "large")
				return
			}
			b.restock(-10_000)
			require.Equal(t, payments.LatePayment, b.pay(id))
			require.Equal(t, ordering.HoldLateNoStock, b.order(id).HoldReason)
			require.NoError(t, b.assess(id)) // of its order.paid: there is nothing to deliver yet
			require.Zero(t, b.int(`select count(*) from risk_assessments`))
			b.restock(10)
			n, err := b.orders.ReleaseRestocked(t.Context())
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Eventually(t, func() bool { return b.order(id).HoldReason == ordering.HoldRisk }, 20*time.Second, 5*time.Millisecond)
			b.held(id, "large")
		})
	}
}

// An order that has lost its job gets the one that it had: nothing is healed past its assessment.
func TestALostAssessmentIsHealed(t *testing.T) {
	t.Parallel()
	b := setup(t, rules(t, m{"name": "large", "if": "amount_above", "amount": yuan(100)}))
	healer := fulfillment.NewHealer(b.route, b.pool, b.client, b.now)
	heal := func(want int) {
		t.Helper()
		healed, err := healer.Heal(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, healed)
	}
	large, small := b.bought(2, ann), b.bought(1, ann)
	b.enlisted("assess_order", large)
	b.enlisted("assess_order", small)
	b.pass(2 * time.Minute)
	heal(0)
	b.exec(`delete from river_job where kind = 'assess_order'`)
	heal(2)
	require.Equal(t, 1, b.jobs("assess_order", large))
	require.Zero(t, b.int(`select count(*) from river_job where kind = 'deliver_order'`))
	require.NoError(t, b.assess(large))
	require.NoError(t, b.assess(small))
	b.exec(`delete from river_job`)
	heal(1) // the one that passed; the other waits for a person
	require.Equal(t, 1, b.jobs("deliver_order", small))
	require.Zero(t, b.jobs("assess_order", small))
	b.work()
	b.passed(small)
	b.held(large, "large")
}

// Without rules nothing is asked, and what still waits for an assessment passes.
func TestWithoutRules(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	require.Nil(t, b.risk.Guard())
	require.False(t, b.risk.Assesses())
	id := b.bought(1, ann)
	b.enlisted("deliver_order", id)
	require.Zero(t, b.jobs("assess_order", id))
	_, err := b.risk.Get(t.Context(), id)
	require.True(t, fault.HasCode(err, "risk_assessment_not_found"))

	require.NoError(t, b.assess(id)) // as if it had been enlisted while there were rules
	b.work()
	a := b.passed(id)
	require.Equal(t, risk.ScorerOff, a.Scorer)
}

// The scorer is asked outside of any transaction, knows nobody's number, and what it says stays with the order.
func TestScorer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var bodies []string
	var answer http.HandlerFunc
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		bodies = append(bodies, read(r))
		reply := answer
		mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer secret-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(w, r)
	})
	says := func(text string) { mu.Lock(); answer = body(text); mu.Unlock() }
	b := setup(t, `{"rules": [{"name": "bulk", "if": "quantity_above", "more_than": 3}],
		"scorer": {"url": "`+url+`", "token": "${T}", "timeout": "5s", "on_failure": "pass"}}`)
	b.work()

	says(`{"decision": "pass", "score": 0.25, "more": 1}`)
	a := b.passed(b.bought(2, ann))
	require.Equal(t, risk.ScorerPass, a.Scorer)
	require.InDelta(t, 0.25, *a.Score, 0)
	require.Len(t, bodies, 1)
	require.Contains(t, bodies[0], `"amount":{"amount":200,"currency":"CNY"},"items":[{"sku":"a","quantity":2,"unit_price":100}]`)
	require.Contains(t, bodies[0], `"orders_24h":{"phone":1,"email":1,"ip":1},"first_order":true,"rules":[]`)
	require.NotContains(t, bodies[0], "13800138000")
	require.NotContains(t, bodies[0], "ann@example.com")
	require.NotContains(t, bodies[0], ann.ip)

	says(`{"decision": "hold", "score": 0.9, "reason": "seen before"}`)
	id := b.bought(1, ann)
	a = b.held(id, []string{}...)
	require.Equal(t, risk.ScorerHold, a.Scorer)
	require.Contains(t, b.story(id), "order.on_hold by system:risk: scorer: hold (0.9), seen before")
	require.Contains(t, bodies[1], `"orders_24h":{"phone":2,"email":2,"ip":2},"first_order":false`)

	says(`{"decision": "refuse"}`) // a paid order is not refunded by a machine
	a = b.held(b.bought(1, buyer{}), []string{}...)
	require.Equal(t, risk.ScorerRefuse, a.Scorer)
	require.Nil(t, a.Score)
	require.Contains(t, bodies[2], `"orders_24h":{"phone":null,"email":null,"ip":null},"first_order":true`)

	says(`{"decision": "pass"}`) // and does not undo a rule
	a = b.held(b.bought(4, ann), "bulk")
	require.Equal(t, risk.ScorerPass, a.Scorer)

	says(`no`) // on_failure
	a = b.passed(b.bought(1, ann))
	require.Equal(t, risk.ScorerFailed, a.Scorer)
	require.Equal(t, "the answer is not the JSON that was asked for", a.ScorerReason)
}

func TestScorerFailsToHold(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	b := setup(t, `{"scorer": {"url": "`+url+`", "on_failure": "hold"}}`)
	b.work()
	id := b.bought(1, ann)
	a := b.held(id, []string{}...)
	require.Equal(t, risk.ScorerFailed, a.Scorer)
	require.Contains(t, b.story(id), "order.on_hold by system:risk: scorer: failed, answered with status 502")
}
