package httpapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
)

// The documentation is made from the description when somebody first asks for it, and is HTML alone: no script, nothing
// fetched from elsewhere.
//
//go:embed docs.html
var docsHTML string

const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *Server) registerDocs() {
	s.serveDocument("/openapi.yaml", "application/yaml", s.api.OpenAPI().YAML)
	s.serveDocument("/openapi.json", "application/json", func() ([]byte, error) { return s.api.OpenAPI().MarshalJSON() })
	s.serveDocument("/docs", "text/html; charset=utf-8", func() ([]byte, error) { return s.render("operations") })
	s.serveDocument("/docs/problems", "text/html; charset=utf-8", func() ([]byte, error) { return s.render("problems") })
}

// serveDocument serves what render gives, made once, with an ETag. These routes are no operations: they describe them.
func (s *Server) serveDocument(path, contentType string, render func() ([]byte, error)) {
	type document struct {
		body []byte
		etag string
	}
	made := sync.OnceValues(func() (document, error) {
		body, err := render()
		sum := sha256.Sum256(body)
		return document{body, `"` + hex.EncodeToString(sum[:8]) + `"`}, err
	})
	s.Mount("GET "+path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		doc, err := made()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", doc.etag)
		h.Set("Content-Security-Policy", docsPolicy)
		if r.Header.Get("If-None-Match") == doc.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(doc.body) // the client is gone
	}))
}

// docsPage is what the template is given.
type docsPage struct {
	Title       string
	Version     string
	Description string
	Sections    []docsSection
	Problems    []docsProblem
}

type docsSection struct {
	Name, Description string
	Operations        []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Description               []string // paragraphs
	Parameters                []*huma.Param
	Body, Answer              []docsField
	Status                    string
	Errors                    []string
}

type docsProblem struct {
	entry

	Code string
}

func (s *Server) render(name string) ([]byte, error) {
	page, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	api := s.api.OpenAPI()
	data := docsPage{Title: api.Info.Title, Version: api.Info.Version, Description: api.Info.Description}
	for _, code := range slices.Sorted(maps.Keys(catalogue())) {
		data.Problems = append(data.Problems, docsProblem{catalogue()[code], code})
	}
	for _, tag := range api.Tags {
		section := docsSection{Name: tag.Name, Description: tag.Description}
		for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
			for _, op := range operationsOf(api.Paths[path]) {
				if slices.Contains(op.Tags, tag.Name) {
					section.Operations = append(section.Operations, describe(api, op))
				}
			}
		}
		if len(section.Operations) > 0 {
			data.Sections = append(data.Sections, section)
		}
	}
	var out bytes.Buffer
	err = page.ExecuteTemplate(&out, name, data)
	return out.Bytes(), err
}

func operationsOf(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

func describe(api *huma.OpenAPI, op *huma.Operation) docsOperation {
	d := docsOperation{
		ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary,
		Description: strings.Split(op.Description, "\n\n"), Parameters: op.Parameters,
	}
	if op.RequestBody != nil {
		d.Body = fieldsOf(api, op.RequestBody.Content["application/json"])
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if status < "300" {
			d.Status = status
			d.Answer = fieldsOf(api, op.Responses[status].Content["application/json"])
		} else {
			d.Errors = append(d.Errors, status)
		}
	}
	return d
}

// docsField is one line of a body: a field, indented by its depth.
type docsField struct {
	Name, Type, Description, Example string
	Depth                            int
	Required                         bool
}

func fieldsOf(api *huma.OpenAPI, media *huma.MediaType) []docsField {
	if media == nil || media.Schema == nil {
		return nil
	}
	return appendFields(api, nil, media.Schema, 0, map[*huma.Schema]bool{})
}

func appendFields(api *huma.OpenAPI, fields []docsField, schema *huma.Schema, depth int, seen map[*huma.Schema]bool) []docsField {
	schema = resolve(api, schema)
	for schema.Items != nil {
		schema = resolve(api, schema.Items)
	}
	if seen[schema] {
		return fields
	}
	seen[schema] = true
	defer delete(seen, schema)
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		inner := resolve(api, property)
		field := docsField{
			Name: name, Depth: depth, Required: slices.Contains(schema.Required, name), Type: typeOf(api, inner),
			Description: cmp.Or(property.Description, inner.Description),
		}
		if len(property.Examples) > 0 {
			if example, err := json.Marshal(property.Examples[0]); err == nil {
				field.Example = string(example)
			}
		}
		fields = appendFields(api, append(fields, field), inner, depth+1, seen)
	}
	return fields
}

func resolve(api *huma.OpenAPI, schema *huma.Schema) *huma.Schema {
	for schema.Ref != "" {
		schema = api.Components.Schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

func typeOf(api *huma.OpenAPI, schema *huma.Schema) string {
	switch {
	case schema.Type == huma.TypeArray && schema.Items != nil:
		return "array of " + typeOf(api, resolve(api, schema.Items))
	case schema.Format != "":
		return schema.Type + " (" + schema.Format + ")"
	case schema.Type == "":
		return "any"
	}
	return schema.Type
}
