package httpapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// What is written is what a reader of the struct tags expects of encoding/json, but for empty lists.
func TestWriting(t *testing.T) {
	t.Parallel()
	type inner struct {
		X int `json:"x"`
	}
	v := struct {
		ID     uuid.UUID         `json:"id"`
		At     time.Time         `json:"at"`
		None   *time.Time        `json:"none"`
		Gone   *time.Time        `json:"gone,omitempty"`
		Zero   int               `json:"zero,omitempty"`
		False  bool              `json:"false,omitempty"`
		Empty  inner             `json:"empty"`
		List   []inner           `json:"list"`
		Map    map[string]string `json:"map"`
		HTML   string            `json:"html"`
		Raw    json.RawMessage   `json:"raw"`
		Object jsonObject        `json:"object"`
		Bytes  []byte            `json:"bytes"`
		Hidden string            `json:"-"`
	}{
		ID: uuid.Max, At: time.Date(2025, 1, 2, 3, 4, 5, 6000, time.UTC), HTML: "<&>库", Raw: json.RawMessage(`{"b": 1,  "a": 1.50}`),
		Object: jsonObject{json.RawMessage(`{"n":12345678901234567890}`)}, Bytes: []byte("x"),
	}
	var out bytes.Buffer
	require.NoError(t, marshalJSON(&out, &v))
	//nolint:testifylint // the order and the spelling are the point
	require.Equal(t, `{"id":"ffffffff-ffff-ffff-ffff-ffffffffffff","at":"2025-01-02T03:04:05.000006Z",`+
		`"none":null,"empty":{"x":0},"list":[],"map":{},`+
		`"html":"<&>库","raw":{"b":1,"a":1.50},"object":{"n":12345678901234567890},"bytes":"eA=="}`, out.String())
}

func TestScan(t *testing.T) {
	t.Parallel()
	for body, code := range map[string]string{
		`{"a":"\u0000"}`:                        codeJSONNul,
		`{"a":1e31}`:                            codeJSONNumber,
		`{"a":[0,-1.5E-16000]}`:                 codeJSONNumber,
		`{"a":` + strings.Repeat("9", 41) + `}`: codeJSONNumber,
		`{"\u0000":1}`:                          codeJSONNul,
		`{"a":"\\u0000"}`:                       "",
		`{"a":"\\\u0000"}`:                      codeJSONNul,
		`{"a":"u0000"}`:                         "",
		`"\`:                                    "",
		strings.Repeat("[", 64):                 "",
		strings.Repeat("[", 65):                 codeJSONTooDeep,
		`"` + strings.Repeat("[", 65) + `"`:     "",
		`["\"` + strings.Repeat("[", 65) + `"]`: "",
		strings.Repeat("[]", 65):                "",
	} {
		require.Equal(t, code, scan([]byte(body)), body)
	}
}

// Whatever is accepted is JSON to everybody else as well, and means the same to both of huma's readings.
func FuzzReading(f *testing.F) {
	for _, seed := range []string{
		goodThing, `{"name":"a","count":1,"count":2}`, `{"Name":"a"}`, `{"name":"\ud800"}`, `{"name":"a\u0000"}`,
		`[[[]]]`, "{} {}", "\xff", `{"a":1e999}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var loose any
		if err := unmarshalJSON(body, &loose); err != nil {
			if _, ok := parseBodyError(err.Error()); !ok {
				t.Fatalf("an error that shows the parser's words: %v", err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatalf("accepted %q", body)
		}
		var one thing
		if err := unmarshalJSON(body, &one); err != nil {
			return
		}
		object, ok := loose.(map[string]any)
		if !ok {
			return // null
		}
		for name := range object {
			if name != "name" && name != "count" && name != "inner" && name != "free" {
				t.Fatalf("the struct took %q", name)
			}
		}
		if name, ok := object["name"].(string); ok && name != one.Name {
			t.Fatalf("%q and %q", name, one.Name)
		}
	})
}
