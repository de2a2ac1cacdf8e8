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
		case errors.Is(err, errForeign):
			bad = append(bad, differenceOf("settlement_unknown", cut(fieldOf(record, at.payment)),
				"settled, and not one of our payments", "", text(line.Amount)))
		case err != nil:
			bad = append(bad, differenceOf("settlement_line_invalid", "line "+strconv.Itoa(number), err.Error(), "", ""))
		case ok:
			line.Number = number
			lines = append(lines, line)
		}
	}
	if at == nil {
		return nil, nil, fmt.Errorf("settlement file: no line has both columns, %q and %q: name the file's own by --payment-column and "+
			"--amount-column, and see that it is UTF-8 (iconv -f GBK -t UTF-8)", columns.Payment, columns.Amount)
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

// errForeign is a line under a number that vendbox never gave: somebody has paid past it.
var errForeign = errors.New("no payment of ours")

// read makes a line of a record; ok is false for sums and remarks below the lines.
func (at *positions) read(record []string, currency string) (line Line, ok bool, err error) {
	id, amount := fieldOf(record, at.payment), fieldOf(record, at.amount)
	if id == "" || amount == "" || strings.HasPrefix(clean(record[0]), "#") {
		return line, false, nil
	}
	amount = strings.ReplaceAll(strings.TrimLeft(amount, "¥￥ "), ",", "")
	if line.Amount, err = money.ParseDecimal(amount, cmp.Or(fieldOf(record, at.currency), currency)); err != nil {
		return line, false, fmt.Errorf("%q is no amount", cut(amount))
	}
	kind := strings.ToLower(fieldOf(record, at.kind))
	line.Refund = line.Amount.Amount < 0 || strings.Contains(kind, "refund") || strings.Contains(kind, "退款")
	line.Amount.Amount = max(line.Amount.Amount, -line.Amount.Amount)
	if line.PaymentID, err = uuid.Parse(id); err != nil {
		return line, false, errForeign
	}
	return line, true, nil
}

func cut(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

func differenceOf(kind, subject, what, expected, actual string) Difference {
	return Difference{Kind: kind, Subject: subject, What: what, Expected: expected, Actual: actual, Suggestion: suggestions[kind]}
}

// Settle compares a channel's settlement file with the payments and refunds of a time, writes the differences down and
// returns them.
func (s *Service) Settle(ctx context.Context, channel string, lines []Line, bad []Difference, from, to time.Time) (Report, error) {
	report := Report{From: from, To: to, Differences: bad}
	q := dbq.New(s.pool)
	known, err := q.ReconcileChannelKnown(ctx, channel)
	if err == nil && !known {
		err = fmt.Errorf("there has never been a payment through the channel %q: is its name right?", channel)
	}
	if err != nil {
		return report, err
	}
	ids := make([]uuid.UUID, len(lines))
	for i, line := range lines {
		ids[i] = line.PaymentID
	}
	named, err := q.ReconcilePaymentsByID(ctx, dbq.ReconcilePaymentsByIDParams{IDs: ids, Channel: channel})
	if err != nil {
		return report, fmt.Errorf("reconcile: payments of the file: %w", err)
	}
	ours, err := q.ReconcilePayments(ctx, dbq.ReconcilePaymentsParams{Channel: channel, FromTime: from, ToTime: to})
	if err != nil {
		return report, fmt.Errorf("reconcile: payments: %w", err)
	}
	givenBack, err := q.ReconcileRefunds(ctx, dbq.ReconcileRefundsParams{Channel: channel, FromTime: from, ToTime: to})
	if err != nil {
		return report, fmt.Errorf("reconcile: refunds: %w", err)
	}
	report.Differences = append(report.Differences, compare(lines, named, ours, givenBack)...)
	// By days, so that the same file is the same scope whenever it is read.
	scope := fmt.Sprintf("settlement %s %s %s", channel, from.UTC().Format(time.DateOnly), to.UTC().Format(time.DateOnly))
	report.Differences, report.Gone, err = s.save(ctx, scope, report.Differences, true)
	return report, err
}

// sums are what one payment's lines of a file come to.
type sums struct{ settled, refunded int64 }

// compare looks both ways: from the file's payments to ours, and from ours of the time to the file.
func compare(
	lines []Line, known []dbq.ReconcilePaymentsByIDRow, ours []dbq.ReconcilePaymentsRow, givenBack []dbq.ReconcileRefundsRow,
) []Difference {
	byID := make(map[uuid.UUID]dbq.ReconcilePaymentsByIDRow, len(known))
	for _, p := range known {
		byID[p.ID] = p
	}
	file := map[uuid.UUID]*sums{}
	var found []Difference
	for _, line := range lines {
		p, ok := byID[line.PaymentID]
		if !ok {
			found = append(found, differenceOf("settlement_unknown", line.PaymentID.String(),
				"settled, and not one of our payments", "", text(line.Amount)))
			continue
		}
		if file[p.ID] == nil {
			file[p.ID] = &sums{}
		}
		switch of := file[p.ID]; {
		case line.Amount.Currency != p.Currency:
			found = append(found, differenceOf("settlement_amount", p.ID.String(), "settled in another currency", p.Currency, line.Amount.Currency))
		case line.Refund:
			of.refunded += line.Amount.Amount
		default:
			of.settled += line.Amount.Amount
		}
	}
	found = append(found, settledDifferences(file, known)...)
	for _, p := range ours {
		if file[p.ID] == nil || file[p.ID].settled == 0 {
			found = append(found, differenceOf("settlement_missing", p.ID.String(), "paid, and not in the settlement",
				text(money.Money{Amount: p.Amount, Currency: p.Currency}), "nothing"))
		}
	}
	return append(found, refundDifferences(file, byID, givenBack)...)
}

// settledDifferences compares what was settled for each payment, in however many lines.
func settledDifferences(file map[uuid.UUID]*sums, known []dbq.ReconcilePaymentsByIDRow) (found []Difference) {
	for _, p := range known {
		of := file[p.ID]
		switch {
		case of == nil || of.settled == 0:
		case p.Status != "succeeded":
			found = append(found, differenceOf("settlement_not_applied", p.ID.String(), "settled, and not applied here", "succeeded", p.Status))
		case of.settled != p.Amount:
			found = append(found, differenceOf("settlement_amount", p.ID.String(), "settled over another amount",
				text(money.Money{Amount: p.Amount, Currency: p.Currency}), text(money.Money{Amount: of.settled, Currency: p.Currency})))
		}
	}
	return found
}

// refundDifferences compares what went back in the time, by payment.
func refundDifferences(
	file map[uuid.UUID]*sums, byID map[uuid.UUID]dbq.ReconcilePaymentsByIDRow, givenBack []dbq.ReconcileRefundsRow,
) (found []Difference) {
	differ := func(id uuid.UUID, currency string, ours, theirs int64) {
		if ours != theirs {
			found = append(found, differenceOf("settlement_refund", id.String(), "refunds differ",
				text(money.Money{Amount: ours, Currency: currency}), text(money.Money{Amount: theirs, Currency: currency})))
		}
	}
	seen := map[uuid.UUID]bool{}
	for _, r := range givenBack {
		seen[r.PaymentID] = true
		theirs := int64(0)
		if of := file[r.PaymentID]; of != nil {
			theirs = of.refunded
		}
		differ(r.PaymentID, r.Currency, r.Amount, theirs)
	}
	for id, of := range file {
		if !seen[id] {
			differ(id, byID[id].Currency, 0, of.refunded)
		}
	}
	return found
}

func text(m money.Money) string { return m.Decimal() + " " + m.Currency }
