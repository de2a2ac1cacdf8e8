package ordering

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/internal/dbq"
	"github.com/vendbox/vendbox/internal/paging"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// ListParams of List. What is zero is not asked for; what is given has to match, all of it.
type ListParams struct {
	Number           string // as people were told it, in whatever case
	Payment          string // a payment's id, or the event id of a notice
	SKU              string // on any line
	Status           string
	PhoneFingerprint []byte
	EmailFingerprint []byte
	PlacedFrom       time.Time // then or later
	PlacedTo         time.Time // before it
	Cursor           string    // "": the first page
	Limit            int
}

const (
	// maxLooked is how many orders one call looks at. A search whose parts are common while the whole is rare (a hot
	// product's canceled orders) then takes some tens of milliseconds, and its caller goes on from where it stopped.
	maxLooked = 10_000
	// maxStep is how many of them are looked at together, after smaller steps that most searches get by with.
	maxStep = 2000
	// An order's id is made just before it is placed, while its request waits for the next commit. These bound how much
	// earlier, and how far the clock may be set back meanwhile: they say where to look, and placed_at decides.
	idsBefore, idsAfter = time.Minute, time.Second
)

// List returns a page of the orders that match, the newest first, and the cursor of the next, empty on the last. A page
// may have fewer than Limit though there are more, when it took too many others to find them. Errors: cursor_invalid.
func List(ctx context.Context, db dbq.DBTX, p ListParams) ([]*Order, string, error) {
	page, err := paging.Parse(p.Cursor, p.Limit)
	if err != nil {
		return nil, "", err
	}
	s := search{q: dbq.New(db), p: p}
	rows, next, err := s.run(ctx, page)
	if err != nil {
		return nil, "", err
	}
	byID := make(map[uuid.UUID]*Order, len(rows))
	orders := make([]*Order, len(rows))
	for i, row := range rows {
		orders[i] = fromRow(dbq.OrderByIDsRow(row))
		byID[row.ID] = orders[i]
	}
	return orders, next, loadItems(ctx, s.q, byID)
}

type search struct {
	q *dbq.Queries
	p ListParams

	filter  dbq.OrderMatchingParams
	product uuid.UUID
}

// run walks along the ids of one index, the narrowest there is for the search, and keeps the orders that match the rest.
func (s *search) run(ctx context.Context, page paging.Page) ([]dbq.OrderMatchingRow, string, error) {
	if empty, err := s.prepare(ctx); empty || err != nil {
		return nil, "", err
	}
	var rows []dbq.OrderMatchingRow
	before, step := earlier(page.Before, s.upTo()), page.MaxRows
	for looked := 0; ; {
		ids, err := s.ids(ctx, before, step)
		if err != nil {
			return nil, "", err
		}
		s.filter.IDs, s.filter.MaxRows = ids, page.MaxRows-int32(len(rows))
		found, err := s.q.OrderMatching(ctx, s.filter)
		if err != nil {
			return nil, "", err
		}
		rows, looked = append(rows, found...), looked+len(ids)
		if len(rows) == int(page.MaxRows) || len(ids) < int(step) {
			rows, next := paging.Cut(page, rows, func(row dbq.OrderMatchingRow) uuid.UUID { return row.ID })
			return rows, next, nil
		}
		before = ids[len(ids)-1]
		if looked >= maxLooked {
			return rows, paging.Cursor(before), nil
		}
		step = min(4*step, maxStep)
	}
}

// prepare makes the filter. empty: nothing can match.
func (s *search) prepare(ctx context.Context) (empty bool, err error) {
	s.p.Number = strings.ToUpper(s.p.Number)
	s.filter = dbq.OrderMatchingParams{
		Number: s.p.Number, Status: s.p.Status, PhoneFingerprint: s.p.PhoneFingerprint, EmailFingerprint: s.p.EmailFingerprint,
		PlacedFrom: s.p.PlacedFrom, PlacedTo: s.p.PlacedTo,
	}
	if s.p.PlacedTo.IsZero() {
		s.filter.PlacedTo = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	for _, text := range []string{s.p.Number, s.p.Payment, s.p.SKU} {
		if strings.ContainsRune(text, 0) {
			return true, nil // no text of Postgres'
		}
	}
	if s.p.SKU == "" {
		return false, nil
	}
	s.product, err = s.q.ProductIDBySKU(ctx, s.p.SKU)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil
	}
	s.filter.ProductID = &s.product
	return false, err
}

// ids are the next of the search's index. The narrow ones come first; of a product and a status the status, if it is
// one that orders pass through and do not end in.
func (s *search) ids(ctx context.Context, before uuid.UUID, step int32) ([]uuid.UUID, error) {
	p, since := &s.p, s.since()
	passing := p.Status == string(PendingPayment) || p.Status == string(OnHold) || p.Status == string(Processing)
	switch {
	case p.Payment != "":
		ask := dbq.OrderIDsByPaymentParams{Reference: p.Payment, Before: before, Since: since, MaxRows: step}
		if id, err := uuid.Parse(p.Payment); err == nil {
			ask.PaymentID = &id
		}
		return s.q.OrderIDsByPayment(ctx, ask)
	case p.Number != "":
		return s.q.OrderIDsByNumber(ctx, dbq.OrderIDsByNumberParams{Number: p.Number, Before: before, Since: since})
	case p.PhoneFingerprint != nil:
		return s.q.OrderIDsByPhone(ctx, dbq.OrderIDsByPhoneParams{
			Fingerprint: p.PhoneFingerprint, Before: before, Since: since, MaxRows: step,
		})
	case p.EmailFingerprint != nil:
		return s.q.OrderIDsByEmail(ctx, dbq.OrderIDsByEmailParams{
			Fingerprint: p.EmailFingerprint, Before: before, Since: since, MaxRows: step,
		})
	case p.SKU != "" && !passing:
		s.filter.ProductID = nil // the index has said it
		return s.q.OrderIDsByProduct(ctx, dbq.OrderIDsByProductParams{
			ProductID: s.product, Before: before, Since: since, MaxRows: step,
		})
	case p.Status != "":
		return s.q.OrderIDsByStatus(ctx, dbq.OrderIDsByStatusParams{Status: p.Status, Before: before, Since: since, MaxRows: step})
	default:
		return s.q.OrderIDs(ctx, dbq.OrderIDsParams{Before: before, Since: since, MaxRows: step})
	}
}

// since is the smallest id of an order that was placed at PlacedFrom or later.
func (s *search) since() uuid.UUID {
	if s.p.PlacedFrom.IsZero() {
		return uuid.Nil
	}
	return pgdb.FirstID(s.p.PlacedFrom.Add(-idsBefore))
}

// upTo is above the ids of all orders that were placed before PlacedTo.
func (s *search) upTo() uuid.UUID {
	if s.p.PlacedTo.IsZero() {
		return uuid.Max
	}
	return pgdb.FirstID(s.p.PlacedTo.Add(idsAfter))
}

func earlier(a, b uuid.UUID) uuid.UUID {
	if bytes.Compare(a[:], b[:]) < 0 {
		return a
	}
	return b
}
