package httpapi

import (
	"github.com/danielgtaylor/huma/v2"
)

// The tags, in the order the documentation shows them.
const (
	tagProducts   = "Products"
	tagOrders     = "Orders"
	tagPayments   = "Payments"
	tagEvents     = "Events"
	tagWebhooks   = "Webhooks"
	tagSMS        = "SMS"
	tagFailedJobs = "Failed jobs"
	tagOperations = "Operations"
)

// OpenAPI is the description of the API as YAML. It needs no database.
func OpenAPI() ([]byte, error) {
	s := New(Deps{})
	defer s.Close()
	return s.api.OpenAPI().YAML()
}

func description(deps Deps) huma.Config {
	url := deps.PublicURL
	if url == "" {
		url = "/"
	}
	format := jsonFormat()
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "vendbox",
				Version: deps.Version,
				Description: "Orders, card keys and a transactional outbox on one Postgres.\n\n" +
					"Amounts are integers in the currency's minor unit. Times are RFC 3339 in UTC. Lists have `data` and `next_cursor`, " +
					"which is null on the last page. Errors are RFC 9457 problem documents: decide by `code`; the words follow " +
					"Accept-Language (English or Chinese). Unknown fields, unknown query parameters and names in another case are refused.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: url}},
			Tags: []*huma.Tag{
				{Name: tagProducts, Description: "What is for sale, its stock and its cards."},
				{Name: tagOrders, Description: "Placing orders and following them to delivery."},
				{Name: tagPayments, Description: "Starting payments; what payment providers call back."},
				{Name: tagEvents, Description: "The outbox: what happened, in the order it was committed."},
				{Name: tagWebhooks, Description: "Endpoints that are told of events, and what was delivered to them."},
				{Name: tagSMS, Description: "Text messages and their templates."},
				{Name: tagFailedJobs, Description: "Work that failed for good and waits for a person."},
				{Name: tagOperations, Description: "Health."},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					securityScheme: { //nolint:gosec // G101: what a key looks like is no key
						Type: "http", Scheme: "bearer", BearerFormat: "vb_<prefix>_<secret>",
						Description: "An API key, made with `vendbox apikey create`. Each operation names the scope it needs.",
					},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat: "application/json",
	}
}
