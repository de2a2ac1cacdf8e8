package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
)

// card is one delivered card, in the clear.
type card struct {
	Line      int        `json:"line" example:"1" doc:"The order's line."`
	Unit      int        `json:"unit" example:"1" doc:"Which unit of the line, from 1."`
	SKU       string     `json:"sku" example:"game-card-100" doc:"The line's SKU."`
	Code      string     `json:"code" example:"ABCD-EFGH-IJKL" doc:"The card's code."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" example:"2027-01-01T00:00:00Z" doc:"Until when the card is good."`
}

func (s *Server) registerCards() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-order-cards", Method: http.MethodGet, Path: "/v1/orders/{id}/cards", Tags: []string{tagOrders},
			Summary: "Get an order's cards",
			Description: "The codes of the cards that were delivered; data is empty until then. For an API key with the scope, or for the " +
				"buyer with the order's access token (in the header Vendbox-Access-Token or as access_token). Every look is recorded.",
			Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
		},
		Auth:   optionally(access.CardsRead),
		Faults: []string{"order_not_found", "access_token_invalid", "api_key_missing"},
	}, s.getCards)
}

type getCardsInput struct {
	UUIDPath

	TokenHeader string `header:"Vendbox-Access-Token" maxLength:"200" doc:"The order's access token."`
	TokenQuery  string `query:"access_token" maxLength:"200" doc:"The same, for a link."`
}

type getCardsOutput struct{ Body listBody[card] }

func (s *Server) getCards(ctx context.Context, in *getCardsInput) (*getCardsOutput, error) {
	actor, err := s.cardReader(ctx, in)
	if err != nil {
		return nil, err
	}
	cards, err := s.deps.Cards.OfOrder(ctx, in.ID, actor, requestIDOf(ctx))
	if err != nil {
		return nil, err
	}
	views := make([]card, len(cards))
	for i, c := range cards {
		views[i] = card{Line: c.Line, Unit: c.Unit, SKU: c.SKU, Code: c.Code, ExpiresAt: utcPtr(c.ExpiresAt)}
	}
	return &getCardsOutput{list(views, "")}, nil
}

// cardReader says who asks: a key, or the buyer by the order's own token.
func (s *Server) cardReader(ctx context.Context, in *getCardsInput) (string, error) {
	if principal := principalOf(ctx); principal != nil {
		return principal.Actor(), nil
	}
	return "buyer", s.checkOrderToken(ctx, in.ID, tokenOf(in.TokenHeader, in.TokenQuery))
}

// tokenOf is an order's access token, from the header or, where there is none, from the query.
func tokenOf(header, query string) string {
	if header != "" {
		return header
	}
	return query
}

// checkOrderToken wants the order's own token. Faults: api_key_missing when there is none, access_token_invalid.
func (s *Server) checkOrderToken(ctx context.Context, id uuid.UUID, token string) error {
	if token == "" {
		return fault.New(fault.Unauthenticated, "api_key_missing")
	}
	orderID, err := s.deps.Vault.OrderOfToken(ctx, token)
	if err == nil && orderID != id {
		err = fault.New(fault.Unauthenticated, "access_token_invalid")
	}
	return err
}
