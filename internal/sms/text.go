package sms

import (
	"regexp"
	"slices"
	"strings"

	"github.com/vendbox/vendbox/internal/fault"
)

// The language of templates: text with {{variables}}, nothing else. A variable's value goes in as it is and is not read
// again, so nothing in an order or an event can add a variable, let alone a command.

// text is a template's body, read.
type text []piece

// piece is a run of literal text, or a variable when its name is not empty.
type piece struct{ literal, variable string }

var variableName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// dataVariable is a field of an event's own payload.
var dataVariable = regexp.MustCompile(`^data\.[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// parseText reads a body. It returns the fault "sms_template_invalid" with a reason: "unbalanced_braces" or
// "variable_malformed".
func parseText(body string) (text, error) {
	var out text
	for rest := body; rest != ""; {
		open := strings.Index(rest, "{{")
		before := rest
		if open >= 0 {
			before = rest[:open]
		}
		if strings.Contains(before, "}}") {
			return nil, errTemplate("unbalanced_braces")
		}
		if before != "" {
			out = append(out, piece{literal: before})
		}
		if open < 0 {
			break
		}
		inner, after, found := strings.Cut(rest[open+2:], "}}")
		if !found || strings.ContainsAny(inner, "{}") {
			return nil, errTemplate("unbalanced_braces")
		}
		name := strings.TrimSpace(inner)
		if !variableName.MatchString(name) && !dataVariable.MatchString(name) {
			return nil, errTemplate("variable_malformed", "variable", clip(name, 80))
		}
		out = append(out, piece{variable: name})
		rest = after
	}
	return out, nil
}

// render fills the text. Without a value for one of its variables it returns that variable's name.
func (t text) render(value func(variable string) (string, bool)) (rendered, missing string) {
	var b strings.Builder
	for _, p := range t {
		if p.variable == "" {
			b.WriteString(p.literal)
			continue
		}
		v, ok := value(p.variable)
		if !ok {
			return "", p.variable
		}
		b.WriteString(plain(v))
	}
	return b.String(), ""
}

// maxValue bounds what one variable may add to a text, in characters.
const maxValue = 200

// plain makes a value fit to stand in a message: one line, no control characters, not endless.
func plain(v string) string {
	v = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t', r == '\u2028', r == '\u2029':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, isBidiControl(r):
			return -1
		default:
			return r
		}
	}, v)
	return clip(v, maxValue)
}

// isBidiControl reports the characters that reorder their neighbours and could make a link look like another.
func isBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// clip keeps the first n characters.
func clip(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

func errTemplate(reason string, params ...any) error {
	return fault.New(fault.Invalid, "sms_template_invalid", append([]any{"reason", reason}, params...)...)
}

// checkBody reads a body and refuses variables that its event type does not have.
func checkBody(eventType, body string) (text, error) {
	parsed, err := parseText(body)
	if err != nil {
		return nil, err
	}
	known, data := variablesOf(eventType)
	for _, p := range parsed {
		if p.variable == "" || slices.Contains(known, p.variable) || data && dataVariable.MatchString(p.variable) {
			continue
		}
		if data {
			known = append(slices.Clone(known), "data.<field>")
		}
		return nil, errTemplate("unknown_variable", "variable", p.variable, "known", known)
	}
	return parsed, nil
}
