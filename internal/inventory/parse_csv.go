package inventory

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// The columns of a CSV file, as its header spells them in any case.
const (
	columnSerial    = "serial"
	columnPin       = "pin"
	columnExpiresAt = "expires_at"
)

// csvParser reads RFC 4180, but one line at a time: a card code has no line end within, and a quote that somebody
// forgot to close costs one line and not the rest of the file.
type csvParser struct {
	records   *records
	separator byte
	now       time.Time
	columns   []string // nil before the header
	fields    [][]byte
}

func (p *csvParser) next() (parsed, error) {
	for {
		rec, err := p.records.next()
		if err != nil {
			return parsed{}, err
		}
		text := bytes.TrimRight(rec.text, "\r")
		if len(bytes.TrimSpace(text)) == 0 && !rec.tooLong {
			continue
		}
		if p.columns == nil {
			if p.columns = p.header(rec, text); p.columns == nil {
				return parsed{}, errNoHeader(rec.number)
			}
			continue
		}
		return p.line(rec, text), nil
	}
}

// header gives the names of the columns, or nil where the line is no header.
func (p *csvParser) header(rec record, text []byte) []string {
	fields, reason := splitCSV(nil, text, p.separator)
	if rec.tooLong || reason != "" {
		return nil
	}
	var columns []string
	for _, field := range fields {
		name := strings.ToLower(string(bytes.TrimSpace(field)))
		if !slices.Contains([]string{columnSerial, columnPin, columnExpiresAt}, name) || slices.Contains(columns, name) {
			return nil
		}
		columns = append(columns, name)
	}
	if !slices.Contains(columns, columnPin) && !slices.Contains(columns, columnSerial) {
		return nil
	}
	return columns
}

func (p *csvParser) line(rec record, text []byte) parsed {
	bad := func(reason string) parsed { return parsed{line: rec.number, reason: reason} }
	if reason := badText(rec, text); reason != "" {
		return bad(reason)
	}
	var reason string
	if p.fields, reason = splitCSV(p.fields[:0], text, p.separator); reason != "" {
		return bad(reason)
	}
	if len(p.fields) != len(p.columns) {
		return bad(reasonFields)
	}
	var serial, pin, expires []byte
	for i, column := range p.columns {
		field := bytes.TrimSpace(p.fields[i])
		switch column {
		case columnSerial:
			serial = field
		case columnPin:
			pin = field
		case columnExpiresAt:
			expires = field
		}
	}
	if len(serial)+len(pin) == 0 {
		return bad(reasonNoCode)
	}
	if len(pin) == 0 && slices.Contains(p.columns, columnPin) {
		return bad(reasonNoPin)
	}
	expiresAt, reason := parseExpiry(string(expires), p.now)
	if reason != "" {
		return bad(reason)
	}
	return parsed{line: rec.number, code: joinCode(serial, pin), expiresAt: expiresAt}
}

// joinCode makes a card's code of its two parts, in memory of its own.
func joinCode(serial, pin []byte) []byte {
	code := make([]byte, 0, len(serial)+1+len(pin))
	code = append(code, serial...)
	if len(serial) > 0 && len(pin) > 0 {
		code = append(code, ' ')
	}
	return append(code, pin...)
}

// parseExpiry reads a time (RFC 3339) or a date, which is good until its last second in UTC. A card that has expired
// could never be sold, so its line is invalid.
func parseExpiry(text string, now time.Time) (*time.Time, string) {
	if text == "" {
		return nil, ""
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if at, err = time.Parse(time.DateOnly, text); err != nil {
			return nil, reasonExpiresAt
		}
		at = at.AddDate(0, 0, 1).Add(-time.Second)
	}
	at = at.UTC()
	if at.Year() > 9999 { // no RFC 3339 any more, so nobody could be told
		return nil, reasonExpiresAt
	}
	if !at.After(now) {
		return nil, reasonExpired
	}
	return &at, ""
}

// splitCSV appends the fields of one line to fields. They may point into line.
func splitCSV(fields [][]byte, line []byte, separator byte) ([][]byte, string) {
	for {
		if len(line) == 0 || line[0] != '"' {
			field, rest, more := bytes.Cut(line, []byte{separator})
			if bytes.IndexByte(field, '"') >= 0 {
				return nil, reasonQuotes
			}
			fields = append(fields, field)
			if !more {
				return fields, ""
			}
			line = rest
			continue
		}
		field, rest, ok := quotedField(line[1:])
		if !ok || len(rest) > 0 && rest[0] != separator {
			return nil, reasonQuotes
		}
		fields = append(fields, field)
		if len(rest) == 0 {
			return fields, ""
		}
		line = rest[1:]
	}
}

// quotedField reads up to the closing quote; a doubled quote is one.
func quotedField(text []byte) (field, rest []byte, ok bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if i+1 == len(text) || text[i+1] != '"' {
			return bytes.ReplaceAll(text[:i], []byte(`""`), []byte(`"`)), text[i+1:], true
		}
		i++
	}
	return nil, nil, false
}
