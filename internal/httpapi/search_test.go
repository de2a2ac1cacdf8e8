package httpapi

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/payments"
)

// find gives the ids of GET /v1/orders with a query.
func (s *shop) find(query url.Values) []uuid.UUID {
	s.t.Helper()
	var found listBody[Order]
	s.as("orders:read", "GET", "/v1/orders?"+query.Encode(), "").into(200, &found)
	require.Nil(s.t, found.NextCursor)
	ids := make([]uuid.UUID, len(found.Data))
	for i, o := range found.Data {
		ids[i] = o.ID
	}
	return ids
}

func TestOrdersAreFoundByEachConditionAndAllTogether(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.as("admin", "POST", "/v1/products", `{"sku":"b","name":"B","kind":"counted","price":{"amount":5,"currency":"CNY"}}`).into(201, new(any))
	s.as("admin", "POST", "/v1/products/b/stock", `{"delta":10,"reason":"opening"}`).into(200, new(any))
	first, _ := s.place(`{"items":[{"sku":"b","quantity":1},{"sku":"a","quantity":1}],"contact":{"phone":"13800138000"}}`)
	s.pay(first.ID)
	second, _ := s.place(oneA)
	var paid listBody[PaymentRecord]
	s.as("payments:read", "GET", "/v1/payments", "").into(200, &paid)
	require.Len(t, paid.Data, 1)
	at := first.PlacedAt.In(time.FixedZone("", 8*3600)).Format(time.RFC3339Nano)

	conditions := map[string]string{
		"number": strings.ToLower(first.Number), "payment": paid.Data[0].ID.String(), "sku": "b", "contact": "13800138000",
		"status": "processing", "placed_to": second.PlacedAt.Format(time.RFC3339Nano), "placed_from": at,
	}
	all := url.Values{}
	for name, value := range conditions {
		all.Set(name, value)
		if name != "placed_from" {
			require.Equal(t, []uuid.UUID{first.ID}, s.find(url.Values{name: {value}}), name)
		}
	}
	require.Equal(t, []uuid.UUID{first.ID}, s.find(all))
	require.Equal(t, []uuid.UUID{first.ID}, s.find(url.Values{"payment": {"e-" + paid.Data[0].ID.String()}}), "the notice's id")
	require.Equal(t, []uuid.UUID{second.ID, first.ID}, s.find(url.Values{"placed_from": {at}, "sku": {"a"}}))
	for name := range conditions {
		other := url.Values{}
		for name, value := range conditions {
			other.Set(name, value)
		}
		other.Set(name, map[string]string{
			"number": second.Number, "payment": uuid.NewString(), "sku": "none", "contact": "13900139000", "status": "expired",
			"placed_to": at, "placed_from": second.PlacedAt.Format(time.RFC3339Nano),
		}[name])
		require.Empty(t, s.find(other), "another %s", name)
	}
	s.as("orders:read", "GET", "/v1/orders?placed_from=yesterday", "").problem(422, "validation_failed")
	s.as("orders:read", "GET", "/v1/orders?payment=%00", "").problem(400, "url_malformed")
}

func TestPaymentsAreShownToAPerson(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	placed, _ := s.place(`{"items":[{"sku":"a","quantity":1}],"contact":{"phone":"13800138000"}}`)
	var p payment
	s.as("payments:write", "POST", "/v1/orders/"+placed.ID.String()+"/payments", `{"channel":"sandbox"}`).into(201, &p)
	notify := func(eventID, paymentID string, amount int) {
		body := fmt.Sprintf(`{"event_id":%q,"type":"payment.succeeded","payment_id":%q,"amount":%d,"currency":"CNY","occurred_at":%q}`,
			eventID, paymentID, amount, time.Now().UTC().Format(time.RFC3339))
		s.do("POST", "/v1/payment-callbacks/sandbox", body,
			payments.SignatureHeader, payments.SignSandbox(shopSecret, time.Now(), []byte(body))).into(200, new(any))
	}
	notify("stray", uuid.NewString(), 7)
	notify("less", p.ID.String(), 1)

	var found listBody[PaymentRecord]
	got := s.as("payments:read", "GET", "/v1/payments?exception=any&channel=sandbox&status=exception", "")
	got.into(200, &found)
	require.Len(t, found.Data, 2)
	require.NotContains(t, string(got.body), "13800138000")
	require.NotContains(t, string(got.body), "body")
	wrong, stray := found.Data[0], found.Data[1]
	require.Equal(t, p.ID, wrong.ID)
	require.Equal(t, placed.Number, wrong.Order.Number)
	require.Equal(t, "on_hold", wrong.Order.Status)
	require.Equal(t, "wrong_amount", wrong.Order.HoldReason)
	require.JSONEq(t, string(placed.Contact), string(wrong.Order.Contact))
	require.Equal(t, "wrong_amount", wrong.Exceptions[0].Outcome)
	require.Equal(t, money{Amount: 1, Currency: "CNY"}, wrong.Exceptions[0].Amount)
	require.Equal(t, money{Amount: 1999, Currency: "CNY"}, wrong.Amount)
	require.Nil(t, stray.Order)
	require.Equal(t, "unmatched", stray.Exceptions[0].Outcome)

	for _, one := range found.Data {
		var again PaymentRecord
		s.as("payments:read", "GET", "/v1/payments/"+one.ID.String(), "").into(200, &again)
		require.Equal(t, one, again)
	}
	s.as("payments:read", "GET", "/v1/payments?exception=unmatched", "").into(200, &found)
	require.Equal(t, []PaymentRecord{stray}, found.Data)
	s.as("payments:read", "GET", "/v1/payments?limit=1", "").into(200, &found)
	require.Equal(t, stray.ID, found.Data[0].ID)
	require.NotNil(t, found.NextCursor)
	s.as("payments:read", "GET", "/v1/payments?limit=1&cursor="+*found.NextCursor, "").into(200, &found)
	require.Equal(t, wrong.ID, found.Data[0].ID)
	require.Nil(t, found.NextCursor)

	s.as("payments:read", "GET", "/v1/payments/"+placed.ID.String(), "").problem(404, "payment_not_found")
	s.as("payments:read", "GET", "/v1/payments?exception=applied", "").problem(422, "validation_failed")
	s.as("payments:write", "GET", "/v1/payments", "").problem(403, "scope_missing")
}

// Paid, and no card: the callback is lost, the gateway cannot be asked, and somebody has seen the money.
func TestAPersonConfirmsAPayment(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	placed, _ := s.place(oneA)
	var p payment
	s.as("payments:write", "POST", "/v1/orders/"+placed.ID.String()+"/payments", `{"channel":"epay"}`).into(201, &p)
	path, body := "/v1/payments/"+p.ID.String()+"/confirm", `{"reason":"trade 2026112622001, seen at the gateway"}`
	s.as("payments:read,payments:write,orders:manage", "POST", path, body).problem(403, "scope_missing")
	for _, wrong := range []string{`{}`, `{"reason":""}`, `{"reason":" \t "}`, `{"reason":null}`, `{"reason":"x","amount":1}`} {
		s.as("payments:manage", "POST", path, wrong).problem(422, "validation_failed")
	}
	s.as("payments:manage", "POST", "/v1/payments/"+placed.ID.String()+"/confirm", body).problem(404, "payment_not_found")

	var confirmed, again PaymentRecord
	s.as("payments:manage", "POST", path, body).into(200, &confirmed)
	require.Equal(t, "succeeded", confirmed.Status)
	require.Equal(t, "paid", confirmed.Order.PaymentStatus)
	s.as("payments:manage", "POST", path, body).into(200, &again)
	require.Equal(t, confirmed, again)

	var found listBody[PaymentRecord]
	s.as("payments:read", "GET", "/v1/payments?order_id="+placed.ID.String(), "").into(200, &found)
	require.Equal(t, []PaymentRecord{confirmed}, found.Data)
	s.as("payments:read", "GET", "/v1/payments?order_id=x", "").problem(422, "validation_failed")

	var entries listBody[timelineEntry]
	s.as("orders:read", "GET", "/v1/orders/"+placed.ID.String()+"/timeline", "").into(200, &entries)
	require.Len(t, entries.Data, 2)
	require.Equal(t, "order.paid", entries.Data[1].Event)
	require.Equal(t, "trade 2026112622001, seen at the gateway", entries.Data[1].Reason)
	require.Regexp(t, "^key:", entries.Data[1].Actor)
}
