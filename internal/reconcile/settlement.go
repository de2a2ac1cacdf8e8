package reconcile

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/money"
)

// Columns names the columns of a gateway's settlement file. Amounts are decimal, in the currency's major unit.
type Columns struct {
	Payment  string // our payment's id, with or without dashes (many gateways call it out_trade_no, 商户订单号)
	Amount   string // what was settled; negative, or in a line of type refund: given back
	Currency string // "" or no such column: Default
	Type     string // optional: a line whose text has "refund" or 退款 gave money back
	Default  string // currency
}

// Line is one line of a settlement file.
type Line struct {
	Number    int
	PaymentID uuid.UUID
	Amount    money.Money
	Refund    bool
}

// maxSettlementLines bounds a file in memory: a day of a large shop.
const maxSettlementLines = 1_000_000

// ReadSettlement reads a CSV file with a header, which may come after lines that are none (Alipay's begin with #). Lines that
// cannot be read are differences.
func ReadSettlement(r io.Reader, columns Columns) ([]Line, []Difference, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = buffered.Discard(3)
	}
	reader := csv.NewReader(buffered)
	reader.FieldsPerRecord, reader.LazyQuotes, reader.TrimLeadingSpace, reader.ReuseRecord = -1, true, true, true
	var at *positions
	var lines []Line
	var bad []Difference
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("settlement file: %w", err)
		}
		number, _ := reader.FieldPos(0)
		if at == nil {
			at = columns.find(record)
			continue
		}
		if len(lines) == maxSettlementLines {
			return nil, nil, fmt.Errorf("settlement file: more than %d lines: import it in parts", maxSettlementLines)
		}
		line, ok, err := at.read(record, columns.Default)
		switch {
		case err != nil:
			bad = append(bad, differenceOf("settlement_line_invalid", "line "+strconv.Itoa(number), err.Error(), "", ""))
		case ok:
			line.Number = number
			lines = append(lines, line)
		}
	}
	if at == nil {
		return nil, nil, fmt.Errorf("settlement file: no line names the columns %q and %q", columns.Payment, columns.Amount)
	}
	return lines, bad, nil
}

type positions struct{ payment, amount, currency, kind int }

// find takes a line for the header when it has the columns that are needed.
func (c Columns) find(record []string) *positions {
	at := positions{-1, -1, -1, -1}
	for i, name := range record {
		switch name = clean(name); {
		case name == c.Payment:
			at.payment = i
		case name == c.Amount:
			at.amount = i
		case name == c.Currency && name != "":
			at.currency = i
		case name == c.Type && name != "":
			at.kind = i
		}
	}
	if at.payment < 0 || at.amount < 0 {
		return nil
	}
	return &at
}

// clean takes off what gateways put around their fields: blanks, tabs, WeChat's back-quote.
func clean(field string) string { return strings.Trim(field, " \t`\"'") }

func fieldOf(record []string, at int) string {
	if at < 0 || at >= len(record) {
		return ""
	}
	return clean(record[at])
}

// read makes a line of a record; ok is false for sums and remarks below the lines.
func (at *positions) read(record []string, currency string) (line Line, ok bool, err error) {
	id, amount := fieldOf(record, at.payment), fieldOf(record, at.amount)
	if id == "" || amount == "" || strings.HasPrefix(clean(record[0]), "#") {
		return line, false, nil
	}
	if line.PaymentID, err = uuid.Parse(id); err != nil {
		return line, false, fmt.Errorf("%q is no payment of ours", cut(id))
	}
	line.Amount.Currency = cmp.Or(fieldOf(record, at.currency), currency)
	if line.Amount.Amount, err = minorUnits(amount); err != nil {
		return line, false, err
	}
	kind := strings.ToLower(fieldOf(record, at.kind))
	line.Refund = line.Amount.Amount < 0 || strings.Contains(kind, "refund") || strings.Contains(kind, "退款")
	line.Amount.Amount = max(line.Amount.Amount, -line.Amount.Amount)
	return line, true, nil
}

func cut(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// minorUnits reads a decimal with up to two digits after the point, exactly.
func minorUnits(text string) (int64, error) {
	text = strings.ReplaceAll(strings.TrimLeft(text, "¥￥ "), ",", "")
	negative := strings.HasPrefix(text, "-")
	whole, fraction, _ := strings.Cut(strings.TrimLeft(text, "+-"), ".")
	if len(fraction) > 2 || len(whole) > 13 || whole+fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0, fmt.Errorf("%q is no amount", cut(text))
	}
	n, err := strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
	if negative {
		n = -n
	}
	return n, err
}

func differenceOf(kind, subject, what, expected, actual string) Difference {
	return Difference{Kind: kind, Subject: subject, What: what, Expected: expected, Actual: actual, Suggestion: suggestions[kind]}
}

// Settle compares a channel's settlement file with the payments and refunds of a time, writes the differences down and
// returns them.
func (s *Service) Settle(ctx context.Context, channel string, lines []Line, bad []Difference, from, to time.Time) (Report, error) {
	report := Report{From: from, To: to, Differences: bad}
	q := dbq.New(s.pool)
	ids := make([]uuid.UUID, len(lines))
	for i, line := range lines {
		ids[i] = line.PaymentID
	}
	known, err := q.ReconcilePaymentsByID(ctx, dbq.ReconcilePaymentsByIDParams{IDs: ids, Channel: channel})
	if err != nil {
		return report, fmt.Errorf("reconcile: payments of the file: %w", err)
	}
	ours, err := q.ReconcilePayments(ctx, dbq.ReconcilePaymentsParams{Channel: channel, FromTime: from, ToTime: to})
	if err != nil {
		return report, fmt.Errorf("reconcile: payments: %w", err)
	}
	report.Differences = append(report.Differences, compare(lines, known, ours)...)
	scope := fmt.Sprintf("settlement %s %s %s", channel, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	report.Gone, err = s.save(ctx, scope, report.Differences)
	return report, err
}

// compare looks both ways: from the file's lines to our payments, and from ours of the time to the file.
func compare(lines []Line, known []dbq.ReconcilePaymentsByIDRow, ours []dbq.ReconcilePaymentsRow) []Difference {
	byID := make(map[uuid.UUID]dbq.ReconcilePaymentsByIDRow, len(known))
	for _, p := range known {
		byID[p.ID] = p
	}
	settled, refunded := map[uuid.UUID]int64{}, map[uuid.UUID]int64{}
	var found []Difference
	for _, line := range lines {
		p, ok := byID[line.PaymentID]
		id := line.PaymentID.String()
		switch {
		case !ok:
			found = append(found, differenceOf("settlement_unknown", id, "settled, and not one of our payments", "", text(line.Amount)))
			continue
		case line.Refund:
			refunded[line.PaymentID] += line.Amount.Amount
			continue
		case p.Status != "succeeded":
			found = append(found, differenceOf("settlement_not_applied", id, "settled, and not applied here", "succeeded", p.Status))
		case line.Amount != money.Money{Amount: p.Amount, Currency: p.Currency}:
			found = append(found, differenceOf("settlement_amount", id, "settled over another amount",
				text(money.Money{Amount: p.Amount, Currency: p.Currency}), text(line.Amount)))
		}
		settled[line.PaymentID] += line.Amount.Amount
	}
	for _, p := range ours {
		id, of := p.ID.String(), func(amount int64) string { return text(money.Money{Amount: amount, Currency: p.Currency}) }
		if _, ok := settled[p.ID]; !ok {
			found = append(found, differenceOf("settlement_missing", id, "paid, and not in the settlement", of(p.Amount), "nothing"))
		}
		if refunded[p.ID] != p.Refunded {
			found = append(found, differenceOf("settlement_refund", id, "refunds differ", of(p.Refunded), of(refunded[p.ID])))
		}
	}
	return found
}

func text(m money.Money) string {
	return fmt.Sprintf("%d.%02d %s", m.Amount/100, m.Amount%100, m.Currency)
}
