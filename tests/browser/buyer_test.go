package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// From the link in a text message to the codes in hand, with the page open all the time.
func TestAnOrderArrivesWithoutAReload(t *testing.T) {
	s := openShop(t)
	s.textLink()
	o := s.place("en")
	b := openTab(t)
	link := s.texted()
	require.Equal(t, s.page(o), link)
	b.do(chromedp.Navigate(link))
	b.sees("Waiting for your payment")
	require.Regexp(t, `^(30:00|29:\d\d)$`, b.text("[data-countdown]"))
	b.picture("buyer-waiting-en")
	b.do(chromedp.Evaluate[chromedp.Void](`window.stayed = true`))

	s.pay(o, o.Total.Amount)
	b.sees("Delivered")
	require.True(t, b.is(`window.stayed === true`), "no reload")
	require.False(t, b.is(`document.documentElement.outerHTML.includes("GAME-")`), "no code before the click")
	b.picture("buyer-delivered-en")
	b.click("#show-codes")
	b.waits(`document.querySelectorAll("#cards code").length === 2`)
	codes := get(b, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll("#cards code"), c => c.textContent)`))
	for _, code := range codes {
		require.Regexp(t, `^GAME-\d{6}-[0-9A-F]{4}$`, code)
	}
	require.True(t, b.is(`window.stayed === true`))
	b.picture("buyer-codes-en")
	require.Equal(t, 1, s.looks(o))

	b.click("[data-copy-all]")
	b.waits(`document.querySelector("[data-copy-all]").textContent === "Copied"`)
	require.Equal(t, strings.Join(codes, "\n"), b.clipboard())
	b.click("#cards a.button") // hide
	b.do(chromedp.WaitVisible(chromedp.CSS("#show-codes")))
	require.False(t, b.is(`document.documentElement.outerHTML.includes("GAME-")`))
	b.noProblems()
	s.stop()
	require.NotContains(t, s.log.String(), o.AccessToken)
	require.NotContains(t, s.log.String(), "GAME-")
}

// looks counts the recorded looks at an order's codes.
func (s *shop) looks(o order) int {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.info.DatabaseURL)
	require.NoError(s.t, err)
	defer conn.Close(s.t.Context())
	var n int
	require.NoError(s.t, conn.QueryRow(s.t.Context(),
		`select count(*) from vendbox.card_reveals where order_id = $1 and actor = 'buyer' and request_id <> ''`, o.ID).Scan(&n))
	return n
}

// Every word, button and code is there without JavaScript, too.
func TestThePageWorksWithoutJavaScript(t *testing.T) {
	s := openShop(t)
	o := s.place("zh")
	b := openTab(t)
	b.withoutScript()
	b.do(chromedp.Navigate(s.page(o)))
	require.Equal(t, "等待付款", b.text("h1"))
	require.Equal(t, "刷新页面", b.text("noscript .button"))
	s.pay(o, o.Total.Amount)
	require.Eventually(t, func() bool {
		b.do(chromedp.Reload())
		return b.text("h1") == "已发货"
	}, patience, patience/100)
	b.click("#show-codes")
	b.do(chromedp.WaitVisible(chromedp.CSS("#cards code")), chromedp.WaitNotVisible(chromedp.CSS("[data-copy-all]")))
	b.picture("buyer-codes-zh-no-script")
	require.Equal(t, 1, s.looks(o))
	b.noProblems()
}

// What goes wrong is said as it happens; in Chinese, and in the dark.
func TestAWrongAmountAndAnExpiredOrder(t *testing.T) {
	s := openShop(t)
	b := openTab(t)
	held := s.place("zh")
	b.dark(true)
	b.do(chromedp.Navigate(s.page(held)))
	b.sees("等待付款")
	b.picture("buyer-waiting-zh-dark")
	s.pay(held, held.Total.Amount-1)
	b.sees("订单待处理：付款金额不符")
	b.picture("buyer-held-zh-dark")

	b.dark(false)
	expired := s.place("en")
	conn, err := pgx.Connect(t.Context(), s.info.DatabaseURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	b.do(chromedp.Navigate(s.page(expired)))
	b.sees("Waiting for your payment")
	// No relay hears of this: the page finds it all the same.
	_, err = conn.Exec(t.Context(), `update vendbox.orders
		set status = 'expired', closed_at = now(), sequence = sequence + 1 where id = $1`, expired.ID)
	require.NoError(t, err)
	b.sees("Expired")
	b.picture("buyer-expired-en")
	b.noProblems()

	b.do(chromedp.Navigate(s.info.APIURL + "/o/nonsense"))
	b.sees("There is no order here")
}
