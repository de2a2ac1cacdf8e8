package httpapi

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/payments/gateways"
	"github.com/vendbox/vendbox/internal/pgtest"
)

// shop is the door with everything behind it that sells, but no workers: deliver plays them.
type shop struct {
	*testServer

	pool   *pgxpool.Pool
	box    *outbox.Box
	master cardvault.MasterKey
}

const (
	shopSecret  = "secret"
	epayChannel = `{"channels":[{"type":"epay","accounts":[{"name":"a","pid":"1","keys":["k"],"base_url":"http://127.0.0.1:1"}]}]}`
)

func newShop(t *testing.T) *shop {
	t.Helper()
	pool := pgtest.New(t)
	master := cardvault.NewMasterKey()
	vault, err := cardvault.Open(t.Context(), pool, master)
	require.NoError(t, err)
	box := outbox.NewBox(pool, time.Now, nil)
	orders := ordering.NewService(ordering.Config{Region: "CN"}, pool, box, vault)
	t.Cleanup(orders.Close)
	channels, err := gateways.Parse([]byte(epayChannel), gateways.Deps{PublicURL: "https://shop.example", Now: time.Now})
	require.NoError(t, err)
	paying := payments.NewService(pool, box, time.Now, append(channels, payments.NewSandbox(time.Now, shopSecret))...)
	t.Cleanup(paying.Close)
	s := &shop{pool: pool, box: box, master: master, testServer: newTestServer(t, Deps{
		Box: box, Vault: vault, Orders: orders, Payments: paying, Cards: ordering.NewReveals(pool, vault, time.Now),
		Inventory: inventory.NewService(pool, vault, box, time.Now),
	})}
	s.as("admin", "POST", "/v1/products", `{"sku":"a","name":"A","kind":"card","price":{"amount":1999,"currency":"CNY"}}`).into(201, new(any))
	var cards strings.Builder
	for i := range 100 {
		fmt.Fprintf(&cards, "CODE-%03d\n", i)
	}
	s.as("admin", "POST", "/v1/products/a/card-imports", cards.String(), "Content-Type", "text/plain").into(201, new(any))
	return s
}

func (s *shop) place(body string, header ...string) (PlacedOrder, *answer) {
	s.t.Helper()
	var placed PlacedOrder
	got := s.as("orders:write", "POST", "/v1/orders", body, header...)
	got.into(http.StatusCreated, &placed)
	return placed, got
}

// pay begins a payment and sends the signed notice.
func (s *shop) pay(orderID uuid.UUID) {
	s.t.Helper()
	var p payment
	s.as("payments:write", "POST", "/v1/orders/"+orderID.String()+"/payments", `{"channel":"sandbox"}`).into(201, &p)
	body := fmt.Sprintf(`{"event_id":"e-%s","type":"payment.succeeded","payment_id":%q,"amount":%d,"currency":%q,"occurred_at":%q}`,
		p.ID, p.ID, p.Amount.Amount, p.Amount.Currency, time.Now().UTC().Format(time.RFC3339))
	signature := payments.SignSandbox(shopSecret, time.Now(), []byte(body))
	got := s.do("POST", "/v1/payment-callbacks/sandbox", body, payments.SignatureHeader, signature)
	require.Equal(s.t, http.StatusOK, got.StatusCode, string(got.body))
	require.JSONEq(s.t, `{"received":true}`, string(got.body))
}

func (s *shop) deliver(orderID uuid.UUID) {
	s.t.Helper()
	require.NoError(s.t, s.box.InTx(s.t.Context(), func(tx *outbox.Tx) error {
		_, err := fulfillment.Deliver(s.t.Context(), tx, []uuid.UUID{orderID})
		return err
	}))
}

const oneA = `{"items":[{"sku":"a","quantity":1}]}`

func TestAnOrderFromPlacingToItsCard(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	placed, _ := s.place(`{"items":[{"sku":"a","quantity":2,"unit_price":{"amount":1999,"currency":"CNY"}}],
		"contact":{"phone":"13800138000","email":"ann@example.com"},"metadata":{"cart":"c-1"}}`, "Accept-Language", "zh-CN,zh;q=0.9")
	require.Equal(t, "pending_payment", placed.Status)
	require.Equal(t, money{Amount: 3998, Currency: "CNY"}, placed.Total)
	require.Equal(t, "zh", placed.Locale)
	require.JSONEq(t, `{"cart":"c-1"}`, string(placed.Metadata))
	require.NotContains(t, string(placed.Contact), "13800138000")
	cards := "/v1/orders/" + placed.ID.String() + "/cards"
	var list listBody[card]
	s.as("cards:read", "GET", cards, "").into(200, &list)
	require.Empty(t, list.Data)

	s.pay(placed.ID)
	s.deliver(placed.ID)
	s.do("GET", cards, "", "Vendbox-Access-Token", placed.AccessToken).into(200, &list)
	require.Len(t, list.Data, 2)
	require.Equal(t, "a", list.Data[0].SKU)
	require.Regexp(t, `^CODE-\d{3}$`, list.Data[0].Code)
	s.do("GET", cards+"?access_token="+placed.AccessToken, "").into(200, &list)
	var order Order
	s.as("orders:read", "GET", "/v1/orders/"+placed.ID.String(), "").into(200, &order)
	require.Equal(t, "completed", order.Status)
	require.NotNil(t, order.PaidAt)
	var looks int
	require.NoError(t, s.pool.QueryRow(t.Context(), `select count(*) from card_reveals
		where actor = 'buyer' and cards = 2 and request_id <> ''`).Scan(&looks))
	require.Equal(t, 2, looks)
	require.NotContains(t, s.log.String(), "CODE-")
	require.NotContains(t, s.log.String(), placed.AccessToken)
}

// No items refund everything. A list that is there and names nothing must not.
func TestARefundOfNoItemsIsNoRefundOfAll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	placed, _ := s.place(`{"items":[{"sku":"a","quantity":2}]}`)
	s.pay(placed.ID)
	path := "/v1/orders/" + placed.ID.String() + "/refund"
	for body, code := range map[string]string{
		`{"items":null,"reason":"one is bad"}`: "refund_lines_invalid", `{"items":[]}`: "validation_failed", `null`: "validation_failed",
	} {
		s.as("orders:manage", "POST", path, body).problem(http.StatusUnprocessableEntity, code)
	}
	var r refund
	s.as("orders:manage", "POST", path, `{"reason":"all is bad"}`).into(http.StatusCreated, &r)
	require.Len(t, r.Items, 1)
	require.Equal(t, 2, r.Items[0].Quantity)
}

func TestCardsAreShownToNobodyElse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	placed, _ := s.place(oneA)
	other, _ := s.place(oneA)
	path := "/v1/orders/" + placed.ID.String() + "/cards"
	s.do("GET", path, "").problem(401, "api_key_missing")
	s.as("orders:read,orders:write", "GET", path, "").problem(403, "scope_missing")
	s.do("GET", path, "", "Vendbox-Access-Token", other.AccessToken).problem(401, "access_token_invalid")
	spliced := placed.AccessToken[:24] + other.AccessToken[24:] // this order's id, the other one's MAC
	s.do("GET", path, "", "Vendbox-Access-Token", spliced).problem(401, "access_token_invalid")
	s.do("GET", path, "", "Vendbox-Access-Token", "x").problem(401, "access_token_invalid")
	s.as("cards:read", "GET", "/v1/orders/"+uuid.NewString()+"/cards", "").problem(404, "order_not_found")
}

func TestOneKeyOneOrderFiftyEqualAnswers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	bodies := make([]string, 50)
	replayed := make([]string, 50)
	var wg sync.WaitGroup
	for i := range bodies {
		wg.Go(func() {
			got := s.as("orders:write", "POST", "/v1/orders", oneA, "Idempotency-Key", "k")
			bodies[i], replayed[i] = fmt.Sprint(got.StatusCode, string(got.body)), got.Header.Get("Idempotent-Replayed")
		})
	}
	wg.Wait()
	firsts := 0
	for i := range bodies {
		require.Equal(t, bodies[0], bodies[i])
		if replayed[i] == "" {
			firsts++
		}
	}
	require.Contains(t, bodies[0], "201")
	require.Equal(t, 1, firsts)
	problem := s.as("orders:write", "POST", "/v1/orders", `{"items":[{"sku":"a","quantity":2}]}`, "Idempotency-Key", "k").
		problem(422, "idempotency_key_reused")
	require.NotEmpty(t, problem["order_id"])

	// Paid and delivered since, the order is repeated as it was placed.
	var placed PlacedOrder
	require.NoError(t, json.Unmarshal([]byte(bodies[0][3:]), &placed))
	s.pay(placed.ID)
	s.deliver(placed.ID)
	_, again := s.place(oneA, "Idempotency-Key", "k", "Accept-Language", "zh")
	require.Equal(t, bodies[0], fmt.Sprint(201, string(again.body)))
}

func TestRefusedOrders(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	problem := s.as("orders:write", "POST", "/v1/orders", `{"items":[{"sku":"a","quantity":101}]}`).problem(409, "out_of_stock")
	require.Equal(t, "a", problem["sku"])
	require.InDelta(t, 100, problem["available"], 0)
	zh := s.as("orders:write", "POST", "/v1/orders", `{"items":[{"sku":"a","quantity":101}]}`, "Accept-Language", "zh").
		problem(409, "out_of_stock")
	require.Equal(t, "库存不足", zh["title"])

	for body, code := range map[string]string{
		`{"items":[{"sku":"nope","quantity":1}]}`:                                         "product_not_found",
		`{"items":[{"sku":"a","quantity":1,"unit_price":{"amount":1,"currency":"CNY"}}]}`: "price_changed",
		`{"items":[]}`:                                                                                       "validation_failed",
		`{"items":[{"sku":"a","quantity":0}]}`:                                                               "validation_failed",
		`{"items":[{"sku":"a","quantity":-5}]}`:                                                              "validation_failed",
		`{"items":[{"sku":"a","quantity":1.5}]}`:                                                             "validation_failed",
		`{"items":[{"sku":"a","quantity":9999999999999999999}]}`:                                             "validation_failed",
		`{"items":[{"sku":"a","quantity":1,"Quantity":5}]}`:                                                  "validation_failed",
		`{"items":[{"sku":"a","quantity":1,"quantity":5}]}`:                                                  "json_duplicate_field",
		`{"items":[{"sku":"a","quantity":1}],"price":1}`:                                                     "validation_failed",
		`{"items":[{"sku":"a","quantity":1}],"contact":{"phone":"12"}}`:                                      "phone_invalid",
		`{"items":[{"sku":"a","quantity":1}],"contact":{"email":"x"}}`:                                       "email_invalid",
		`{"items":[{"sku":"a","quantity":1}],"locale":"fr"}`:                                                 "validation_failed",
		`{"items":[{"sku":"a","quantity":1}],"metadata":[]}`:                                                 "validation_failed",
		`{"items":[{"sku":"a","quantity":1}],"metadata":{"n":1e-16000}}`:                                     "json_number",
		`{"items":[{"sku":"a","quantity":1}],"metadata":{"n":"\u0000"}}`:                                     "json_nul",
		`{"items":[{"sku":"a","quantity":1}],"metadata":{"n":"` + strings.Repeat("x", 17000) + `"}}`:         "metadata_too_large",
		`{"items":[` + strings.Repeat(`{"sku":"a","quantity":1},`, 100) + `{"sku":"a","quantity":1}]}`:       "validation_failed",
		`{"items":[{"sku":"a","quantity":1}],"contact":{"phone":"13900139000","email":"a@b.example","x":1}}`: "validation_failed",
	} {
		got := s.as("orders:write", "POST", "/v1/orders", body)
		var members map[string]any
		require.NoError(t, json.Unmarshal(got.body, &members), string(got.body))
		require.Equal(t, code, members["code"], "%s: %s", body, got.body)
		require.NotContains(t, string(got.body), "13900139000")
	}
	s.as("orders:write", "POST", "/v1/orders", oneA, "Idempotency-Key", strings.Repeat("k", 256)).problem(422, "validation_failed")
	s.as("orders:write", "POST", "/v1/orders", oneA, "Idempotency-Key", "\xff\xfe").problem(422, "idempotency_key_invalid")
	s.as("orders:write", "POST", "/v1/orders", oneA, "Content-Encoding", "gzip").problem(415, "unsupported_media_type")
	s.as("orders:read", "POST", "/v1/orders", oneA).problem(403, "scope_missing")
	s.do("POST", "/v1/orders", oneA).problem(401, "api_key_missing")
	var n int
	require.NoError(t, s.pool.QueryRow(t.Context(), `select count(*) from orders`).Scan(&n))
	require.Zero(t, n)
}

func TestAnOrderSaysHowLongItCanBePaid(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const body = `{"items":[{"sku":"a","quantity":1}],"expires_in":90}`
	placed, _ := s.place(body, "Idempotency-Key", "short")
	require.Equal(t, 90*time.Second, placed.ExpiresAt.Sub(placed.PlacedAt))
	longer := strings.Replace(body, "90", "91", 1)
	s.as("orders:write", "POST", "/v1/orders", longer, "Idempotency-Key", "short").problem(422, "idempotency_key_reused")
}

func TestABatchAnswersEachMember(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	body := `{"orders":[` + oneA + `,{"items":[{"sku":"nope","quantity":1}]},{"items":[{"sku":"a","quantity":1}],"idempotency_key":"b1"},
		{"items":[{"sku":"a","quantity":1}],"idempotency_key":"b1"},{"items":[{"sku":"a","quantity":3}],"idempotency_key":"b1"},
		{"items":[{"sku":"a","quantity":98}]},{"items":[{"sku":"a","quantity":99}]}]}`
	got := s.as("orders:write", "POST", "/v1/orders/batch", body)
	require.Equal(t, 200, got.StatusCode, string(got.body))
	var raw struct {
		Data []struct {
			Status int            `json:"status"`
			Order  *PlacedOrder   `json:"order"`
			Error  map[string]any `json:"error"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(got.body, &raw))
	statuses := make([]int, len(raw.Data))
	for i, member := range raw.Data {
		statuses[i] = member.Status
	}
	require.Equal(t, []int{201, 404, 201, 201, 422, 201, 409}, statuses)
	require.Equal(t, raw.Data[2].Order, raw.Data[3].Order)
	require.Equal(t, "product_not_found", raw.Data[1].Error["code"])
	require.InDelta(t, 0, raw.Data[6].Error["available"], 0)
	many := `{"orders":[` + strings.Repeat(oneA+",", 500) + oneA + `]}`
	s.as("orders:write", "POST", "/v1/orders/batch", many).problem(422, "validation_failed")
}

func TestOrdersAreListedByCursor(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for i := range 5 {
		s.place(fmt.Sprintf(`{"items":[{"sku":"a","quantity":1}],"contact":{"phone":"1380013800%d"}}`, i%2))
	}
	var seen []string
	path := "/v1/orders?limit=2"
	for {
		var page listBody[Order]
		s.as("orders:read", "GET", path, "").into(200, &page)
		for _, order := range page.Data {
			seen = append(seen, order.ID.String())
		}
		if page.NextCursor == nil {
			break
		}
		path = "/v1/orders?limit=2&cursor=" + *page.NextCursor
	}
	require.Len(t, seen, 5)
	require.IsDecreasing(t, seen)
	var mine listBody[Order]
	s.as("orders:read", "GET", "/v1/orders?contact=%2B8613800138000&status=pending_payment", "").into(200, &mine)
	require.Len(t, mine.Data, 3)
	mine = listBody[Order]{}
	s.as("orders:read", "GET", "/v1/orders?contact=%2B8613800138000&limit=3", "").into(200, &mine)
	require.Len(t, mine.Data, 3)
	require.Nil(t, mine.NextCursor, "the last page may be just full")
	s.as("orders:read", "GET", "/v1/orders?contact=nonsense", "").problem(422, "phone_invalid")
	s.as("orders:read", "GET", "/v1/orders?cursor=nonsense", "").problem(422, "cursor_invalid")
	s.as("orders:read", "GET", "/v1/orders?status=sold", "").problem(422, "validation_failed")
	s.as("orders:read", "GET", "/v1/orders/"+uuid.NewString(), "").problem(404, "order_not_found")
	s.as("orders:read", "GET", "/v1/orders/x", "").problem(422, "validation_failed")
}

// Its own server sends epay's notices by GET, or as a form.
func TestCallbacksByGETAndAsForms(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	text := "money=1.00&out_trade_no=1&pid=1&trade_no=T1&trade_status="
	signed := func(status string) string {
		sum := md5.Sum([]byte(text + status + "k"))
		return text + status + "&sign_type=MD5&sign=" + hex.EncodeToString(sum[:])
	}
	for _, got := range []*answer{
		s.do("GET", "/v1/payment-callbacks/epay?"+signed("WAIT_BUYER_PAY"), ""),
		s.do("POST", "/v1/payment-callbacks/epay", signed("WAIT_BUYER_PAY"), "Content-Type", "application/x-www-form-urlencoded"),
	} {
		require.Equal(t, http.StatusOK, got.StatusCode, string(got.body))
		require.Equal(t, "success", string(got.body))
		require.Equal(t, "text/plain; charset=utf-8", got.Header.Get("Content-Type"))
	}
	s.do("GET", "/v1/payment-callbacks/epay?"+signed("TRADE_SUCCESS"), "").problem(503, "payment_gateway_unavailable")
	s.do("GET", "/v1/payment-callbacks/epay?"+text+"&sign_type=MD5&sign=true", "").problem(401, "callback_signature_invalid")
	s.do("GET", "/v1/payment-callbacks/sandbox", "").problem(401, "callback_unsigned")
}

func TestCallbacksThatAreRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.do("POST", "/v1/payment-callbacks/sandbox", `{}`).problem(401, "callback_unsigned")
	s.do("POST", "/v1/payment-callbacks/sandbox", `{}`, payments.SignatureHeader, "t=1,v1=00").problem(401, "callback_stale")
	s.do("POST", "/v1/payment-callbacks/nope", `{}`).problem(404, "payment_channel_unknown")
	s.do("POST", "/v1/payment-callbacks/sandbox", strings.Repeat("x", payments.MaxCallback+1)).problem(413, "body_too_large")
	s.as("payments:write", "POST", "/v1/orders/"+uuid.NewString()+"/payments", `{"channel":"sandbox"}`).problem(404, "order_not_found")
	placed, _ := s.place(oneA)
	path := "/v1/orders/" + placed.ID.String() + "/payments"
	s.as("payments:write", "POST", path, `{"channel":"alipay"}`).problem(404, "payment_channel_unknown")
	s.as("payments:write", "POST", path, `{"channel":"epay"}`).into(201, new(any))
	s.pay(placed.ID)
	s.as("payments:write", "POST", path, `{"channel":"sandbox"}`).problem(409, "order_not_payable")
}
