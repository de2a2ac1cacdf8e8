package payments

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

const (
	// SignatureHeader carries `t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`; v1 may stand several times.
	SignatureHeader    = "Vendbox-Signature"
	signatureTolerance = 300 * time.Second
)

// Sandbox is the channel for development and tests: complete, but anybody with its secret can say that a payment
// succeeded.
type Sandbox struct {
	accounts []sandboxAccount // new attempts are made for the last; all verify
	now      func() time.Time
	books    func(context.Context, Attempt) (paid bool, err error)
}

type sandboxAccount struct {
	name    string
	secrets []string // all verify, so that a secret can be changed while attempts are open
}

// NewSandbox makes the channel with one account, "default". At least one secret is needed.
func NewSandbox(now func() time.Time, secrets ...string) *Sandbox {
	s := &Sandbox{now: now, books: func(context.Context, Attempt) (bool, error) { return false, nil }}
	return s.WithAccount("default", secrets...)
}

// WithAccount adds an account for new attempts; those there were go on to verify what was begun with them. Call it
// before the channel is used.
func (s *Sandbox) WithAccount(name string, secrets ...string) *Sandbox {
	s.accounts = append(s.accounts, sandboxAccount{name, secrets})
	return s
}

// WithBooks says what the sandbox knows when it is asked; without it, of no payment. Call it before the channel is used.
func (s *Sandbox) WithBooks(books func(context.Context, Attempt) (paid bool, err error)) *Sandbox {
	s.books = books
	return s
}

// Name is "sandbox".
func (s *Sandbox) Name() string { return "sandbox" }

// Account is the one that was added last.
func (s *Sandbox) Account(Attempt) (string, error) { return s.accounts[len(s.accounts)-1].name, nil }

// Begin tells where the signed callback goes.
func (s *Sandbox) Begin(_ context.Context, attempt Attempt) (Instructions, string, error) {
	return Instructions{"callback_path": "/v1/payment-callbacks/sandbox", "payment_id": attempt.ID.String()}, "", nil
}

// Query looks into the books.
func (s *Sandbox) Query(ctx context.Context, attempt Attempt) (Notice, bool, error) {
	paid, err := s.books(ctx, attempt)
	if err != nil || !paid {
		return Notice{}, false, err
	}
	return Notice{
		EventID: "query:" + attempt.ID.String(), Type: TypeSucceeded, Account: attempt.Account, PaymentID: attempt.ID,
		Amount: attempt.Amount, OccurredAt: s.now().UTC(), Body: []byte(`{"queried":true}`),
	}, true, nil
}

// Refund gives back whatever it is asked to: there is no money in it.
func (s *Sandbox) Refund(_ context.Context, refund Refund) (RefundAnswer, error) {
	return RefundAnswer{Status: RefundSucceeded, Reference: "sandbox:" + refund.ID.String()}, nil
}

// Acknowledge answers 200 {"received":true}.
func (s *Sandbox) Acknowledge() Answer {
	return Answer{Status: http.StatusOK, ContentType: "application/json", Body: `{"received":true}`}
}

type sandboxNotice struct {
	EventID    string    `json:"event_id"`
	Type       string    `json:"type"`
	PaymentID  uuid.UUID `json:"payment_id"`
	Amount     int64     `json:"amount"`
	Currency   string    `json:"currency"`
	OccurredAt time.Time `json:"occurred_at"`
}

var (
	eventIDPattern  = regexp.MustCompile(`^[!-~]{1,255}$`)
	typePattern     = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)
	currencyPattern = regexp.MustCompile(`^[A-Z]{3}$`)
)

func (n *sandboxNotice) validate() error {
	var wrong string
	switch {
	case !eventIDPattern.MatchString(n.EventID):
		wrong = "event_id"
	case !typePattern.MatchString(n.Type):
		wrong = "type"
	case n.PaymentID == uuid.Nil:
		wrong = "payment_id"
	case n.Amount < 0:
		wrong = "amount"
	case !currencyPattern.MatchString(n.Currency):
		wrong = "currency"
	case n.OccurredAt.UTC().Year() < 2000 || n.OccurredAt.UTC().Year() > 9999:
		wrong = "occurred_at"
	default:
		return nil
	}
	return fault.New(fault.Malformed, "callback_malformed", "field", wrong)
}

// Verify checks the signature, then reads the body.
func (s *Sandbox) Verify(_ context.Context, callback Callback) (Notice, error) {
	account, err := s.verifySignature(callback.Header.Get(SignatureHeader), callback.Body)
	if err != nil {
		return Notice{}, err
	}
	var body sandboxNotice
	// This decoder refuses what encoding/json lets pass: names given twice, in another case, or unknown.
	if err := json.Unmarshal(callback.Body, &body, json.RejectUnknownMembers(true)); err != nil {
		return Notice{}, fault.Wrap(err, fault.Malformed, "callback_malformed")
	}
	if err := body.validate(); err != nil {
		return Notice{}, err
	}
	return Notice{
		EventID: body.EventID, Type: body.Type, Account: account, PaymentID: body.PaymentID, OccurredAt: body.OccurredAt,
		Amount: ordering.Money{Amount: body.Amount, Currency: body.Currency}, Body: callback.Body,
	}, nil
}

// verifySignature gives the account whose secret signed.
func (s *Sandbox) verifySignature(header string, body []byte) (account string, err error) {
	if header == "" {
		return "", fault.New(fault.Unauthenticated, "callback_unsigned")
	}
	unix, signatures, ok := parseSignature(header)
	if !ok {
		return "", fault.New(fault.Unauthenticated, "callback_signature_invalid")
	}
	age := s.now().Sub(time.Unix(unix, 0))
	if age > signatureTolerance || age < -signatureTolerance {
		return "", fault.New(fault.Unauthenticated, "callback_stale")
	}
	for _, account := range s.accounts {
		if account.signed(unix, body, signatures) {
			return account.name, nil
		}
	}
	return "", fault.New(fault.Unauthenticated, "callback_signature_invalid")
}

func (a sandboxAccount) signed(unix int64, body []byte, signatures [][]byte) bool {
	for _, secret := range a.secrets {
		want := sandboxMAC(secret, unix, body)
		if slices.ContainsFunc(signatures, func(got []byte) bool { return hmac.Equal(got, want) }) {
			return true
		}
	}
	return false
}

// SignSandbox makes the signature header of a callback body. Tests, the demo and the benchmark pay with it.
func SignSandbox(secret string, at time.Time, body []byte) string {
	mac := sandboxMAC(secret, at.Unix(), body)
	return "t=" + strconv.FormatInt(at.Unix(), 10) + ",v1=" + hex.EncodeToString(mac)
}

func sandboxMAC(secret string, unix int64, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(strconv.AppendInt(nil, unix, 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// parseSignature reads the header. Unknown schemes are passed over, so that a newer one can be sent beside v1.
func parseSignature(header string) (unix int64, signatures [][]byte, ok bool) {
	for part := range strings.SplitSeq(header, ",") {
		name, value, found := strings.Cut(strings.TrimSpace(part), "=")
		if !found {
			return 0, nil, false
		}
		switch name {
		case "t":
			var err error
			if unix, err = strconv.ParseInt(value, 10, 64); err != nil {
				return 0, nil, false
			}
		case "v1":
			if mac, err := hex.DecodeString(value); err == nil {
				signatures = append(signatures, mac)
			}
		}
	}
	return unix, signatures, unix != 0 && len(signatures) > 0
}
