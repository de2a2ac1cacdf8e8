package console_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/console"
	"github.com/vendbox/vendbox/internal/fulfillment"
	"github.com/vendbox/vendbox/internal/inventory"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgtest"
)

type bundle struct {
	t      *testing.T
	pool   *pgxpool.Pool
	vault  *cardvault.Vault
	box    *outbox.Box
	orders *ordering.Service
	now    time.Time
	log    bytes.Buffer
	url    string
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, pool: pgtest.New(t), now: time.Now()}
	var err error
	b.vault, err = cardvault.Open(t.Context(), b.pool, cardvault.NewMasterKey())
	require.NoError(t, err)
	b.box = outbox.NewBox(b.pool, time.Now, nil)
	b.orders = ordering.NewService(ordering.Config{}, b.pool, b.box, b.vault)
	t.Cleanup(b.orders.Close)
	stock := inventory.NewService(b.pool, b.vault, b.box, time.Now)
	_, err = stock.Create(t.Context(), inventory.CreateParams{
		SKU: "a", Name: "Game <card> 100", Kind: inventory.KindCard, Price: inventory.Money{Amount: 1999, Currency: "CNY"},
	})
	require.NoError(t, err)
	_, err = stock.Import(t.Context(), inventory.ImportParams{
		SKU: "a", Format: inventory.FormatText, Reader: strings.NewReader("CODE-1\nCODE-2\nCODE-3\nCODE-4\n"), Actor: "test",
	})
	require.NoError(t, err)
	mux := http.NewServeMux()
	console.New(console.Config{ShopName: "Ann & Bob", Support: "+86 400 123 4567"}, console.Deps{
		Orders: b.orders, Cards: ordering.NewReveals(b.pool, b.vault, time.Now), Vault: b.vault,
		Now: func() time.Time { return b.now }, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}).Mount(mux.Handle)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", "request-1") // as the door does
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// place places an order of two cards and gives the path of its page.
func (b *bundle) place(locale string) (id uuid.UUID, path string) {
	b.t.Helper()
	request := ordering.Request{Lines: []ordering.Line{{SKU: "a", Quantity: 2}}, Locale: locale}
	placed, err := b.orders.Place(b.t.Context(), request, ordering.Caller{})
	require.NoError(b.t, err)
	return placed.Order.ID, "/o/" + b.vault.OrderToken(placed.Order.ID)
}

func (b *bundle) deliver(id uuid.UUID) {
	b.t.Helper()
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		orders, err := ordering.Lock(b.t.Context(), tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if err := orders[id].MarkPaid(tx, ordering.By{Actor: "test"}); err != nil {
			return err
		}
		return ordering.Save(b.t.Context(), tx, []*ordering.Order{orders[id]})
	}))
	require.NoError(b.t, b.box.InTx(b.t.Context(), func(tx *outbox.Tx) error {
		_, err := fulfillment.Deliver(b.t.Context(), tx, []uuid.UUID{id})
		return err
	}))
}

type answer struct {
	*http.Response

	text string
}

func (b *bundle) do(method, path string, header ...string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	require.NoError(b.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(b.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(b.t, err)
	return answer{response, string(text)}
}

func (b *bundle) looks() int {
	b.t.Helper()
	var n int
	require.NoError(b.t, b.pool.QueryRow(b.t.Context(), `select count(*) from card_reveals
		where actor = 'buyer' and request_id = 'request-1' and cards = 2`).Scan(&n))
	return n
}

func TestAWaitingOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, path := b.place("en")
	got := b.do("GET", path)
	require.Equal(t, http.StatusOK, got.StatusCode)
	for _, want := range []string{
		`<html lang="en">`, "Waiting for your payment", "Ann &amp; Bob", "Game &lt;card&gt; 100", "CNY 39.98", "CNY 19.99 each", "30 minutes",
		`href="tel:&#43;864001234567"`, `<noscript><meta http-equiv="refresh"`,
		"/v1/orders/" + id.String() + "/watch?access_token=", `data-seen="1"`,
	} {
		require.Contains(t, got.text, want)
	}
	require.NotContains(t, got.text, "Show codes")
	b.now = b.now.Add(31 * time.Minute)
	require.Contains(t, b.do("GET", path).text, "The time to pay is over")
}

func TestTheLanguage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.place("zh")
	got := b.do("GET", path, "Accept-Language", "en")
	for _, want := range []string{`<html lang="zh-CN">`, "等待付款", "¥39.98", "30 分钟", `?lang=en`} {
		require.Contains(t, got.text, want)
	}
	got = b.do("GET", path+"?lang=en")
	require.Contains(t, got.text, "Waiting for your payment")
	require.Contains(t, got.text, `data-page="`+strings.TrimPrefix(path, "/o/")+`?lang=en"`, "a refresh keeps the language")
	require.Contains(t, b.do("GET", path+"?lang=fr").text, "等待付款")
	require.Contains(t, b.do("GET", "/o/x", "Accept-Language", "zh-CN,zh;q=0.9").text, "未找到订单")
}

func TestCodesAreShownOnAClickAndRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, path := b.place("en")
	b.deliver(id)
	page := b.do("GET", path)
	require.Contains(t, page.text, "Show codes")
	require.NotContains(t, page.text, "CODE-")
	require.NotContains(t, page.text, "http-equiv=\"refresh\"", "nothing more will come")
	require.Contains(t, page.text, `data-watch=""`)
	require.Zero(t, b.looks())

	shown := b.do("POST", path, "Sec-Fetch-Site", "same-origin", "Origin", "null")
	require.Equal(t, http.StatusOK, shown.StatusCode)
	require.Len(t, regexp.MustCompile(`<code>CODE-\d</code>`).FindAllString(shown.text, -1), 2)
	require.Equal(t, 1, b.looks())

	file := b.do("POST", path+"/cards.txt?lang=zh")
	require.Equal(t, "text/plain; charset=utf-8", file.Header.Get("Content-Type"))
	require.Regexp(t, `^attachment; filename="order-\d{6}-\w{10}\.txt"$`, file.Header.Get("Content-Disposition"))
	require.Regexp(t, `(?s)^订单 \d{6}-\w{10}\r\n\r\nGame <card> 100\r\nCODE-\d\r\nCODE-\d\r\n$`, file.text)
	require.Equal(t, 2, b.looks())
}

func TestBeforeDeliveryThereAreNoCodes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.place("en")
	require.Contains(t, b.do("POST", path).text, "Waiting for your payment")
	back := b.do("POST", path+"/cards.txt?lang=zh")
	require.Equal(t, http.StatusSeeOther, back.StatusCode)
	location, err := back.Location()
	require.NoError(t, err)
	require.Equal(t, path+"?lang=zh", location.RequestURI())
	require.Zero(t, b.looks())
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, path := b.place("en")
	b.deliver(id)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "cross-site", "Origin", b.url},
	} {
		for _, path := range []string{path, path + "/cards.txt"} {
			got := b.do("POST", path, header...)
			require.Equal(t, http.StatusForbidden, got.StatusCode, header)
			require.NotContains(t, got.text, "CODE-")
		}
	}
	require.Zero(t, b.looks())
	for _, header := range [][]string{{"Origin", b.url}, {"Origin", "null"}, {"Sec-Fetch-Site", "same-origin"}, nil} {
		require.Equal(t, http.StatusOK, b.do("POST", path, header...).StatusCode, header)
	}
}

func TestAWrongTokenIsAFriendlyPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.place("en")
	unknown := "/o/" + b.vault.OrderToken(uuid.New())
	spliced := path[:len("/o/")+24] + unknown[len("/o/")+24:] // an order's id, the MAC of another
	for _, wrong := range []string{
		spliced, unknown, "/o/x", "/o/%3Cscript%3E", "/o/" + strings.Repeat("x", 5000),
	} {
		for _, method := range []string{"GET", "POST"} {
			got := b.do(method, wrong)
			require.Equal(t, http.StatusNotFound, got.StatusCode)
			require.Contains(t, got.text, "There is no order here")
			require.NotContains(t, got.text, "<script")
		}
	}
	require.Empty(t, b.log.String())
}

func TestEveryPageIsLockedDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, path := b.place("en")
	b.deliver(id)
	nonces := map[string]bool{}
	for _, got := range []answer{b.do("GET", path), b.do("POST", path), b.do("POST", path+"/cards.txt"), b.do("GET", "/o/x")} {
		csp := got.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.NotContains(t, csp, "unsafe")
		nonces[regexp.MustCompile(`script-src 'nonce-(\w+)'`).FindStringSubmatch(csp)[1]] = true
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Robots-Tag": "noindex, nofollow",
			"X-Content-Type-Options": "nosniff",
		} {
			require.Equal(t, want, got.Header.Get(name), name)
		}
		require.NotRegexp(t, `(?i)\son[a-z]+=|\sstyle=|<style|javascript:`, strings.ReplaceAll(got.text, "content=", ""))
	}
	require.Len(t, nonces, 4, "a nonce is used once")
}

func TestAssetsAreNamedByWhatIsInThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.place("en")
	found := regexp.MustCompile(`(?:href|src)="(assets/[^"]+)"`).FindAllStringSubmatch(b.do("GET", path).text, -1)
	require.Len(t, found, 3)
	for _, name := range found {
		got := b.do("GET", "/o/"+name[1])
		require.Equal(t, http.StatusOK, got.StatusCode)
		require.Contains(t, got.Header.Get("Cache-Control"), "immutable")
		require.Regexp(t, `^(text/css|text/javascript|image/svg\+xml)`, got.Header.Get("Content-Type"))
	}
	require.Equal(t, http.StatusNotFound, b.do("GET", "/o/assets/buyer.js").StatusCode)
}

func TestWithoutADatabaseThePageSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, path := b.place("en")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	recorder := httptest.NewRecorder()
	mux := http.NewServeMux()
	console.New(console.Config{}, console.Deps{
		Orders: b.orders, Vault: b.vault, Now: time.Now, Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	}).Mount(mux.Handle)
	mux.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil))
	require.Equal(t, http.StatusServiceUnavailable, recorder.Code)
	require.Contains(t, recorder.Body.String(), "Your order is safe")
	require.Contains(t, b.log.String(), "context canceled")
	require.NotContains(t, b.log.String(), strings.TrimPrefix(path, "/o/"))
}

// Each way an order can go has a text of its own.
func TestEveryStateHasItsOwnText(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, path := b.place("en")
	seen := map[string]string{}
	for _, c := range []struct{ status, payment, hold, exception, want string }{
		{"processing", "paid", "", "", "being prepared"},
		{"on_hold", "unpaid", "wrong_amount", "", "the amount does not match"},
		{"on_hold", "paid", "card_shortage", "", "Delivery is delayed"},
		{"on_hold", "paid", "late_payment_no_stock", "", "paid late"},
		{"on_hold", "paid", "late_payment_canceled", "", "after it was canceled"},
		{"on_hold", "unpaid", "manual", "", "being checked"},
		{"canceled", "unpaid", "", "", "Canceled"},
		{"expired", "unpaid", "", "", "Expired"},
		{"expired", "unpaid", "", "late_payment", "came too late"},
		{"canceled", "unpaid", "", "wrong_amount", "the amount did not match"},
		{"pending_payment", "unpaid", "", "wrong_amount", "Please pay the full amount"},
		{"canceled", "refunded", "", "", "Refunded"},
	} {
		_, err := b.pool.Exec(t.Context(), `update orders set status = $2, payment_status = $3, hold_reason = nullif($4, ''),
			exception_code = nullif($5, ''), paid_amount = case $3 when 'unpaid' then 0 else total_amount end, paid_at = now(), closed_at = now()
			where id = $1`, id, c.status, c.payment, c.hold, c.exception)
		require.NoError(t, err, c)
		text := b.do("GET", path).text
		title := regexp.MustCompile(`<h1>(.*)</h1>`).FindStringSubmatch(text)[1]
		require.Contains(t, title, c.want)
		require.Empty(t, seen[title], "a text of its own")
		seen[title] = c.want
	}
	_, err := b.pool.Exec(t.Context(), `update orders set status = 'on_hold', hold_reason = 'wrong_amount', payment_status = 'paid',
		paid_amount = total_amount where id = $1`, id)
	require.NoError(t, err)
	require.Contains(t, b.do("GET", path).text, "On hold: being checked", "the right one has come as well")
}
