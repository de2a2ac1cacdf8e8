package inventory

import (
	"bytes"
	"io"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vendbox/vendbox/internal/fault"
)

// Format is how a file of cards is written.
type Format string

// The formats.
const (
	// FormatText has one code a line, or between delimiters.
	FormatText Format = "text"
	// FormatCSV has a header that names its columns: serial, pin, expires_at, in any order. A card's code is its
	// serial, a space and its pin; it is the pin alone where the line has no serial, and the serial alone where the
	// file has no column pin.
	FormatCSV Format = "csv"
)

// Reasons why a line is invalid. They say nothing of what is in it.
const (
	reasonTooLong   = "too_long"            // over 4,096 bytes
	reasonNotUTF8   = "not_utf8"            //
	reasonControl   = "control_character"   // anything of Unicode's Cc but a tab
	reasonInvisible = "invisible_character" // of Cf: zero-width spaces, byte order marks, direction marks
	reasonQuotes    = "quotes"              // CSV: a quote that is not closed, or within an unquoted field
	reasonFields    = "fields"              // CSV: not as many fields as the header has
	reasonNoCode    = "code_missing"
	reasonNoPin     = "pin_missing"
	reasonExpiresAt = "expires_at_invalid" // neither RFC 3339 nor a date
	reasonExpired   = "expired"
)

// parsed is a line that may become a card.
type parsed struct {
	line      int64
	code      []byte // its own memory
	expiresAt *time.Time
	reason    string // why it is none
}

// parser gives the lines of a file one by one, without the blank ones.
type parser interface {
	// next returns the next line that is not blank, or io.EOF, or a fault, or what the reader failed with.
	next() (parsed, error)
}

func newParser(format Format, delimiter string, in io.Reader, now time.Time) (parser, error) {
	switch format {
	case FormatText:
		if delimiter == "" {
			delimiter = "\n"
		}
		return &textParser{newRecords(in, delimiter)}, nil
	case FormatCSV:
		if delimiter == "" {
			delimiter = ","
		}
		if len(delimiter) != 1 || !isSeparator(delimiter[0]) {
			return nil, fault.New(fault.Invalid, "import_delimiter_invalid", "format", string(format))
		}
		return &csvParser{records: newRecords(in, "\n"), separator: delimiter[0], now: now}, nil
	default:
		return nil, fault.New(fault.Invalid, "import_format_invalid", "format", string(format))
	}
}

// isSeparator says whether c can stand between the fields of CSV.
func isSeparator(c byte) bool {
	return c == '\t' || c >= '!' && c <= '~' && c != '"'
}

type textParser struct{ records *records }

func (p *textParser) next() (parsed, error) {
	for {
		rec, err := p.records.next()
		if err != nil {
			return parsed{}, err
		}
		text := bytes.TrimSpace(rec.text)
		switch reason := badText(rec, text); {
		case reason != "":
			return parsed{line: rec.number, reason: reason}, nil
		case len(text) > 0:
			return parsed{line: rec.number, code: bytes.Clone(text)}, nil
		}
	}
}

// badText says why a record can be no card, or "".
func badText(rec record, text []byte) string {
	if rec.tooLong {
		return reasonTooLong
	}
	return badCharacters(text)
}

func badCharacters(text []byte) string {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' || c == 0x7f {
				return reasonControl
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return reasonNotUTF8
		case unicode.IsControl(r):
			return reasonControl
		case unicode.Is(unicode.Cf, r):
			return reasonInvisible
		}
		i += size
	}
	return ""
}

// errNoHeader: a CSV file whose first line does not name columns. What it says instead may be a card.
func errNoHeader(line int64) error {
	return fault.New(fault.Invalid, "import_header_invalid", "line", line)
}
