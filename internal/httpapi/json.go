package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// maxDepth bounds the nesting of a request's JSON. Nothing of ours is deeper than 6; metadata and event data are the
// caller's.
const maxDepth = 64

// jsonFormat is how bodies are read and written. Reading is strict (RFC 8259 and I-JSON, RFC 7493): a name twice in one
// object, invalid UTF-8, names in another case and anything after the value are refused. Unknown fields are refused by
// the schema's validation, which runs on the first of huma's two readings.
func jsonFormat() huma.Format {
	return huma.Format{Marshal: marshalJSON, Unmarshal: unmarshalJSON}
}

var (
	// omitempty leaves out what encoding/json leaves out: a zero number, too.
	writeOptions = json.JoinOptions(jsonv1.OmitEmptyWithLegacySemantics(true), json.Deterministic(true))
	readOptions  = json.JoinOptions(json.RejectUnknownMembers(true))
	buffers      = sync.Pool{New: func() any { return new(bytes.Buffer) }}
)

// maxPooled keeps one large answer from staying in memory for good.
const maxPooled = 64 << 10

// marshalJSON writes in one call, so that net/http knows the length of what fits its buffer.
func marshalJSON(w io.Writer, v any) error {
	buf := buffers.Get().(*bytes.Buffer) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	if err := json.MarshalWrite(buf, v, writeOptions); err != nil {
		return err
	}
	_, err := w.Write(buf.Bytes())
	return err
}

func unmarshalJSON(data []byte, v any) error {
	if code := scan(data); code != "" {
		return bodyError{code: code}
	}
	if err := json.Unmarshal(data, v, readOptions); err != nil {
		return explainJSON(err)
	}
	return nil
}

// scan looks for what the parser allows and we do not: deep nesting; the character U+0000, which no text in Postgres can
// hold; and numbers that jsonb, which writes exponents out, would make thousands of digits of. It counts brackets outside
// of strings, and may be wrong about what is no JSON; the parser refuses that.
func scan(data []byte) string {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
			if bytes.HasPrefix(data[min(i, len(data)):], []byte("u0000")) {
				return codeJSONNul
			}
		case c == '"':
			inString = !inString
		case inString:
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(data) && bytes.IndexByte(numberBytes, data[end]) >= 0 {
				end++
			}
			if !plainNumber(data[i:end]) {
				return codeJSONNumber
			}
			i = end - 1
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return codeJSONTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return ""
}

var numberBytes = []byte("0123456789+-.eE")

const (
	maxNumberLength = 40
	maxExponent     = 30
)

// plainNumber says whether a number is about as long written out as it is here.
func plainNumber(number []byte) bool {
	if len(number) > maxNumberLength {
		return false
	}
	at := bytes.IndexAny(number, "eE")
	if at < 0 {
		return true
	}
	exponent, err := strconv.Atoi(string(number[at+1:]))
	return err != nil || exponent >= -maxExponent && exponent <= maxExponent // what is no number is the parser's to refuse
}

// bodyError is why a body was not read: a fault code, and where. huma keeps of it no more than its text, from which
// parseBodyError makes it again.
type bodyError struct {
	code    string
	pointer string // RFC 6901
}

const bodyErrorMark = "vendbox\x00"

func (e bodyError) Error() string { return bodyErrorMark + e.code + "\x00" + e.pointer }

func parseBodyError(text string) (bodyError, bool) {
	rest, ok := strings.CutPrefix(text, bodyErrorMark)
	if !ok {
		return bodyError{}, false
	}
	code, pointer, _ := strings.Cut(rest, "\x00")
	return bodyError{code: code, pointer: pointer}, true
}

const (
	codeJSONMalformed = "json_malformed"
	codeJSONNul       = "json_nul"
	codeJSONNumber    = "json_number"
	codeJSONTooDeep   = "json_too_deep"
	codeJSONDuplicate = "json_duplicate_field"
	codeJSONValue     = "json_value"
)

// explainJSON keeps where it went wrong and drops the parser's words, which quote the body.
func explainJSON(err error) error {
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		code := codeJSONMalformed
		if errors.Is(syntactic, jsontext.ErrDuplicateName) {
			code = codeJSONDuplicate
		}
		return bodyError{code: code, pointer: string(syntactic.JSONPointer)}
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		return bodyError{code: codeJSONValue, pointer: string(semantic.JSONPointer)}
	}
	return fmt.Errorf("read JSON: %w", err)
}
