package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/inventory"
)

// Product is one thing that is sold.
type Product struct {
	ID         uuid.UUID `json:"id" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"The product's id; events have it as aggregate_id."`
	SKU        string    `json:"sku" example:"game-card-100" doc:"Your name for it. It never changes."`
	Name       string    `json:"name" example:"Game card 100" doc:"What buyers read."`
	Kind       string    `json:"kind" enum:"card,counted" example:"card" doc:"card: each unit is a code, imported and delivered. counted: only the number is kept."`
	Status     string    `json:"status" enum:"active,disabled" example:"active" doc:"A disabled product takes no new orders."`
	Price      money     `json:"price" doc:"Of one unit."`
	OrderTTL   *int32    `json:"order_ttl_seconds" nullable:"true" example:"900" doc:"How long an order with it can be paid; null for the shop's own time."`
	LowStockAt *int64    `json:"low_stock_at" nullable:"true" example:"10" doc:"Stock is low at this many units and below; null for never."`
	Stock      stock     `json:"stock" doc:"Where its units are."`
	CreatedAt  time.Time `json:"created_at" example:"2025-01-02T03:04:05Z" doc:"When it was created."`
	UpdatedAt  time.Time `json:"updated_at" example:"2025-01-02T03:04:05Z" doc:"When it was last changed; its stock does not count."`
}

// stock is where a product's units are. All but what is available is counted only when it is asked for.
type stock struct {
	Available int64  `json:"available" example:"120" doc:"Units that can be ordered now."`
	Reserved  *int64 `json:"reserved,omitempty" example:"4" doc:"Units of orders that are not delivered yet. Only with stock=full."`
	Delivered *int64 `json:"delivered,omitempty" example:"870" doc:"Units that were delivered. Only with stock=full."`
	Disabled  *int64 `json:"disabled,omitempty" example:"2" doc:"Cards that have expired unsold and were taken from the shelf. Only with stock=full."`
	Revoked   *int64 `json:"revoked,omitempty" example:"6" doc:"Cards that were delivered and refunded; they are never sold again. Only with stock=full."`
	Imported  *int64 `json:"imported,omitempty" example:"1000" doc:"Everything that came in, less what was taken out by hand: the sum of the others. Only with stock=full."`
}

// SKUPath is embedded where the path has a {sku}.
type SKUPath struct {
	SKU string `path:"sku" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" example:"game-card-100" doc:"The product's SKU."`
}

func (s *Server) registerProducts() {
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "create-product", Method: http.MethodPost, Path: "/v1/products", Tags: []string{tagProducts},
			DefaultStatus: http.StatusCreated, Summary: "Create a product",
			Description: "It is active and has no stock: import cards or add units next.", Errors: []int{http.StatusConflict},
		},
		Auth: needs(access.ProductsWrite), Faults: []string{"sku_taken", "currency_unknown"},
	}, s.createProduct)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-products", Method: http.MethodGet, Path: "/v1/products", Tags: []string{tagProducts},
			Summary: "List products", Description: "Newest first, with what is available of each.",
		},
		Auth: needs(access.ProductsRead), Faults: []string{"cursor_invalid"},
	}, s.listProducts)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-product", Method: http.MethodGet, Path: "/v1/products/{sku}", Tags: []string{tagProducts},
			Summary: "Get a product",
			Description: "One product with what is available. stock=full also counts what is reserved, delivered, revoked and imported, " +
				"through the product's whole history: a second or so for millions of units, so ask for it where a person reads it.",
			Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.ProductsRead), Faults: []string{"product_not_found"},
	}, s.getProduct)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "update-product", Method: http.MethodPatch, Path: "/v1/products/{sku}", Tags: []string{tagProducts},
			Summary:     "Change a product",
			Description: "Changes what is given and leaves the rest. Orders that exist keep the name and the price they were placed with.",
			Errors:      []int{http.StatusNotFound},
		},
		Auth: needs(access.ProductsWrite), Faults: []string{"product_not_found", "currency_unknown"},
	}, s.updateProduct)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "adjust-stock", Method: http.MethodPost, Path: "/v1/products/{sku}/stock", Tags: []string{tagProducts},
			Summary: "Adjust the stock of a counted product",
			Description: "Adds units, or takes out those that are available where delta is negative. Every adjustment is kept with its reason and " +
				"with who made it. A card product's stock is its cards: import them instead.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.ProductsWrite), Faults: []string{"product_not_found", "product_not_counted", "stock_below_zero", "stock_delta_zero"},
	}, s.adjustStock)
}

// newPrice is a price as a caller sets it.
type newPrice struct {
	Amount   int64  `json:"amount" minimum:"1" maximum:"1000000000000" example:"5000" doc:"In the currency's minor unit: 5000 is 50.00 yuan."`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" example:"CNY" doc:"ISO 4217."`
}

type createProductInput struct {
	Body struct {
		SKU        string   `json:"sku" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" example:"game-card-100" doc:"Your name for it, for good: letters, digits, dots, underscores and hyphens."`
		Name       string   `json:"name" minLength:"1" maxLength:"200" example:"Game card 100" doc:"What buyers read."`
		Kind       string   `json:"kind" enum:"card,counted" example:"card" doc:"card: each unit is a code, imported and delivered. counted: only the number is kept. It never changes."`
		Price      newPrice `json:"price" doc:"Of one unit."`
		OrderTTL   *int32   `json:"order_ttl_seconds,omitempty" minimum:"60" maximum:"604800" example:"900" doc:"How long an order with it can be paid. Default: the shop's own time (--order-ttl)."`
		LowStockAt *int64   `json:"low_stock_at,omitempty" minimum:"0" example:"10" doc:"Stock is low at this many units and below. Default: never."`
	}
}

type productOutput struct{ Body Product }

func (s *Server) createProduct(ctx context.Context, in *createProductInput) (*productOutput, error) {
	return productOf(s.deps.Inventory.Create(ctx, inventory.CreateParams{
		SKU: in.Body.SKU, Name: in.Body.Name, Kind: inventory.Kind(in.Body.Kind),
		Price: inventory.Money(in.Body.Price), LowStockAt: in.Body.LowStockAt, OrderTTL: in.Body.OrderTTL,
	}))
}

type listProductsInput struct{ PageQuery }

type listProductsOutput struct{ Body listBody[Product] }

func (s *Server) listProducts(ctx context.Context, in *listProductsInput) (*listProductsOutput, error) {
	products, next, err := s.deps.Inventory.List(ctx, in.Cursor, in.Limit)
	if err != nil {
		return nil, err
	}
	views := make([]Product, len(products))
	for i, p := range products {
		views[i] = viewProduct(p)
	}
	return &listProductsOutput{list(views, next)}, nil
}

type productInput struct {
	SKUPath

	Stock string `query:"stock" enum:"available,full" default:"available" example:"full" doc:"full: with everything under stock, which is counted for this answer."`
}

func (s *Server) getProduct(ctx context.Context, in *productInput) (*productOutput, error) {
	if in.Stock == "full" {
		return productOf(s.deps.Inventory.GetWithStock(ctx, in.SKU))
	}
	return productOf(s.deps.Inventory.Get(ctx, in.SKU))
}

type updateProductInput struct {
	SKUPath

	Body struct {
		Name       *string      `json:"name,omitempty" minLength:"1" maxLength:"200" example:"Game card 100" doc:"What buyers read."`
		Price      *newPrice    `json:"price,omitempty" doc:"Of one unit, for orders to come."`
		Status     *string      `json:"status,omitempty" enum:"active,disabled" example:"disabled" doc:"A disabled product takes no new orders."`
		OrderTTL   clearableTTL `json:"order_ttl_seconds,omitzero" minimum:"60" maximum:"604800" example:"900" doc:"How long an order with it can be paid; null for the shop's own time."`
		LowStockAt clearable    `json:"low_stock_at,omitzero" minimum:"0" example:"10" doc:"Stock is low at this many units and below; null for never."`
	}
}

// clearable is a number that a patch may set, may take away by null, or may not mention.
type clearable struct {
	sent  bool
	value *int64
}

// UnmarshalJSON notes that it was sent.
func (c *clearable) UnmarshalJSON(data []byte) error {
	c.sent = true
	return json.Unmarshal(data, &c.value)
}

// Schema is what huma asks a type for.
func (clearable) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Nullable: true, Minimum: new(0.0)}
}

// clearableTTL is a clearable of seconds.
type clearableTTL struct {
	sent  bool
	value *int32
}

// UnmarshalJSON notes that it was sent.
func (c *clearableTTL) UnmarshalJSON(data []byte) error {
	c.sent = true
	return json.Unmarshal(data, &c.value)
}

// Schema is what huma asks a type for.
func (clearableTTL) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int32", Nullable: true, Minimum: new(60.0), Maximum: new(604800.0)}
}

func (s *Server) updateProduct(ctx context.Context, in *updateProductInput) (*productOutput, error) {
	patch := inventory.Patch{
		Name: in.Body.Name, Price: (*inventory.Money)(in.Body.Price), Status: (*inventory.Status)(in.Body.Status),
	}
	if in.Body.LowStockAt.sent {
		patch.LowStockAt = &in.Body.LowStockAt.value
	}
	if in.Body.OrderTTL.sent {
		patch.OrderTTL = &in.Body.OrderTTL.value
	}
	return productOf(s.deps.Inventory.Update(ctx, in.SKU, patch))
}

type adjustStockInput struct {
	SKUPath

	Body struct {
		Delta  int64  `json:"delta" minimum:"-1000000000" maximum:"1000000000" example:"100" doc:"Units to add; negative to take out. Not 0."`
		Reason string `json:"reason" minLength:"1" maxLength:"200" example:"Delivery of 2 January" doc:"Why; kept for good."`
	}
}

func (s *Server) adjustStock(ctx context.Context, in *adjustStockInput) (*productOutput, error) {
	return productOf(s.deps.Inventory.AdjustStock(ctx, in.SKU, in.Body.Delta, in.Body.Reason, principalOf(ctx).Actor()))
}

func productOf(p inventory.Product, err error) (*productOutput, error) {
	if err != nil {
		return nil, err
	}
	return &productOutput{viewProduct(p)}, nil
}

func viewProduct(p inventory.Product) Product {
	view := Product{
		ID: p.ID, SKU: p.SKU, Name: p.Name, Kind: string(p.Kind), Status: string(p.Status), Price: p.Price,
		LowStockAt: p.LowStockAt, OrderTTL: p.OrderTTL,
		Stock: stock{Available: p.Available}, CreatedAt: utc(p.CreatedAt), UpdatedAt: utc(p.UpdatedAt),
	}
	if p.Stock != nil {
		view.Stock.Reserved, view.Stock.Delivered = &p.Stock.Reserved, &p.Stock.Delivered
		view.Stock.Revoked, view.Stock.Disabled, view.Stock.Imported = &p.Stock.Revoked, &p.Stock.Disabled, &p.Stock.Imported
	}
	return view
}
