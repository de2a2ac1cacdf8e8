package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpenAPIIsServed(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Deps{})
	yaml := s.do("GET", "/openapi.yaml", "")
	require.Equal(t, http.StatusOK, yaml.StatusCode)
	require.Equal(t, "application/yaml", yaml.Header.Get("Content-Type"))
	made, err := OpenAPI()
	require.NoError(t, err)
	require.Equal(t, string(made), string(yaml.body))

	unchanged := s.do("GET", "/openapi.yaml", "", "If-None-Match", yaml.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, unchanged.StatusCode)
	require.Empty(t, unchanged.body)

	var doc map[string]any
	s.do("GET", "/openapi.json", "").into(http.StatusOK, &doc)
	require.Equal(t, "3.1.0", doc["openapi"])
}

// What a reader of the documentation needs is there for each operation.
func TestEveryOperationIsDescribed(t *testing.T) {
	t.Parallel()
	s := New(Deps{})
	defer s.Close()
	ids := map[string]bool{}
	tags := map[string]bool{}
	for _, tag := range s.api.OpenAPI().Tags {
		tags[tag.Name] = true
	}
	for path, item := range s.api.OpenAPI().Paths {
		for _, op := range operationsOf(item) {
			require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, op.OperationID)
			require.False(t, ids[op.OperationID], "%s twice", op.OperationID)
			ids[op.OperationID] = true
			require.NotRegexp(t, `\.$`, op.Summary, path)
			require.Regexp(t, `\.$`, op.Description, path)
			for _, tag := range op.Tags {
				require.True(t, tags[tag], "%s: tag %s is not declared", path, tag)
			}
			require.NotNil(t, op.Security, path)
			if len(op.Security) > 0 && strings.HasPrefix(path, "/v1/") {
				require.Contains(t, op.Description, "scope", path)
			}
			for _, param := range op.Parameters {
				require.NotEmpty(t, param.Description, "%s: parameter %s", path, param.Name)
			}
		}
	}
	require.Contains(t, ids, "list-events")
	for name, schema := range s.api.OpenAPI().Components.Schemas.Map() {
		for field, property := range schema.Properties {
			require.NotEmpty(t, resolve(s.api.OpenAPI(), property).Description+property.Description, "%s.%s has no doc tag", name, field)
		}
	}
}

func TestDocsAreWholeAndFetchNothing(t *testing.T) {
	t.Parallel()
	s := newTestServer(t, Deps{})
	for path, want := range map[string]string{"/docs": `id="list-events"`, "/docs/problems": `id="outcome_unknown"`} {
		page := s.do("GET", path, "")
		require.Equal(t, http.StatusOK, page.StatusCode)
		require.Contains(t, string(page.body), want)
		require.NotRegexp(t, `(?i)(src|href)="(https?:)?//`, string(page.body))
		require.NotContains(t, string(page.body), "<script")
		require.Contains(t, string(page.body), "</html>")
		require.Contains(t, page.Header.Get("Content-Security-Policy"), "default-src 'none'")
	}
}

func TestOpenAPIHasTheProblem(t *testing.T) {
	t.Parallel()
	s := New(Deps{})
	defer s.Close()
	made, err := s.api.OpenAPI().MarshalJSON()
	require.NoError(t, err)
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]any `json:"content"`
			} `json:"responses"`
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(made, &doc))
	op := doc.Paths["/v1/failed-jobs/{id}/retry"]["post"]
	for _, status := range []string{"400", "401", "403", "404", "409", "413", "415", "422", "500", "503"} {
		require.Contains(t, op.Responses[status].Content, problemContentType, status)
	}
	require.Equal(t, []map[string][]string{{securityScheme: {"failed_jobs:write"}}}, op.Security)
}
