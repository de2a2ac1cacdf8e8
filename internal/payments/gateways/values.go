package gateways

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// beijing is the time that Chinese gateways write without a zone.
var beijing = time.FixedZone("UTC+8", 8*60*60)

const beijingLayout = "2006-01-02 15:04:05"

// tradeNo is a payment's id as gateways take it: 32 characters at most, letters and digits.
func tradeNo(id uuid.UUID) string { return hex.EncodeToString(id[:]) }

// paymentOf reads it back. uuid.Nil: it is not one of ours, such as another system's of the same merchant.
func paymentOf(tradeNo string) uuid.UUID {
	var id uuid.UUID
	if raw, err := hex.DecodeString(tradeNo); err != nil || len(raw) != len(id) || strings.ToLower(tradeNo) != tradeNo {
		return uuid.Nil
	} else { //nolint:revive // raw belongs to the condition
		copy(id[:], raw)
	}
	return id
}

var yuanPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?$`)

// parseYuan reads "88.8" as 8880 fen, exactly.
func parseYuan(text string) (fen int64, ok bool) {
	parts := yuanPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, false
	}
	fen, err := strconv.ParseInt(parts[1]+(parts[2] + "00")[:2], 10, 64)
	return fen, err == nil
}

// formatYuan writes 8880 fen as "88.80".
func formatYuan(fen int64) string { return fmt.Sprintf("%d.%02d", fen/100, fen%100) }

var errForm = errors.New("not a form in which every name stands once")

const maxFormFields = 100

// parseForm reads a form or a query strictly: every part is name=value, no name stands twice.
func parseForm(text string) (map[string]string, error) {
	form := map[string]string{}
	for part := range strings.SplitSeq(text, "&") {
		rawName, rawValue, ok := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(rawValue)
		if !ok || err1 != nil || err2 != nil || name == "" || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errForm
		}
		if _, twice := form[name]; twice || len(form) == maxFormFields {
			return nil, errForm
		}
		form[name] = value
	}
	return form, nil
}

// signedForm is what Alipay and epay sign: name=value in the order of the names, without the signature itself.
func signedForm(form map[string]string, keep func(name, value string) bool) string {
	names := make([]string, 0, len(form))
	for name, value := range form {
		if keep(name, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = name + "=" + form[name]
	}
	return strings.Join(names, "&")
}

// decode reads JSON in which no name stands twice, or in another case. Members that are not asked for are passed over:
// gateways add some at any time.
func decode(text []byte, into any) error { return json.Unmarshal(text, into) }

// scalar is a JSON string or number as text: gateways of one protocol write 1 and "1". Nothing else will do.
type scalar string

// UnmarshalJSONFrom reads it without a float in between.
func (s *scalar) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	value, err := decoder.ReadValue()
	if err != nil {
		return err
	}
	switch value.Kind() {
	case '"':
		var text string
		err = json.Unmarshal(value, &text)
		*s = scalar(text)
	case '0':
		*s = scalar(value)
	case 'n':
		*s = ""
	default:
		err = errors.New("neither a string nor a number")
	}
	return err
}
