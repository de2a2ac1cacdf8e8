package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/vendbox/vendbox/internal/access"
)

// operation is a route: huma's description of it and what the door has to know besides. doc.go says how to make one.
type operation struct {
	huma.Operation

	// Auth says who may call it: needs(scope), optionally(scope) or public(). It must be said.
	Auth auth
	// Class says how long it may take. Default quick.
	Class class
	// Faults are the codes it answers with besides those that every operation has. They go into its description.
	Faults []string
}

// class is how long a request may take.
type class int

const (
	// quick has a deadline of quickTimeout on its context and on reading and writing.
	quick class = iota
	// upload may read its body for as long as bytes keep coming, up to uploadTimeout.
	upload
	// stream has no limit: it writes until its client or the server goes away.
	stream
)

const (
	// quickTimeout leaves room for one group commit's 15 s.
	quickTimeout  = 20 * time.Second
	uploadTimeout = time.Hour
)

// auth is who may call an operation.
type auth struct {
	scope    access.Scope
	required bool
	said     bool
}

// needs asks for an API key that has the scope.
func needs(scope access.Scope) auth { return auth{scope: scope, required: true, said: true} }

// optionally lets requests without a key through to the handler, which has another way to know them (principalOf is
// nil then). A key that is sent must be valid and have the scope.
func optionally(scope access.Scope) auth { return auth{scope: scope, said: true} }

// public asks for nothing.
func public() auth { return auth{said: true} }

const securityScheme = "apiKey"

func (a auth) security() []map[string][]string {
	switch {
	case a.required:
		return []map[string][]string{{securityScheme: {string(a.scope)}}}
	case a.scope != "":
		return []map[string][]string{{}, {securityScheme: {string(a.scope)}}}
	}
	return []map[string][]string{}
}

// operationKey finds the operation in huma's metadata.
const operationKey = "vendbox.operation"

const (
	defaultMaxBody   = 1 << 20
	defaultMaxUpload = 512 << 20
)

// handle registers an operation. fn gets a request that has passed authentication and validation; an error it returns
// is translated in one place, problemOf. handle panics when the description is not complete, which every test that
// makes a Server would see.
func handle[I, O any](s *Server, op operation, fn func(context.Context, *I) (*O, error)) {
	s.complete(&op)
	refuseHidden(reflect.TypeFor[I]())
	refuseHidden(reflect.TypeFor[O]())
	described := op.Operation
	described.MaxBodyBytes++                 // huma refuses a body that reaches the limit
	described.BodyReadTimeout = quickTimeout // replaces huma's 5 s
	described.RejectUnknownQueryParameters = true
	huma.Register(s.api, described, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, noted(ctx, err)
		}
		return out, nil
	})
}

// refuseHidden panics when a struct embeds an unexported one: huma would leave out its fields without a word.
func refuseHidden(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[operation]().PkgPath() && t.Name() != "" {
		return
	}
	for field := range t.Fields() {
		if field.Anonymous && !field.IsExported() {
			panic(fmt.Sprintf("httpapi: %s embeds %s, which huma does not see: export the type", t, field.Type))
		}
		if field.IsExported() && field.Type != t {
			refuseHidden(field.Type)
		}
	}
}

// handleHTTP registers an operation whose handler is plain net/http, for what huma does not do: a body that is not JSON,
// an answer that goes on. The description names parameters, body and responses by itself; fail writes errors.
func handleHTTP(s *Server, op operation, fn http.HandlerFunc) {
	s.complete(&op)
	if op.Responses == nil {
		panic("httpapi: " + op.OperationID + ": handleHTTP needs Responses")
	}
	s.describeErrors(&op.Operation)
	s.api.OpenAPI().AddOperation(&op.Operation)
	adapter{s}.Handle(&op.Operation, func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, op.MaxBodyBytes)
		fn(w, r)
	})
}

// describeErrors is what huma does for the operations it registers itself.
func (s *Server) describeErrors(op *huma.Operation) {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for _, status := range append(op.Errors, http.StatusInternalServerError) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: http.StatusText(status),
			Content:     map[string]*huma.MediaType{problemContentType: {Schema: schema}},
		}
	}
}

// complete fills in what follows from the rest, and refuses a description with holes.
func (s *Server) complete(op *operation) {
	for name, missing := range map[string]bool{
		"OperationID": op.OperationID == "", "Method": op.Method == "", "Path": op.Path == "",
		"Summary": op.Summary == "", "Description": op.Description == "", "Tags": len(op.Tags) == 0, "Auth": !op.Auth.said,
	} {
		if missing {
			panic(fmt.Sprintf("httpapi: %s %s %s: %s is missing", op.OperationID, op.Method, op.Path, name))
		}
	}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = s.deps.MaxBody
		if op.Class == upload {
			op.MaxBodyBytes = s.deps.MaxUpload
		}
	}
	op.Security = op.Auth.security()
	if op.Auth.required {
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
		op.Description += "\n\nNeeds the scope `" + string(op.Auth.scope) + "`."
	}
	op.Errors = append(op.Errors, http.StatusServiceUnavailable)
	if op.Method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if len(op.Faults) > 0 {
		for _, code := range op.Faults {
			if _, ok := catalogue()[code]; !ok {
				panic("httpapi: " + op.OperationID + ": catalogue.json has no " + code)
			}
		}
		op.Description += "\n\nError codes: `" + strings.Join(op.Faults, "`, `") + "`."
	}
	if op.Metadata == nil {
		op.Metadata = map[string]any{}
	}
	kept := *op
	op.Metadata[operationKey] = &kept
}
