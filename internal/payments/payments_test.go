package payments_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/payments"
	"github.com/vendbox/vendbox/internal/pgtest"
)

const secret = "sandbox-secret"

type bundle struct {
	pool     *pgxpool.Pool
	box      *outbox.Box
	orders   *ordering.Service
	payments *payments.Service
}

func setup(t *testing.T) *bundle {
	t.Helper()
	pool := pgtest.New(t)
	vault, err := cardvault.Open(t.Context(), pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b := &bundle{pool: pool, box: outbox.NewBox(pool, time.Now, nil)}
	b.orders = ordering.NewService(ordering.Config{}, pool, b.box, vault)
	t.Cleanup(b.orders.Close)
	b.payments = b.anotherProcess(t)
	productID := uuid.Must(uuid.NewV7())
	_, err = pool.Exec(t.Context(), `insert into products (id, sku, name, kind, price_amount, price_currency)
		values ($1, 'a', 'A', 'counted', 500, 'CNY')`, productID)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `insert into stock values ($1, 100000)`, productID)
	require.NoError(t, err)
	return b
}

func (b *bundle) anotherProcess(t *testing.T) *payments.Service {
	t.Helper()
	service := payments.NewService(b.pool, b.box, time.Now, payments.NewSandbox(time.Now, secret, "the old secret"))
	t.Cleanup(service.Close)
	return service
}

// attempt places an order and begins to pay it.
func (b *bundle) attempt(t *testing.T) payments.Payment {
	t.Helper()
	request := ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 2}}}
	placed, err := b.orders.Place(t.Context(), request, ordering.Caller{APIKeyID: uuid.New()})
	require.NoError(t, err)
	return b.again(t, placed.Order.ID)
}

func (b *bundle) again(t *testing.T, orderID uuid.UUID) payments.Payment {
	t.Helper()
	payment, err := b.payments.Begin(t.Context(), orderID, "sandbox")
	require.NoError(t, err)
	return payment
}

func (b *bundle) order(t *testing.T, id uuid.UUID) *ordering.Order {
	t.Helper()
	order, err := b.orders.Get(t.Context(), id)
	require.NoError(t, err)
	return order
}

func (b *bundle) int(t *testing.T, query string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

func (b *bundle) text(t *testing.T, query string, args ...any) string {
	t.Helper()
	var text string
	require.NoError(t, b.pool.QueryRow(t.Context(), query, args...).Scan(&text))
	return text
}

type notice struct {
	EventID    string    `json:"event_id"`
	Type       string    `json:"type"`
	PaymentID  uuid.UUID `json:"payment_id"`
	Amount     int64     `json:"amount"`
	Currency   string    `json:"currency"`
	OccurredAt time.Time `json:"occurred_at"`
}

func succeeded(p payments.Payment) notice {
	return notice{"evt_" + p.ID.String(), payments.TypeSucceeded, p.ID, p.Amount.Amount, p.Amount.Currency, time.Now()}
}

func (n notice) signed(t *testing.T, with string, at time.Time) payments.Callback {
	t.Helper()
	body, err := json.Marshal(n)
	require.NoError(t, err)
	return payments.Callback{Body: body, Header: http.Header{payments.SignatureHeader: {payments.SignSandbox(with, at, body)}}}
}

func (b *bundle) receive(t *testing.T, n notice) payments.Outcome {
	t.Helper()
	answer, applied, err := b.payments.Receive(t.Context(), "sandbox", n.signed(t, secret, time.Now()))
	require.NoError(t, err)
	require.Equal(t, payments.Answer{Status: 200, ContentType: "application/json", Body: `{"received":true}`}, answer)
	return applied.Outcome
}

func TestAPaymentPaysItsOrderOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	require.Equal(t, payments.Applied, b.receive(t, succeeded(p)))
	require.Equal(t, payments.Repeated, b.receive(t, succeeded(p)))

	otherEvent := succeeded(p)
	otherEvent.EventID = "another-id"
	require.Equal(t, payments.Repeated, b.receive(t, otherEvent), "the same payment under another event id")

	order := b.order(t, p.OrderID)
	require.Equal(t, ordering.Processing, order.Status)
	require.Equal(t, ordering.Paid, order.PaymentStatus)
	require.EqualValues(t, 1000, order.PaidAmount)
	require.False(t, order.PaidAt.IsZero())
	require.Empty(t, order.ExceptionCode)
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
	require.Equal(t, 2, b.int(t, `select sequence from orders`))
}

func TestParallelRepeatsApplyOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.anotherProcess(t)
	p := b.attempt(t)
	callback := succeeded(p).signed(t, secret, time.Now())
	var mu sync.Mutex
	outcomes := map[payments.Outcome]int{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			service := b.payments
			if i%2 == 1 {
				service = other
			}
			_, applied, err := service.Receive(t.Context(), "sandbox", callback)
			if err != nil {
				t.Errorf("receive: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			outcomes[applied.Outcome]++
		})
	}
	wg.Wait()
	require.Equal(t, map[payments.Outcome]int{payments.Applied: 1, payments.Repeated: 49}, outcomes)
	require.Equal(t, 1, b.int(t, `select count(*) from payment_events`))
	require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
}

func TestWrongMoneyIsRecordedAndHeld(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*notice){
		"too little":       func(n *notice) { n.Amount-- },
		"too much":         func(n *notice) { n.Amount++ },
		"another currency": func(n *notice) { n.Currency = "USD" },
		"nothing":          func(n *notice) { n.Amount = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			p := b.attempt(t)
			n := succeeded(p)
			spoil(&n)
			require.Equal(t, payments.WrongAmount, b.receive(t, n))
			order := b.order(t, p.OrderID)
			require.Equal(t, ordering.OnHold, order.Status)
			require.Equal(t, ordering.HoldWrongAmount, order.HoldReason)
			require.Equal(t, ordering.Unpaid, order.PaymentStatus)
			require.Equal(t, "wrong_amount", order.ExceptionCode)
			require.Equal(t, 1, b.int(t, `select count(*) from payment_events
				where outcome = 'wrong_amount' and amount = $1 and currency = $2`, n.Amount, n.Currency))
			require.Equal(t, 1, b.int(t, `select count(*) from outbox where type = 'payment.exception'`))
			require.Zero(t, b.int(t, `select count(*) from outbox where type = 'order.paid'`))
		})
	}
}

func TestASecondPaymentIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.attempt(t)
	second := b.again(t, first.OrderID)
	require.Equal(t, payments.Applied, b.receive(t, succeeded(first)))
	require.Equal(t, payments.SecondPayment, b.receive(t, succeeded(second)))
	order := b.order(t, first.OrderID)
	require.EqualValues(t, 1000, order.PaidAmount)
	require.Equal(t, ordering.Processing, order.Status, "the first payment's delivery goes on")
	require.Equal(t, "second_payment", order.ExceptionCode)
}

func TestUnmatchedAndOtherNoticesAreRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	stray := succeeded(p)
	stray.PaymentID, stray.EventID = uuid.New(), "stray"
	require.Equal(t, payments.Unmatched, b.receive(t, stray))
	pending := succeeded(p)
	pending.Type, pending.EventID = "payment.pending", "pending"
	require.Equal(t, payments.Ignored, b.receive(t, pending))
	require.Equal(t, ordering.PendingPayment, b.order(t, p.OrderID).Status)
	require.Equal(t, 2, b.int(t, `select count(*) from payment_events`))
}

// A wrong and a right notice for one attempt, and repeats, in one batch.
func TestOneBatchMayHoldSeveralNoticesOfOneOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	money := func(amount int64, eventID string) payments.Notice {
		return payments.Notice{
			EventID: eventID, Type: payments.TypeSucceeded, Account: p.Account, PaymentID: p.ID, OccurredAt: time.Now(), Body: []byte(`{}`),
			Amount: ordering.Money{Amount: amount, Currency: "CNY"},
		}
	}
	var outcomes []payments.Outcome
	require.NoError(t, b.box.InTx(t.Context(), func(tx *outbox.Tx) error {
		results, err := payments.Apply(t.Context(), tx, "sandbox", []payments.Notice{
			money(999, "e1"), money(1000, "e2"), money(1000, "e2"), money(1000, "e3"),
		}, nil)
		for _, r := range results {
			outcomes = append(outcomes, r.Value.Outcome)
		}
		return err
	}))
	require.Equal(t, []payments.Outcome{payments.WrongAmount, payments.Applied, payments.Repeated, payments.Repeated}, outcomes)
	require.Equal(t, 1, b.int(t, `select count(*) from payments where status = 'succeeded'`))
	order := b.order(t, p.OrderID)
	require.Equal(t, ordering.OnHold, order.Status, "a person looks at the first payment")
	require.Equal(t, ordering.Paid, order.PaymentStatus)
}

func TestForgedNoticesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	now := time.Now()
	good := succeeded(p).signed(t, secret, now)
	with := func(header string) payments.Callback {
		return payments.Callback{Body: good.Body, Header: http.Header{payments.SignatureHeader: {header}}}
	}
	mac := payments.SignSandbox(secret, now, good.Body)
	signedBody := func(body string) payments.Callback {
		signature := payments.SignSandbox(secret, now, []byte(body))
		return payments.Callback{Body: []byte(body), Header: http.Header{payments.SignatureHeader: {signature}}}
	}
	for name, test := range map[string]struct {
		callback payments.Callback
		code     string
	}{
		"no signature":    {payments.Callback{Body: good.Body, Header: http.Header{}}, "callback_unsigned"},
		"foreign secret":  {succeeded(p).signed(t, "guess", now), "callback_signature_invalid"},
		"other body":      {payments.Callback{Body: append([]byte(" "), good.Body...), Header: good.Header}, "callback_signature_invalid"},
		"no v1":           {with(fmt.Sprintf("t=%d", now.Unix())), "callback_signature_invalid"},
		"no t":            {with(mac[len("t=0000000000,"):]), "callback_signature_invalid"},
		"garbage":         {with("garbage"), "callback_signature_invalid"},
		"truncated mac":   {with(mac[:len(mac)-2]), "callback_signature_invalid"},
		"empty mac":       {with(fmt.Sprintf("t=%d,v1=", now.Unix())), "callback_signature_invalid"},
		"too old":         {succeeded(p).signed(t, secret, now.Add(-301*time.Second)), "callback_stale"},
		"from the future": {succeeded(p).signed(t, secret, now.Add(310*time.Second)), "callback_stale"},
		"not JSON":        {signedBody("x"), "callback_malformed"},
		"a field twice":   {signedBody(string(good.Body[:len(good.Body)-1]) + `,"amount":1}`), "callback_malformed"},
		"unknown field":   {signedBody(string(good.Body[:len(good.Body)-1]) + `,"sign":true}`), "callback_malformed"},
		"other case":      {signedBody(string(good.Body[:len(good.Body)-1]) + `,"Amount":1}`), "callback_malformed"},
		"empty":           {signedBody(`{}`), "callback_malformed"},
		"year 10000": {signedBody(`{"event_id":"e","type":"payment.succeeded","payment_id":"` + p.ID.String() +
			`","amount":1,"currency":"CNY","occurred_at":"9999-12-31T23:59:59-23:59"}`), "callback_malformed"},
		"NUL in the id": {signedBody(`{"event_id":"\u0000","type":"payment.succeeded","payment_id":"` + p.ID.String() +
			`","amount":1000,"currency":"CNY","occurred_at":"2026-01-01T00:00:00Z"}`), "callback_malformed"},
	} {
		_, _, err := b.payments.Receive(t.Context(), "sandbox", test.callback)
		require.Truef(t, fault.HasCode(err, test.code), "%s: want %s, got %v", name, test.code, err)
	}
	_, _, err := b.payments.Receive(t.Context(), "nope", good)
	require.True(t, fault.HasCode(err, "payment_channel_unknown"))
	require.Zero(t, b.int(t, `select count(*) from payment_events`))
	require.Equal(t, ordering.Unpaid, b.order(t, p.OrderID).PaymentStatus)

	_, applied, err := b.payments.Receive(t.Context(), "sandbox", succeeded(p).signed(t, "the old secret", now))
	require.NoError(t, err, "old secrets stay valid")
	require.Equal(t, payments.Applied, applied.Outcome)
}

// New attempts are made for the shop's new account; what was begun with the old one is paid by the old one's notices, and
// neither account's key says anything about the other's attempts.
func TestAccountsVerifyTheirOwnAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.attempt(t)
	require.Equal(t, "default", old.Account)
	service := payments.NewService(b.pool, b.box, time.Now,
		payments.NewSandbox(time.Now, secret).WithAccount("new", "the new account's secret"))
	t.Cleanup(service.Close)
	b.payments = service
	fresh := b.attempt(t)
	require.Equal(t, "new", fresh.Account)
	require.Equal(t, "new", b.text(t, `select account from payments where id = $1`, fresh.ID))

	receive := func(p payments.Payment, with string) payments.Outcome {
		_, applied, err := service.Receive(t.Context(), "sandbox", succeeded(p).signed(t, with, time.Now()))
		require.NoError(t, err)
		return applied.Outcome
	}
	require.Equal(t, payments.Unmatched, receive(fresh, secret), "the old account's key, for the new one's attempt")
	require.Equal(t, ordering.Unpaid, b.order(t, fresh.OrderID).PaymentStatus)
	require.Equal(t, payments.Applied, receive(fresh, "the new account's secret"), "the same event id, by who may")
	require.Equal(t, payments.Unmatched, receive(old, "the new account's secret"))
	require.Equal(t, payments.Applied, receive(old, secret))
	require.Equal(t, payments.Repeated, receive(old, secret))
	require.Equal(t, 2, b.int(t, `select count(*) from payment_events where outcome = 'unmatched'`), "recorded, for a person")
	require.Equal(t, 2, b.int(t, `select count(*) from outbox where type = 'payment.exception'`))
}

func TestOnlyAnOpenOrderCanBePaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.attempt(t)
	_, err := b.payments.Begin(t.Context(), uuid.New(), "sandbox")
	require.True(t, fault.HasCode(err, "order_not_found"))
	_, err = b.payments.Begin(t.Context(), p.OrderID, "nope")
	require.True(t, fault.HasCode(err, "payment_channel_unknown"))
	b.receive(t, succeeded(p))
	_, err = b.payments.Begin(t.Context(), p.OrderID, "sandbox")
	require.True(t, fault.HasCode(err, "order_not_payable"))
	late := b.attempt(t)
	_, err = b.pool.Exec(t.Context(), `update orders set placed_at = now() - interval '2 h', expires_at = now() - interval '1 h'
		where id = $1`, late.OrderID)
	require.NoError(t, err)
	_, err = b.payments.Begin(t.Context(), late.OrderID, "sandbox")
	require.True(t, fault.HasCode(err, "order_not_payable"))
}

func FuzzSandboxVerify(f *testing.F) {
	f.Add([]byte(`{"event_id":"e","type":"payment.succeeded"}`), "t=1,v1=00")
	f.Add([]byte(`{}`), "")
	s := payments.NewSandbox(time.Now, secret)
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		_, err := s.Verify(t.Context(), payments.Callback{Body: body, Header: http.Header{payments.SignatureHeader: {header}}})
		if err == nil {
			t.Fatal("a notice that nobody signed was accepted")
		}
		_, err = s.Verify(t.Context(), payments.Callback{
			Body: body, Header: http.Header{payments.SignatureHeader: {payments.SignSandbox(secret, time.Now(), body)}},
		})
		if err != nil && !fault.HasCode(err, "callback_malformed") {
			t.Fatal(err)
		}
	})
}
