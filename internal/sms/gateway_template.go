package sms

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// slots is a string of a gateway's description, read once: literal text and placeholders in turn. Filling it never reads
// a value again, so neither a message nor a secret can add a placeholder.
type slots []slot

type slot struct{ literal, placeholder string }

var (
	placeholder  = regexp.MustCompile(`\$\{[^{}]*\}|\{[^{}]*\}`)
	envName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	placeholders = []string{"to", "to_digits", "text", "ref", "signature", "template_ref"}
)

// reader reads the strings of a description and gathers what is wrong with them.
type reader struct {
	getenv   func(string) (string, bool)
	problems []string
}

func (r *reader) sayf(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// read splits s. where names it in problems; allowed are the placeholders that may stand in it.
func (r *reader) read(where, s string, allowed ...string) slots {
	var out slots
	last := 0
	for _, at := range placeholder.FindAllStringIndex(s, -1) {
		out = append(out, slot{literal: s[last:at[0]]})
		last = at[1]
		found := s[at[0]:at[1]]
		if env, ok := strings.CutPrefix(found, "${"); ok {
			out = append(out, slot{literal: r.env(where, strings.TrimSuffix(env, "}"))})
			continue
		}
		name := strings.Trim(found, "{}")
		if !slices.Contains(allowed, name) {
			r.sayf("%s: unknown placeholder {%s}; known here: %s", where, clip(name, 40), strings.Join(allowed, ", "))
		}
		out = append(out, slot{placeholder: name})
	}
	return append(out, slot{literal: s[last:]})
}

func (r *reader) env(where, name string) string {
	if !envName.MatchString(name) {
		r.sayf("%s: ${%s} is no name of an environment variable", where, clip(name, 40))
		return ""
	}
	value, ok := r.getenv(name)
	if !ok || value == "" {
		r.sayf("%s: the environment variable %s is not set", where, name)
	}
	return value
}

// fill joins the slots; escape is applied to what the placeholders stand for.
func (s slots) fill(values map[string]string, escape func(string) string) string {
	var b strings.Builder
	for _, part := range s {
		if part.placeholder == "" {
			b.WriteString(part.literal)
			continue
		}
		b.WriteString(escape(values[part.placeholder]))
	}
	return b.String()
}

func (s slots) uses(name string) bool {
	return slices.ContainsFunc(s, func(part slot) bool { return part.placeholder == name })
}

func asIs(s string) string { return s }

// query is a URL's parameters in the order they were written.
type query []parameter

type parameter struct {
	name  string
	value slots
}

// query reads the parameters of a raw query. Only values are templates.
func (r *reader) query(raw string) query {
	var out query
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		plainName, err1 := url.QueryUnescape(name)
		plainValue, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			r.sayf("url: the query is not escaped properly")
			continue
		}
		if placeholder.MatchString(plainName) {
			r.sayf("url: a placeholder cannot be a parameter's name")
		}
		out = append(out, parameter{plainName, r.read("url", plainValue, placeholders...)})
	}
	return out
}

func (q query) fill(values map[string]string) string {
	pairs := make([]string, len(q))
	for i, p := range q {
		pairs[i] = url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value.fill(values, asIs))
	}
	return strings.Join(pairs, "&")
}

// body makes a request's body from a message's values.
type body func(values map[string]string) ([]byte, error)

// form reads a body of format form: an object of strings.
func (r *reader) form(raw json.RawMessage) (body, []slots) {
	var fields map[string]string
	if err := json.Unmarshal(raw, &fields); err != nil || len(fields) == 0 {
		r.sayf("body: an object of strings, as body_format is form")
		return nil, nil
	}
	var params query
	var read []slots
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value := r.read("body."+name, fields[name], placeholders...)
		params = append(params, parameter{name, value})
		read = append(read, value)
	}
	return func(values map[string]string) ([]byte, error) { return []byte(params.fill(values)), nil }, read
}

// json reads a body of format json: any value, whose strings are templates.
func (r *reader) json(raw json.RawMessage) (body, []slots) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // 10-digit account numbers stay what they are
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		r.sayf("body: a JSON value, as body_format is json")
		return nil, nil
	}
	var read []slots
	tree = r.jsonNode("body", tree, &read)
	return func(values map[string]string) ([]byte, error) { return marshalPlain(fillNode(tree, values)) }, read
}

func (r *reader) jsonNode(where string, node any, read *[]slots) any {
	switch node := node.(type) {
	case string:
		s := r.read(where, node, placeholders...)
		*read = append(*read, s)
		return s
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			node[name] = r.jsonNode(where+"."+name, node[name], read)
		}
	case []any:
		for i := range node {
			node[i] = r.jsonNode(fmt.Sprintf("%s[%d]", where, i), node[i], read)
		}
	}
	return node
}

func fillNode(node any, values map[string]string) any {
	switch node := node.(type) {
	case slots:
		return node.fill(values, asIs)
	case map[string]any:
		filled := make(map[string]any, len(node))
		for name, child := range node {
			filled[name] = fillNode(child, values)
		}
		return filled
	case []any:
		filled := make([]any, len(node))
		for i, child := range node {
			filled[i] = fillNode(child, values)
		}
		return filled
	default:
		return node
	}
}

// marshalPlain leaves <, > and & as they are: not every gateway's JSON reader knows \u003c.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("sms gateway: body: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
