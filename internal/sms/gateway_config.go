package sms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// GatewayConfig describes an HTTP SMS gateway. It is read from JSON by ParseGateway.
//
// In the values of headers, in the strings of body and in the query of url,
//
//	{to} {to_digits} {text} {ref} {signature} {template_ref}   are replaced by the message's own (headers: {ref} only)
//	${NAME}                                                    by the environment variable, once, at start
//
// each escaped for where it stands. Printed, it shows neither header values nor anything of the body.
type GatewayConfig struct {
	Name          string            `json:"name"`            // default "gateway"
	Method        string            `json:"method"`          // POST (default) or GET
	URL           string            `json:"url"`             // http or https
	Headers       map[string]string `json:"headers"`         //
	BodyFormat    string            `json:"body_format"`     // form or json; none for GET
	Body          json.RawMessage   `json:"body"`            // form: an object of strings; json: any value
	Signature     string            `json:"signature"`       // the value of {signature}
	Success       GatewaySuccess    `json:"success"`         //
	MessageIDPath string            `json:"message_id_path"` // gjson path of the gateway's id in its JSON answer
	ErrorCodePath string            `json:"error_code_path"` // gjson path of its error code
	Codes         GatewayCodes      `json:"codes"`           //
	Timeout       Duration          `json:"timeout"`         // default 10 s, at most 60 s
}

// GatewaySuccess says which answer means that the gateway has taken the message over. All that is given must hold.
type GatewaySuccess struct {
	Status  [2]int `json:"status"`  // first and last HTTP status; default 200 to 299
	Path    string `json:"path"`    // gjson path into a JSON answer
	Equals  string `json:"equals"`  // what stands there, as text
	Matches string `json:"matches"` // RE2 expression; without path it is tried on the whole answer
}

// GatewayCodes sorts error codes: those at ErrorCodePath, and HTTP statuses such as "502". A code in no list is final,
// a status follows what HTTP says about it.
type GatewayCodes struct {
	Temporary []string `json:"temporary"`
	Throttled []string `json:"throttled"`
	Final     []string `json:"final"`
	Unknown   []string `json:"unknown"`
}

// Duration is a time.Duration that JSON writes as "10s".
type Duration time.Duration

// UnmarshalJSON reads "10s".
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a duration is a string such as %q", "10s")
	}
	parsed, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("a duration is a string such as %q", "10s")
	}
	*d = Duration(parsed)
	return nil
}

const (
	defaultGatewayTimeout = 10 * time.Second
	maxGatewayTimeout     = 60 * time.Second
)

// ParseGateway reads a gateway's description; getenv is os.LookupEnv outside tests. The error lists every problem,
// one a line.
func ParseGateway(data []byte, getenv func(string) (string, bool)) (*Gateway, error) {
	var cfg GatewayConfig
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&cfg); err != nil {
		return nil, fmt.Errorf("sms gateway: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("sms gateway: something follows the JSON object")
	}
	return NewGateway(cfg, getenv)
}

func (c GatewayConfig) withDefaults() GatewayConfig {
	if c.Name == "" {
		c.Name = "gateway"
	}
	if c.Method == "" {
		c.Method = http.MethodPost
	}
	if c.Success.Status == [2]int{} {
		c.Success.Status = [2]int{200, 299}
	}
	if c.Timeout == 0 {
		c.Timeout = Duration(defaultGatewayTimeout)
	}
	return c
}

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// problems checks what needs no compiling.
func (c GatewayConfig) problems() []string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if !providerName.MatchString(c.Name) {
		say("name: letters a-z, digits, - and _, at most 32")
	}
	if c.Method != http.MethodPost && c.Method != http.MethodGet {
		say("method: POST or GET")
	}
	switch {
	case c.Method == http.MethodGet && (c.BodyFormat != "" || len(c.Body) > 0):
		say("body: GET has none; put the message into the query of url")
	case c.Method == http.MethodPost && c.BodyFormat != "form" && c.BodyFormat != "json":
		say("body_format: form or json")
	}
	if s := c.Success.Status; s[0] < 100 || s[1] > 599 || s[0] > s[1] {
		say("success.status: [first, last] within 100 to 599")
	}
	if c.Success.Path != "" && (c.Success.Equals == "") == (c.Success.Matches == "") {
		say("success.path: needs one of success.equals and success.matches")
	}
	if c.Success.Path == "" && c.Success.Equals != "" {
		say("success.equals: needs success.path")
	}
	if c.Timeout <= 0 || time.Duration(c.Timeout) > maxGatewayTimeout {
		say("timeout: more than 0s, at most %s", maxGatewayTimeout)
	}
	return append(list, c.Codes.problems()...)
}

func (c GatewayCodes) problems() []string {
	var list, seen []string
	for _, code := range slices.Concat(c.Temporary, c.Throttled, c.Final, c.Unknown) {
		if slices.Contains(seen, code) {
			list = append(list, fmt.Sprintf("codes: %q stands in more than one place", code))
		}
		seen = append(seen, code)
	}
	return list
}

// Format prints the redacted form for every verb, %+v and %#v included.
func (c GatewayConfig) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.redacted()) }

// LogValue gives the redacted form.
func (c GatewayConfig) LogValue() slog.Value { return slog.StringValue(c.redacted()) }

// MarshalJSON gives the redacted form, as a string.
func (c GatewayConfig) MarshalJSON() ([]byte, error) { return json.Marshal(c.redacted()) }

func (c GatewayConfig) redacted() string {
	where := "(unreadable url)"
	if u, err := url.Parse(c.URL); err == nil {
		where = u.Scheme + "://" + u.Host + u.Path
	}
	names := make([]string, 0, len(c.Headers))
	for name := range c.Headers {
		names = append(names, name+"=[redacted]")
	}
	slices.Sort(names)
	return fmt.Sprintf("%s %s %s headers{%s} body=[redacted] timeout=%s",
		c.Name, c.Method, where, strings.Join(names, " "), time.Duration(c.Timeout))
}
