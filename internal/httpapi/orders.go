package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/fault"
	"github.com/vendbox/vendbox/internal/ordering"
	"github.com/vendbox/vendbox/internal/telemetry"
)

// NewOrder is an order as a caller asks for it. What is embedded has to be exported for huma to see it.
type NewOrder struct {
	Items     []newOrderItem `json:"items" minItems:"1" maxItems:"100" doc:"What to buy, at most 10,000 units in all. One SKU may stand on several lines."`
	Contact   newContact     `json:"contact,omitzero" doc:"How to reach the buyer. Kept encrypted."`
	Locale    string         `json:"locale,omitempty" enum:"en,zh" example:"zh" doc:"Language of messages to the buyer. Default: the request's Accept-Language."`
	ClientIP  string         `json:"client_ip,omitempty" format:"ip" maxLength:"45" example:"203.0.113.7" doc:"The buyer's address on the network, for the risk rules. Kept as a keyed fingerprint only, and never shown."`
	ExpiresIn int            `json:"expires_in,omitempty" minimum:"60" maximum:"604800" example:"900" doc:"Seconds that the order can be paid. Default: the least of its products' order_ttl_seconds, or the shop's own time."`
	Metadata  *jsonObject    `json:"metadata,omitempty" doc:"Your own data, up to 16 KiB; answers and webhooks repeat it."`
}

type newOrderItem struct {
	SKU       string `json:"sku" minLength:"1" maxLength:"64" example:"game-card-100" doc:"The product's SKU."`
	Quantity  int    `json:"quantity" minimum:"1" maximum:"1000" example:"1" doc:"How many units."`
	UnitPrice *money `json:"unit_price,omitempty" doc:"What the buyer was shown for one unit. If the price is another by now, the order is refused with price_changed."`
}

type newContact struct {
	Phone string `json:"phone,omitempty" maxLength:"32" example:"+8613800138000" doc:"Telephone number, best with its country code."`
	Email string `json:"email,omitempty" maxLength:"254" example:"buyer@example.com" doc:"E-mail address."`
}

// Order is an order as it stands.
type Order ordering.View

// PlacedOrder is an order with the buyer's way to it.
type PlacedOrder struct {
	Order

	AccessToken string `json:"access_token" example:"AZxfbnwae2CaVB8Oiis8Tf4k2bS0C3xgkW4" doc:"Shows this order's cards to whoever has it. Give it to the buyer and to nobody else."`
}

const maxMetadata = 16 << 10

func (s *Server) registerOrders() {
	placing := []string{
		"product_not_found", "product_disabled", "out_of_stock", "order_units_out_of_range", "price_changed", "currency_mixed",
		"idempotency_key_reused",
		"phone_invalid", "email_invalid", "client_ip_invalid", "metadata_too_large", "order_not_storable", "order_refused",
	}
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", Tags: []string{tagOrders},
			DefaultStatus: http.StatusCreated, Summary: "Place an order",
			Description: "Takes the stock of all lines or of none. The order can be paid until expires_at. Send an Idempotency-Key: repeated " +
				"with the same body it gets the same order and the same answer, however often and however many at a time.",
			Errors: []int{http.StatusNotFound, http.StatusConflict},
		},
		Auth: needs(access.OrdersWrite), Faults: placing,
	}, s.placeOrder)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "place-orders", Method: http.MethodPost, Path: "/v1/orders/batch", Tags: []string{tagOrders},
			Summary: "Place many orders",
			Description: "Up to 500 orders in one request. Each is placed or refused by itself: data has one result per member, in order, with " +
				"the status and the body it would have got alone.",
			MaxBodyBytes: maxBatchBody,
		},
		Auth: needs(access.OrdersWrite), Faults: placing,
	}, s.placeOrders)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "list-orders", Method: http.MethodGet, Path: "/v1/orders", Tags: []string{tagOrders},
			Summary: "Search orders",
			Description: "Newest first. All conditions can be combined, and an order has to match each. One call looks at 10,000 orders at " +
				"most, so a page of a rare combination (the canceled orders of a product that sells well) may be short or empty though there " +
				"is a next_cursor: go on until it is null.",
		},
		Auth: needs(access.OrdersRead), Faults: []string{"cursor_invalid", "phone_invalid"},
	}, s.listOrders)
	handle(s, operation{
		Operation: huma.Operation{
			OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{id}", Tags: []string{tagOrders},
			Summary: "Get an order", Description: "One order as it stands.", Errors: []int{http.StatusNotFound},
		},
		Auth: needs(access.OrdersRead), Faults: []string{"order_not_found"},
	}, s.getOrder)
}

type placeOrderInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"255" example:"cart-1001" doc:"A key of yours for this order, any text. It is good for as long as the order is kept."`
	AcceptLanguage string `header:"Accept-Language" hidden:"true"`
	Body           NewOrder
}

type placeOrderOutput struct {
	Replayed string `header:"Idempotent-Replayed" doc:"true when an earlier request with this Idempotency-Key placed the order."`
	Body     PlacedOrder
}

func (s *Server) placeOrder(ctx context.Context, in *placeOrderInput) (*placeOrderOutput, error) {
	request, err := in.Body.request()
	if err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	caller.IdempotencyKey = in.IdempotencyKey
	placed, err := s.deps.Orders.Place(ctx, request, caller)
	if err != nil {
		return nil, err
	}
	out := &placeOrderOutput{Body: s.viewPlaced(&placed)}
	if placed.Replayed {
		out.Replayed = "true"
	}
	return out, nil
}

func callerOf(ctx context.Context) ordering.Caller {
	return ordering.Caller{
		APIKeyID: principalOf(ctx).KeyID, Traceparent: telemetry.Traceparent(ctx), Locale: requestLanguage(ctx).String(),
	}
}

func (s *Server) viewPlaced(placed *ordering.Placed) PlacedOrder {
	return PlacedOrder{Order(placed.Order.ViewAsPlaced()), s.deps.Vault.OrderToken(placed.Order.ID)}
}

// request makes the room's form. What the body's buffer holds is copied: the buffer goes back to its pool.
func (o *NewOrder) request() (ordering.Request, error) {
	r := ordering.Request{
		Lines: make([]ordering.Line, len(o.Items)), Phone: o.Contact.Phone, Email: o.Contact.Email, Locale: o.Locale,
		ClientIP: o.ClientIP, ExpiresIn: time.Duration(o.ExpiresIn) * time.Second,
	}
	if o.Metadata != nil {
		if len(o.Metadata.RawMessage) > maxMetadata {
			return r, fault.New(fault.TooLarge, "metadata_too_large", "limit", maxMetadata)
		}
		r.Metadata = bytes.Clone(o.Metadata.RawMessage)
	}
	for i, item := range o.Items {
		r.Lines[i] = ordering.Line{SKU: item.SKU, Quantity: item.Quantity, Price: item.UnitPrice}
	}
	return r, nil
}

const maxBatchBody = 16 << 20

// batchMember is one order of a batch.
type batchMember struct {
	NewOrder

	IdempotencyKey string `json:"idempotency_key,omitempty" maxLength:"255" example:"cart-1001" doc:"As the header Idempotency-Key of a single order."`
}

// batchResult is what became of one member.
type batchResult struct {
	Status int          `json:"status" example:"201" doc:"The HTTP status it would have got alone."`
	Order  *PlacedOrder `json:"order,omitempty" doc:"The order, when it was placed."`
	Error  *Problem     `json:"error,omitempty" doc:"The problem, when it was refused."`
}

type placeOrdersInput struct {
	Body struct {
		Orders []batchMember `json:"orders" minItems:"1" maxItems:"500" doc:"The orders."`
	}
}

type placeOrdersOutput struct {
	Body struct {
		Data []batchResult `json:"data" doc:"One result per member, in order."`
	}
}

func (s *Server) placeOrders(ctx context.Context, in *placeOrdersInput) (*placeOrdersOutput, error) {
	members := in.Body.Orders
	out := &placeOrdersOutput{}
	out.Body.Data = make([]batchResult, len(members))
	var requests []ordering.Request
	var keys []string
	var positions []int
	for i := range members {
		request, err := members[i].request()
		if err != nil {
			out.Body.Data[i] = refused(ctx, err)
			continue
		}
		requests, keys, positions = append(requests, request), append(keys, members[i].IdempotencyKey), append(positions, i)
	}
	for i, result := range s.deps.Orders.PlaceMany(ctx, requests, keys, callerOf(ctx)) {
		if result.Err != nil {
			out.Body.Data[positions[i]] = refused(ctx, result.Err)
			continue
		}
		order := s.viewPlaced(&result.Value)
		out.Body.Data[positions[i]] = batchResult{Status: http.StatusCreated, Order: &order}
	}
	return out, nil
}

func refused(ctx context.Context, err error) batchResult {
	problem := noted(ctx, err)
	return batchResult{Status: problem.Status, Error: problem}
}

type listOrdersInput struct {
	PageQuery

	Status     string    `query:"status" enum:"pending_payment,on_hold,processing,completed,canceled,expired" example:"on_hold" doc:"Only orders of this status."`
	Contact    string    `query:"contact" maxLength:"254" example:"+8613800138000" doc:"Only orders of this telephone number or e-mail address."`
	Number     string    `query:"number" maxLength:"32" example:"261121-7K3M9XQ2WD" doc:"Only the order of this number, in upper or lower case."`
	SKU        string    `query:"sku" maxLength:"64" example:"game-card-100" doc:"Only orders with this product on one of their lines."`
	Payment    string    `query:"payment" maxLength:"255" example:"0193b4a1-7c1e-7cc3-a4ab-6cf4a1f0b3d2" doc:"Only the order of this payment: its id, or the event id of one of its notices."`
	PlacedFrom time.Time `query:"placed_from" example:"2025-01-02T00:00:00Z" doc:"Only orders that were placed then or later."`
	PlacedTo   time.Time `query:"placed_to" example:"2025-01-03T00:00:00Z" doc:"Only orders that were placed before."`
}

type listOrdersOutput struct{ Body listBody[Order] }

func (s *Server) listOrders(ctx context.Context, in *listOrdersInput) (*listOrdersOutput, error) {
	orders, next, err := s.deps.Orders.List(ctx, ordering.ListParams{
		Number: in.Number, Payment: in.Payment, SKU: in.SKU, Status: in.Status, PlacedFrom: in.PlacedFrom, PlacedTo: in.PlacedTo,
		Cursor: in.Cursor, Limit: in.Limit,
	}, in.Contact)
	if err != nil {
		return nil, err
	}
	views := make([]Order, len(orders))
	for i, order := range orders {
		views[i] = Order(order.View())
	}
	return &listOrdersOutput{list(views, next)}, nil
}

type orderOutput struct{ Body Order }

func (s *Server) getOrder(ctx context.Context, in *UUIDPath) (*orderOutput, error) {
	order, err := s.deps.Orders.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &orderOutput{Order(order.View())}, nil
}
