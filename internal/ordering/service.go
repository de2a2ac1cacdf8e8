package ordering

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/contact"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/groupcommit"
	"github.com/vendbox/vendbox/internal/outbox"
	"github.com/vendbox/vendbox/internal/pgdb"
)

// Bounds of one order.
const (
	MaxLines    = 100
	MaxQuantity = 1000   // of a line
	MaxUnits    = 10_000 // of an order: they are delivered in one transaction
	maxKey      = 255    // characters of an idempotency key
)

// Config of a Service.
type Config struct {
	// TTL is how long an order can be paid. Default 30 min.
	TTL time.Duration
	// Region is the country (ISO 3166-1 alpha-2) of telephone numbers without a country code. Default none.
	Region string
	// Committers is how many placing transactions may be in flight at once, sharded by the first SKU. Default 1.
	Committers int
	// Guard may refuse orders. Default: nobody does, at no cost.
	Guard *Guard
	// Place replaces the group commit. The benchmark compares with it.
	Place func(context.Context, PlaceParams) (Placed, error)
}

// Guard keeps orders from being placed.
type Guard struct {
	// Look is given orders that are to be placed, before their transaction, and sets the Judge of those that may be refused.
	Look func(context.Context, []PlaceParams) error
	// Told hears of those that had a Judge and were not placed, after the transaction.
	Told func(context.Context, error)
}

func (c Config) withDefaults() Config {
	if c.TTL == 0 {
		c.TTL = 30 * time.Minute
	}
	if c.Committers == 0 {
		c.Committers = 1
	}
	return c
}

// Service takes orders from the door.
type Service struct {
	cfg   Config
	pool  *pgxpool.Pool
	box   *outbox.Box
	vault *cardvault.Vault
	group *groupcommit.Group[PlaceParams, Placed]
	place func(context.Context, PlaceParams) (Placed, error)
}

// NewService makes the service. Close it.
func NewService(cfg Config, pool *pgxpool.Pool, box *outbox.Box, vault *cardvault.Vault) *Service {
	cfg = cfg.withDefaults()
	seed := maphash.MakeSeed()
	s := &Service{cfg: cfg, pool: pool, box: box, vault: vault, place: cfg.Place}
	s.group = groupcommit.New(groupcommit.Config[PlaceParams, Placed]{
		Flush: func(ctx context.Context, batch []PlaceParams) (results []groupcommit.Result[Placed], err error) {
			err = box.InTxWaiting(ctx, groupcommit.Patience(ctx), func(tx *outbox.Tx) error {
				results, err = Place(ctx, tx, batch)
				return err
			})
			return results, err
		},
		Committers: cfg.Committers,
		Shard:      func(p PlaceParams) uint64 { return maphash.String(seed, p.Lines[0].SKU) },
		Retryable:  isRetryable,
		Splittable: pgdb.IsMembers,
	})
	if s.place == nil {
		s.place = s.group.Do
	}
	return s
}

// isRetryable adds to the database's own the race of two processes for one idempotency key with different bodies: the
// loser runs again and finds the winner's order.
func isRetryable(err error) bool {
	return pgdb.IsRetryable(err) || pgdb.IsUniqueViolation(err, "orders_idempotency_key")
}

// Close lets the orders at hand finish.
func (s *Service) Close() { s.group.Close() }

// Request is an order as a caller asks for it.
type Request struct {
	Lines    []Line
	Phone    string
	Email    string
	ClientIP string // the buyer's address on the network; "": not known
	Locale   string // "en" or "zh"; default the caller's, else "en"
	Metadata json.RawMessage
	// ExpiresIn is how long it can be paid. Default: the least that its products say, else Config.TTL.
	ExpiresIn time.Duration
}

// Caller says who asks, and how a repetition is recognised.
type Caller struct {
	APIKeyID       uuid.UUID
	IdempotencyKey string // "": a repetition makes another order
	Traceparent    string
	Locale         string // of the request, for an order that names none; no part of what a repetition must equal
}

// Place places one order together with all that are being placed at the same time.
func (s *Service) Place(ctx context.Context, request Request, caller Caller) (Placed, error) {
	params, err := s.prepare(request, caller)
	if err != nil {
		return Placed{}, err
	}
	if s.cfg.Guard != nil {
		return s.placeGuarded(ctx, params)
	}
	placed, err := s.place(ctx, params)
	return placed, asFault(err)
}

func (s *Service) placeGuarded(ctx context.Context, params PlaceParams) (Placed, error) {
	looked := []PlaceParams{params}
	if err := s.cfg.Guard.Look(ctx, looked); err != nil {
		return Placed{}, err
	}
	placed, err := s.place(ctx, looked[0])
	s.tellGuard(ctx, &looked[0], err)
	return placed, asFault(err)
}

func (s *Service) tellGuard(ctx context.Context, p *PlaceParams, err error) {
	if err != nil && p.Judge != nil {
		s.cfg.Guard.Told(ctx, err)
	}
}

// asFault names what only the database could see in a request (a character or a number that jsonb cannot hold).
func asFault(err error) error {
	if pgdb.IsDataError(err) {
		return fault.Wrap(err, fault.Invalid, "order_not_storable")
	}
	return err
}

// PlaceMany places several orders, each for itself. Results come in the order of requests; keys has one idempotency key
// per request.
func (s *Service) PlaceMany(ctx context.Context, requests []Request, keys []string, caller Caller) []groupcommit.Result[Placed] {
	results := make([]groupcommit.Result[Placed], len(requests))
	var params []PlaceParams
	var positions []int
	for i, request := range requests {
		caller.IdempotencyKey = keys[i]
		p, err := s.prepare(request, caller)
		if err != nil {
			results[i].Err = err
			continue
		}
		params, positions = append(params, p), append(positions, i)
	}
	if s.cfg.Guard != nil {
		if err := s.cfg.Guard.Look(ctx, params); err != nil {
			for _, i := range positions {
				results[i].Err = err
			}
			return results
		}
	}
	for i, result := range s.group.DoMany(ctx, params) {
		s.tellGuard(ctx, &params[i], result.Err)
		result.Err = asFault(result.Err)
		results[positions[i]] = result
	}
	return results
}

// prepare checks the request and seals its contact: everything that needs no database, in the caller's own goroutine.
func (s *Service) prepare(request Request, caller Caller) (PlaceParams, error) {
	p := PlaceParams{
		ID: uuid.Must(uuid.NewV7()), Lines: request.Lines, ContactMasked: json.RawMessage(`{}`), Metadata: request.Metadata,
		TTL: cmp.Or(request.ExpiresIn, s.cfg.TTL), OwnTTL: request.ExpiresIn != 0,
		APIKeyID: caller.APIKeyID, IdempotencyKey: caller.IdempotencyKey,
		Traceparent: caller.Traceparent,
	}
	p.Locale = cmp.Or(request.Locale, caller.Locale, "en")
	if len(p.Metadata) == 0 {
		p.Metadata = json.RawMessage(`{}`)
	}
	if err := CheckKey(caller.IdempotencyKey); err != nil {
		return PlaceParams{}, err
	}
	if err := checkLines(request.Lines); err != nil {
		return PlaceParams{}, err
	}
	if caller.IdempotencyKey != "" {
		var err error
		if p.RequestHash, err = hashRequest(request); err != nil {
			return PlaceParams{}, err
		}
	}
	if request.ClientIP != "" {
		ip, err := contact.ParseIP(request.ClientIP)
		if err != nil {
			return PlaceParams{}, err
		}
		p.IPFingerprint = s.vault.Fingerprint(cardvault.KindClientIP, []byte(ip.Network()))
	}
	return p, s.sealContact(&p, request)
}

// CheckKey bounds an idempotency key. Fault: idempotency_key_invalid.
func CheckKey(key string) error {
	if utf8.RuneCountInString(key) > maxKey || !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
		return fault.New(fault.Invalid, "idempotency_key_invalid", "max_length", maxKey)
	}
	return nil
}

func checkLines(lines []Line) error {
	if len(lines) == 0 || len(lines) > MaxLines {
		return fault.New(fault.Invalid, "order_lines_out_of_range", "max", MaxLines)
	}
	units := 0
	for i, line := range lines {
		if line.Quantity < 1 || line.Quantity > MaxQuantity {
			return fault.New(fault.Invalid, "quantity_out_of_range", "line", i+1, "max", MaxQuantity)
		}
		units += line.Quantity
	}
	if units > MaxUnits {
		return fault.New(fault.Invalid, "order_units_out_of_range", "units", units, "max", MaxUnits)
	}
	return nil
}

func (s *Service) sealContact(p *PlaceParams, request Request) error {
	c, err := contact.Parse(request.Phone, request.Email, s.cfg.Region)
	if err != nil || c.IsZero() {
		return err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return errors.New("ordering: contact does not marshal") // the cause may quote it
	}
	if p.ContactSealed, err = s.vault.Seal(cardvault.KindContact, p.ID, plain); err != nil {
		return fmt.Errorf("ordering: seal contact: %w", err)
	}
	if p.ContactMasked, err = json.Marshal(c.Masked()); err != nil {
		return fmt.Errorf("ordering: masked contact: %w", err)
	}
	if !c.Phone.IsZero() {
		p.PhoneFingerprint = s.vault.Fingerprint(cardvault.KindContact, []byte(c.Phone.E164()))
	}
	if !c.Email.IsZero() {
		p.EmailFingerprint = s.vault.Fingerprint(cardvault.KindContact, []byte(c.Email.Folded()))
	}
	return nil
}

// Get returns an order, or the fault order_not_found.
func (s *Service) Get(ctx context.Context, id uuid.UUID) (*Order, error) { return Get(ctx, s.pool, id) }

// List returns a page of orders, the newest first, and the cursor of the next, empty on the last. contactQuery ("" for
// any) is a telephone number or an e-mail address, matched exactly. Faults: cursor_invalid, phone_invalid, email_invalid.
func (s *Service) List(ctx context.Context, p ListParams, contactQuery string) ([]*Order, string, error) {
	if contactQuery != "" {
		if err := s.searchByContact(&p, contactQuery); err != nil {
			return nil, "", err
		}
	}
	return List(ctx, s.pool, p)
}

func (s *Service) searchByContact(p *ListParams, query string) error {
	if email, err := contact.ParseEmail(query); err == nil {
		p.EmailFingerprint = s.vault.Fingerprint(cardvault.KindContact, []byte(email.Folded()))
		return nil
	}
	phone, err := contact.ParsePhone(query, s.cfg.Region)
	if err != nil {
		return err
	}
	p.PhoneFingerprint = s.vault.Fingerprint(cardvault.KindContact, []byte(phone.E164()))
	return nil
}
