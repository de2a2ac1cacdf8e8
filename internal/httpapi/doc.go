// Package httpapi is the HTTP door: huma operations on the standard mux, one file per resource. Everything a caller
// sees of HTTP is decided here, once; the rooms behind it know nothing of it.
//
//	exchange → route → API key and scope → strict JSON → schema → handler → answer, or fault → problem document
//
// # Adding a resource
//
// One file, named for the resource, which holds its routes, its views and nothing else (events.go and failed_jobs.go
// are examples). Five steps:
//
//  1. Deps gets a field for the room's service (deps.go). It may be nil while routes are registered, because the
//     documentation is made without a database: use it when a request comes.
//  2. The file has a register method with one handle call per operation, as below, and routes.go one line that calls it.
//     DefaultStatus is http.StatusCreated where it creates, MaxBodyBytes is set where 1 MiB is wrong, Class is upload or
//     stream where 20 s are not enough. handle panics when something is missing.
//  3. A handler is a method func(ctx, *in) (*out, error). Its input has fields with path, query and header tags, and
//     Body; its output has Body. A view (the JSON of one thing) is a struct with the thing's name, which becomes the
//     schema's. Every field has json, doc and example tags and its bounds as huma's validation tags (minLength, maximum,
//     enum, pattern, format …); a field is required unless it is omitempty. Ids in paths embed UUIDPath; lists embed
//     PageQuery and answer with list(views, next); money is money; times go through utc.
//     An embedded struct must be an exported type, since huma does not see others.
//  4. Errors go back as they come from the room. A *fault.Error becomes a problem document with the status of its kind;
//     pgdb.ErrCommitUnknown and a deadline become 503 outcome_unknown; anything else is logged in full and becomes a 500
//     that says nothing. Each fault code has its words, English and Chinese, as one line of catalogue.json ({name} stands
//     for the fault's parameter of that name); TestCatalogueIsComplete lists those that lack them.
//  5. Tests go through the door: newTestServer(t, Deps{…}) and its do method (server_test.go).
//
// An operation:
//
//	handle(s, operation{
//		Operation: huma.Operation{
//			OperationID: "get-widget", Method: http.MethodGet, Path: "/v1/widgets/{id}", Tags: []string{tagWidgets},
//			Summary:     "Get a widget",             // a few words
//			Description: "One widget, with its …",   // sentences: what it does, when to use it
//			Errors:      []int{http.StatusNotFound}, // its own; the common ones are added
//		},
//		Auth:   needs(access.WidgetsRead),    // or optionally(scope), or public()
//		Faults: []string{"widget_not_found"}, // its own codes, for the documentation
//	}, s.getWidget)
//
// In a handler, principalOf(ctx) is who calls (principal.Actor() for records), telemetry.Traceparent(ctx) the trace,
// requestLanguage(ctx) the caller's language, requireScope(ctx, scope) for a use that needs more than the route's scope.
// Writes of a hot path go through a groupcommit.Group made in the register method and ended by s.onClose.
//
// # What is not JSON
//
// handleHTTP registers a plain http.HandlerFunc with the same description, authentication, limits and log: for streamed
// uploads (Class upload: read r.Body, already bounded by MaxBodyBytes), server-sent events and WebSockets (Class stream:
// http.NewResponseController(w).Flush works, and so does hijacking; stop when r.Context() ends, which is also when the
// server stops), and for callbacks whose bodies are a provider's. It describes its Parameters, RequestBody and Responses
// by itself and writes errors with s.fail(w, r, err).
//
// # Speed
//
// A request without a database costs about as much as net/http itself; BenchmarkDoor holds the figures. Per request the
// door allocates one exchange, which is at once the ResponseWriter and the context, and shares everything else: header
// values, metric attributes, JSON buffers, principals. Keep it so: no second middleware.
package httpapi
