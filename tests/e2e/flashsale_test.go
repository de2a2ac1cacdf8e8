package e2e

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// twoNodes are two processes on one database.
func twoNodes(t *testing.T) (*site, []string) {
	t.Helper()
	s := newSite(t)
	s.http.Transport = &http.Transport{MaxIdleConnsPerHost: 600}
	return s, []string{s.serve(t).url, s.serve(t).url}
}

// rush sends the same body from many callers at once, to each process in turn.
func (s *site) rush(t *testing.T, nodes []string, callers int, body any, header ...string) []answer {
	t.Helper()
	answers := make([]answer, callers)
	failures := make([]error, callers)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			<-start
			answers[i], failures[i] = s.callAt(t.Context(), nodes[i%len(nodes)], http.MethodPost, "/v1/orders", body, header...)
		})
	}
	close(start)
	all.Wait()
	for _, err := range failures {
		require.NoError(t, err)
	}
	return answers
}

//nolint:tparallel // one sale has both cores
func TestFlashSaleSellsExactlyTheStock(t *testing.T) {
	t.Parallel()
	s, nodes := twoNodes(t)
	for _, sale := range []struct {
		sku           string
		stock, buyers int
		quantities    []int // of a cart's lines, all of the one SKU
	}{
		{"ten", 10, 200, []int{1}},
		{"ten-twice", 10, 200, []int{1, 1}},
		{"eleven-twice", 11, 200, []int{1, 1}}, // one is left, which no cart can take
		{"five-hundred", 500, 1000, []int{1}},
	} {
		t.Run(sale.sku, func(t *testing.T) {
			s.stockCounted(t, sale.sku, sale.stock)
			each := 0
			for _, quantity := range sale.quantities {
				each += quantity
			}
			left := sale.stock % each
			sold := 0
			for _, a := range s.rush(t, nodes, sale.buyers, cart(sale.sku, sale.quantities...)) {
				if a.status == http.StatusCreated {
					sold++
					continue
				}
				var p problem
				a.into(t, http.StatusConflict, &p)
				require.Equal(t, "out_of_stock", p.Code)
				require.Equal(t, sale.sku, p.SKU)
				require.NotNil(t, p.Available)
				require.Equal(t, left, *p.Available)
			}
			require.Equal(t, sale.stock/each, sold)
			require.Equal(t, left, s.available(t, sale.sku))
			require.Equal(t, sale.stock-left, s.count(t, "select sum(quantity)::int from vendbox.order_items where sku = $1", sale.sku))
		})
	}
	s.audited(t)
}

func TestIdempotencyKeyMakesOneOrder(t *testing.T) {
	t.Parallel()
	const callers = 50
	s, nodes := twoNodes(t)
	s.stockCounted(t, "topup", 100)
	answers := s.rush(t, nodes, callers, cart("topup", 2), "Idempotency-Key", "one-cart")
	replayed := 0
	for _, a := range answers {
		require.Equalf(t, http.StatusCreated, a.status, "%s", a.body)
		require.Equal(t, string(answers[0].body), string(a.body))
		if a.header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	require.Equal(t, callers-1, replayed)
	require.Equal(t, 1, s.count(t, "select count(*) from vendbox.orders"))
	require.Equal(t, 98, s.available(t, "topup"))

	// What happens to the order later does not change the answer.
	var placed order
	require.NoError(t, json.Unmarshal(answers[0].body, &placed))
	s.pay(t, placed)
	again := s.rush(t, nodes, 2, cart("topup", 2), "Idempotency-Key", "one-cart")
	for _, a := range again {
		require.Equal(t, string(answers[0].body), string(a.body))
	}
	for _, a := range s.rush(t, nodes, callers, cart("topup", 3), "Idempotency-Key", "one-cart") {
		var p problem
		a.into(t, http.StatusUnprocessableEntity, &p)
		require.Equal(t, "idempotency_key_reused", p.Code)
	}
	require.Equal(t, 1, s.count(t, "select count(*) from vendbox.orders"))
	s.audited(t)
}
