package console

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
)

// Config of the pages. The zero value is usable.
type Config struct {
	// ShopName heads the pages. Default: none.
	ShopName string
	// Support is how a buyer reaches a person: a telephone number, an e-mail address or a link. Default: none is named.
	Support string
}

// Deps are the rooms behind the pages.
type Deps struct {
	Orders *ordering.Service
	Cards  *ordering.Reveals
	Vault  *cardvault.Vault
	Now    func() time.Time
	Log    *slog.Logger
}

// Pages serves them.
type Pages struct {
	cfg  Config
	deps Deps
}

// New makes the pages.
func New(cfg Config, deps Deps) *Pages { return &Pages{cfg: cfg, deps: deps} }

const pageTimeout = 10 * time.Second

// Mount adds the routes to a mux. Assets have a path of their own, which a token cannot be.
func (p *Pages) Mount(mount func(pattern string, h http.Handler)) {
	mount("GET /o/assets/{file}", http.HandlerFunc(serveAsset))
	mount("GET /o/{access_token}", p.guarded(p.showOrder))
	mount("POST /o/{access_token}", p.guarded(p.revealCards))
	mount("POST /o/{access_token}/cards.txt", p.guarded(p.downloadCards))
}

// visit is one request for a page.
type visit struct {
	r     *http.Request
	w     http.ResponseWriter
	nonce string
	root  string // the way from the address to /o/, since a reverse proxy may have put something in front of it
}

// requestID is the one that the door has given the request.
func (v *visit) requestID() string { return v.w.Header().Get("X-Request-ID") }

// guarded sets the headers, refuses what came from another site, and turns an error into a page.
func (p *Pages) guarded(serve func(context.Context, *visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTimeout)
		defer cancel()
		v := &visit{r: r, w: w, nonce: rand.Text()}
		if strings.HasSuffix(r.Pattern, "/cards.txt") {
			v.root = "../"
		}
		setHeaders(w.Header(), v.nonce)
		err := errForeign
		if r.Method != http.MethodPost || sameOrigin(r) {
			err = serve(ctx, v)
		}
		if err != nil {
			p.showProblem(ctx, v, err)
		}
	})
}

// order is the one that the token in the address opens.
func (p *Pages) order(ctx context.Context, v *visit) (*ordering.Order, error) {
	id, err := p.orderID(ctx, v)
	if err != nil {
		return nil, err
	}
	return p.deps.Orders.Get(ctx, id)
}

func (p *Pages) orderID(ctx context.Context, v *visit) (uuid.UUID, error) {
	return p.deps.Vault.OrderOfToken(ctx, v.r.PathValue("access_token"))
}

func (p *Pages) showOrder(ctx context.Context, v *visit) error {
	order, err := p.order(ctx, v)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "buyer.html", p.buyerPage(v, order, nil))
}

// revealCards shows the codes. It is a POST, so that no preview of a link and no reload of a page is a look at codes.
func (p *Pages) revealCards(ctx context.Context, v *visit) error {
	order, cards, err := p.reveal(ctx, v)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "buyer.html", p.buyerPage(v, order, cards))
}

func (p *Pages) downloadCards(ctx context.Context, v *visit) error {
	order, cards, err := p.reveal(ctx, v)
	if err != nil {
		return err
	}
	if len(cards) == 0 {
		return p.backToOrder(ctx, v)
	}
	h := v.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="order-`+order.Number+`.txt"`)
	_, _ = v.w.Write(cardsText(order, cards, v.language(order.Locale))) // the buyer is gone otherwise
	return nil
}

// reveal records that the buyer looks at the codes, and gives them.
func (p *Pages) reveal(ctx context.Context, v *visit) (*ordering.Order, []ordering.Card, error) {
	order, err := p.order(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	cards, err := p.deps.Cards.OfOrder(ctx, order.ID, "buyer", v.requestID())
	return order, cards, err
}

// backToOrder is where a click leads that has nothing to show yet.
func (p *Pages) backToOrder(_ context.Context, v *visit) error {
	http.Redirect(v.w, v.r, v.root+v.r.PathValue("access_token")+v.query(), http.StatusSeeOther)
	return nil
}

//go:embed templates/*.html
var templateFiles embed.FS

var templates = template.Must(template.ParseFS(templateFiles, "templates/*.html"))

// render writes a whole page or none.
func (v *visit) render(status int, name string, data any) error {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, data); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(buf.Bytes()) // the buyer is gone otherwise
	return nil
}

var errForeign = errors.New("console: a form from another site")

// showProblem says in plain words what is wrong. An address that opens nothing and an order that is no more look alike.
func (p *Pages) showProblem(ctx context.Context, v *visit, err error) {
	status, state := http.StatusServiceUnavailable, "unavailable"
	switch {
	case fault.HasCode(err, "access_token_invalid"), fault.HasCode(err, "order_not_found"):
		status, state = http.StatusNotFound, "not_found"
	case errors.Is(err, errForeign):
		status, state = http.StatusForbidden, "foreign"
	default:
		p.deps.Log.ErrorContext(ctx, "a buyer's page", "error", err, "request_id", v.requestID())
	}
	if err := v.render(status, "problem.html", p.problemPage(v, state)); err != nil {
		p.deps.Log.ErrorContext(ctx, "a page that says what is wrong", "error", err)
		v.w.WriteHeader(http.StatusInternalServerError)
	}
}
