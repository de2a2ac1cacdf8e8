package console

import (
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/vendbox/vendbox/internal/live"
	"github.com/vendbox/vendbox/internal/ordering"
)

// frame is what every page has around it.
type frame struct {
	Lang    string // "en" or "zh"
	Nonce   string
	Root    string
	Shop    string
	Support support
	Self    template.URL // this page's own address, without what chooses the language
	State   state
}

// T is a word of the page's language.
func (f frame) T(key string) string { return texts.Words[key].in(f.Lang) }

// Asset is the address of an embedded file.
func (f frame) Asset(name string) string { return f.Root + "assets/" + assetNames[name] }

// HTMLLang is the language as HTML wants it.
func (f frame) HTMLLang() string {
	if f.Lang == "zh" {
		return "zh-CN"
	}
	return f.Lang
}

// buyerPage is an order as its buyer sees it.
type buyerPage struct {
	frame

	Order   *ordering.Order
	Page    string // the address of the page as it is first seen
	Watch   string // where the changes come from; "" when there are none to wait for
	Refresh bool   // let a browser without JavaScript look again by itself
	Left    string // how long is left to pay, "" when nothing is to be paid
	Steps   []step
	Lines   []line
	Total   string
	Back    string // what was refunded, "" for nothing
	Hidden  bool   // there are codes to be shown
	Codes   []cardGroup
}

// step of an order's way. Mark is "done", "now" or "todo".
type step struct{ Name, Mark string }

// line of the order.
type line struct {
	Name     string
	Quantity int
	Price    string // of all of it
	Each     string // of one, where there are more
	Refunded string // how many of them were, "" for none
}

// cardGroup is the codes of one line.
type cardGroup struct {
	Name  string
	Cards []cardView
}

type cardView struct{ Code, Until string }

func (p *Pages) buyerPage(v *visit, order *ordering.Order, cards []ordering.Card) *buyerPage {
	now := p.deps.Now()
	token := v.r.PathValue("access_token")
	page := &buyerPage{frame: p.frame(v, order.Locale, stateOf(order, now)), Order: order, Page: v.root + token + v.query()}
	if !live.Ended(order, now) {
		page.Watch = v.root + "../v1/orders/" + order.ID.String() + "/watch?access_token=" + token
		page.Refresh = len(cards) == 0
	}
	if page.State.key == "waiting" || page.State.key == "waiting_again" {
		page.Left = leftText(order.ExpiresAt.Sub(now), page.Lang)
	}
	page.Steps = page.stepsOf(order)
	page.Total = moneyText(order.Total, order.Currency, page.Lang)
	if order.RefundedAmount > 0 {
		page.Back = moneyText(order.RefundedAmount, order.Currency, page.Lang)
	}
	for _, item := range order.Items {
		l := line{Name: item.Name, Quantity: item.Quantity, Price: moneyText(item.UnitPrice*int64(item.Quantity), order.Currency, page.Lang)}
		if item.Quantity > 1 {
			l.Each = fmt.Sprintf(page.T("each"), moneyText(item.UnitPrice, order.Currency, page.Lang))
		}
		if item.RefundedQuantity > 0 {
			l.Refunded = fmt.Sprintf(page.T("units_refunded"), item.RefundedQuantity)
		}
		page.Lines = append(page.Lines, l)
	}
	page.Codes = groupCards(order, cards)
	page.Hidden = len(cards) == 0 && hasCards(order)
	return page
}

func (p *Pages) frame(v *visit, locale, stateKey string) frame {
	lang := v.language(locale)
	return frame{
		Lang: lang, Nonce: v.nonce, Root: v.root, Shop: p.cfg.ShopName, Support: supportOf(p.cfg.Support),
		//nolint:gosec // G203: a path of ours and a token, checked or escaped by the URL's own rules
		Self: template.URL(v.root + template.URLQueryEscaper(v.r.PathValue("access_token"))), State: stateIn(stateKey, lang),
	}
}

// problemPage has no order to choose the language by.
func (p *Pages) problemPage(v *visit, stateKey string) frame {
	return p.frame(v, acceptedLanguage(v.r), stateKey)
}

// language is what the address asks for, else the order's.
func (v *visit) language(locale string) string {
	switch asked := v.r.URL.Query().Get("lang"); {
	case asked == "en" || asked == "zh":
		return asked
	case locale == "zh":
		return "zh"
	}
	return "en"
}

// query keeps the language that was asked for.
func (v *visit) query() string {
	if asked := v.r.URL.Query().Get("lang"); asked == "en" || asked == "zh" {
		return "?lang=" + asked
	}
	return ""
}

var languages = language.NewMatcher([]language.Tag{language.English, language.Chinese})

func acceptedLanguage(r *http.Request) string {
	tags, _, err := language.ParseAcceptLanguage(clip(r.Header.Get("Accept-Language"), 256))
	if err != nil {
		return "en"
	}
	if _, index, confidence := languages.Match(tags...); index == 1 && confidence > language.No {
		return "zh"
	}
	return "en"
}

func clip(text string, limit int) string { return text[:min(len(text), limit)] }

// stepsOf is the way of an order that is on it; none where it has ended elsewhere.
func (p *buyerPage) stepsOf(order *ordering.Order) []step {
	var at int
	switch order.Status {
	case ordering.PendingPayment:
		at = 1
	case ordering.Processing:
		at = 2
	case ordering.Completed:
		at = 3
	default:
		return nil
	}
	if order.PaymentStatus == ordering.Refunded {
		return nil
	}
	steps := []step{{Name: p.T("step_ordered")}, {Name: p.T("step_paid")}, {Name: p.T("step_delivered")}}
	for i := range steps {
		switch {
		case i < at:
			steps[i].Mark = "done"
		case i == at:
			steps[i].Mark = "now"
		default:
			steps[i].Mark = "todo"
		}
	}
	return steps
}

// hasCards says whether there are codes that the buyer may see. Those that were delivered and refunded are revoked.
func hasCards(order *ordering.Order) bool {
	for _, item := range order.Items {
		if item.Kind == ordering.KindCard && item.FulfilledQuantity > item.RefundedQuantity-item.ReturnedQuantity {
			return true
		}
	}
	return false
}

func groupCards(order *ordering.Order, cards []ordering.Card) []cardGroup {
	var groups []cardGroup
	for i, card := range cards {
		if i == 0 || cards[i-1].Line != card.Line {
			groups = append(groups, cardGroup{Name: nameOf(order, card.Line)})
		}
		view := cardView{Code: card.Code}
		if card.ExpiresAt != nil {
			view.Until = card.ExpiresAt.UTC().Format(time.DateOnly)
		}
		last := &groups[len(groups)-1]
		last.Cards = append(last.Cards, view)
	}
	return groups
}

func nameOf(order *ordering.Order, lineNumber int) string {
	for _, item := range order.Items {
		if item.Line == lineNumber {
			return item.Name
		}
	}
	return strconv.Itoa(lineNumber)
}

// cardsText is the file that a buyer keeps. Line ends are such that every editor shows lines.
func cardsText(order *ordering.Order, cards []ordering.Card, lang string) []byte {
	var b strings.Builder
	b.WriteString(texts.Words["order"].in(lang) + " " + order.Number + "\r\n")
	for _, group := range groupCards(order, cards) {
		b.WriteString("\r\n" + group.Name + "\r\n")
		for _, card := range group.Cards {
			b.WriteString(card.Code)
			if card.Until != "" {
				b.WriteString("\t" + texts.Words["good_until"].in(lang) + " " + card.Until)
			}
			b.WriteString("\r\n")
		}
	}
	return []byte(b.String())
}
