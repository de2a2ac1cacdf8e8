package console

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/vendbox/vendbox/internal/money"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/payments"
)

// textsJSON has every word that the pages say: the states of an order, each with a headline, what it means and what the
// buyer can do; and the rest.
//
//go:embed texts.json
var textsJSON []byte

type both struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

func (b both) in(lang string) string {
	if lang == "zh" {
		return b.ZH
	}
	return b.EN
}

type stateText struct {
	Tone  string `json:"tone"` // wait, ok, warn or end: its colour
	Title both   `json:"title"`
	Text  both   `json:"text"`
	Help  both   `json:"help"` // "" where nothing has to be done
}

var texts = readTexts()

func readTexts() (all struct {
	States map[string]stateText `json:"states"`
	Words  map[string]both      `json:"words"`
},
) {
	if err := json.Unmarshal(textsJSON, &all); err != nil {
		panic(fmt.Sprintf("console: texts.json: %v", err)) // its test reads it first
	}
	return all
}

// state is what a page says of an order, in its language.
type state struct{ key, Tone, Title, Text, Help string }

func stateIn(key, lang string) state {
	t := texts.States[key]
	return state{key: key, Tone: t.Tone, Title: t.Title.in(lang), Text: t.Text.in(lang), Help: t.Help.in(lang)}
}

// stateOf says which of the states in texts.json an order is in.
func stateOf(o *ordering.Order, now time.Time) string {
	if o.PaymentStatus == ordering.Refunded {
		return refundedState(o)
	}
	switch o.Status {
	case ordering.PendingPayment:
		return waitingState(o, now)
	case ordering.OnHold:
		return heldState(o)
	case ordering.Processing:
		return "preparing"
	case ordering.Completed:
		return completedState(o)
	case ordering.Canceled, ordering.Expired:
		return endedState(o)
	}
	return "held_review"
}

func refundedState(o *ordering.Order) string {
	switch {
	case o.FulfillmentStatus == ordering.Unfulfilled:
		return "refunded_undelivered"
	case hasCards(o):
		return "refunded"
	}
	return "refunded_done" // of what had been credited, no code is left to be invalid
}

func waitingState(o *ordering.Order, now time.Time) string {
	switch {
	case !now.Before(o.ExpiresAt):
		return "overdue"
	case o.ExceptionCode != "":
		return "waiting_again" // somebody has released it, and the payment in doubt does not count
	}
	return "waiting"
}

func endedState(o *ordering.Order) string {
	switch {
	case o.ExceptionCode == string(payments.WrongAmount):
		return "closed_amount"
	case o.PaymentStatus != ordering.Unpaid || o.ExceptionCode != "":
		return "paid_late" // money has come for an order that was over
	}
	return string(o.Status)
}

func heldState(o *ordering.Order) string {
	if o.HoldReason == ordering.HoldWrongAmount && o.PaymentStatus != ordering.Unpaid {
		return "held_review" // the right amount has come as well
	}
	switch o.HoldReason {
	case ordering.HoldWrongAmount:
		return "held_amount"
	case ordering.HoldCardShortage:
		return "held_shortage"
	case ordering.HoldLateNoStock:
		return "held_late"
	case ordering.HoldLateCanceled:
		return "held_canceled"
	}
	return "held_review"
}

func completedState(o *ordering.Order) string {
	switch {
	case o.PaymentStatus == ordering.PartiallyRefunded:
		return "partly_refunded"
	case hasCards(o):
		return "delivered"
	}
	return "done" // what it bought is a number, which has been credited
}

// moneyText writes an amount as readers of the language expect it.
func moneyText(minor int64, currency, lang string) string {
	amount := money.Money{Amount: minor, Currency: currency}.Decimal()
	if currency == "CNY" && lang == "zh" {
		return "¥" + amount
	}
	return currency + " " + amount
}

// leftText is a time to pay, for those whose browser does not count it down. It promises no minute that is not there.
func leftText(left time.Duration, lang string) string {
	minutes := max(1, int(left.Minutes()))
	switch {
	case lang == "zh" && minutes >= 120:
		return fmt.Sprintf("%d 小时", minutes/60)
	case lang == "zh":
		return fmt.Sprintf("%d 分钟", minutes)
	case minutes >= 120:
		return fmt.Sprintf("%d hours", minutes/60)
	case minutes == 1:
		return "1 minute"
	}
	return fmt.Sprintf("%d minutes", minutes)
}

// support is how a buyer reaches a person. Link is "" for what a device cannot call or open.
type support struct {
	Text string
	Link template.URL
}

func supportOf(text string) support {
	s := support{Text: text}
	switch digits := strings.Map(dialled, text); {
	case strings.HasPrefix(text, "https://"), strings.HasPrefix(text, "http://"):
		s.Link = template.URL(text) //nolint:gosec // G203: the shop's own setting
	case strings.Contains(text, "@") && !strings.ContainsAny(text, " /?"):
		s.Link = template.URL("mailto:" + text) //nolint:gosec // G203: the shop's own setting
	case len(digits) >= 5 && strings.Trim(text, "+0123456789 -()") == "":
		s.Link = template.URL("tel:" + digits) //nolint:gosec // G203: digits
	}
	return s
}

func dialled(r rune) rune {
	if r == '+' || r >= '0' && r <= '9' {
		return r
	}
	return -1
}
