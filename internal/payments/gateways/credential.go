package gateways

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Credential is a key or a secret of the file: its value, {"env":"NAME"} or {"file":"PATH"}. It is not printed: not by fmt
// with any verb, not in a log, not as JSON. It is kept in a closure, so that reflection finds no text either.
type Credential struct{ reveal func() (string, error) }

var errNoCredential = errors.New("is missing")

// value gives it; the error is fit to be shown.
func (c Credential) value() (string, error) {
	if c.reveal == nil {
		return "", errNoCredential
	}
	text, err := c.reveal()
	if err == nil && text == "" {
		err = errors.New("is empty")
	}
	return text, err
}

// Format keeps every verb from the value.
func (c Credential) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, redacted) }

// LogValue keeps the log from the value.
func (c Credential) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps JSON from the value.
func (c Credential) MarshalText() ([]byte, error) { return []byte(redacted), nil }

const redacted = "[redacted]"

// readCredential decodes one. What cannot be read is found when it is asked for, with all other problems.
func readCredential(getenv func(string) (string, bool)) func(*jsontext.Decoder, *Credential) error {
	return func(decoder *jsontext.Decoder, c *Credential) error {
		if decoder.PeekKind() == '"' {
			var text string
			if err := json.UnmarshalDecode(decoder, &text); err != nil {
				return errors.New("not a string") // the decoder's error could quote it
			}
			c.reveal = func() (string, error) { return text, nil }
			return nil
		}
		var from struct {
			Env  string `json:"env"`
			File string `json:"file"`
		}
		err := json.UnmarshalDecode(decoder, &from, json.RejectUnknownMembers(true))
		if err != nil || (from.Env == "") == (from.File == "") {
			return errors.New(`want "value", {"env":"NAME"} or {"file":"PATH"}`)
		}
		c.reveal = func() (string, error) {
			if from.Env != "" {
				text, ok := getenv(from.Env)
				if !ok {
					return "", fmt.Errorf("the environment has no %s", from.Env)
				}
				return text, nil
			}
			text, err := os.ReadFile(from.File)
			return strings.TrimSpace(string(text)), err
		}
		return nil
	}
}
