package inventory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/vendbox/vendbox/internal/fault"
)

var testNow = time.Date(2030, time.June, 1, 12, 0, 0, 0, time.UTC)

// read is what a file parses to, one string a line: "number code [expiry]" or "number !reason".
func read(t *testing.T, format Format, delimiter, file string) []string {
	t.Helper()
	lines, err := readAll(format, delimiter, strings.NewReader(file))
	require.NoError(t, err)
	return lines
}

func readAll(format Format, delimiter string, in io.Reader) ([]string, error) {
	p, err := newParser(format, delimiter, in, testNow)
	if err != nil {
		return nil, err
	}
	lines := []string{}
	for {
		line, err := p.next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		text := string(rune('0'+line.line%10)) + " " + string(line.code)
		if line.reason != "" {
			text += "!" + line.reason
		}
		if line.expiresAt != nil {
			text += " until " + line.expiresAt.Format(time.RFC3339)
		}
		lines = append(lines, text)
	}
}

func TestTextParser(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxRecord)
	for name, test := range map[string]struct {
		delimiter, file string
		want            []string
	}{
		"empty":              {"", "", []string{}},
		"only a mark":        {"", "\uFEFF", []string{}},
		"lines":              {"", "AAA\nBBB\n", []string{"1 AAA", "2 BBB"}},
		"no last line end":   {"", "AAA\nBBB", []string{"1 AAA", "2 BBB"}},
		"CR LF and a mark":   {"", "\uFEFFAAA\r\nBBB\r\n", []string{"1 AAA", "2 BBB"}},
		"blank lines count":  {"", "\n \t\r\nAAA\n\n\nBBB\n\n", []string{"3 AAA", "6 BBB"}},
		"spaces around":      {"", "  AAA \t\n\u3000BBB\n", []string{"1 AAA", "2 BBB"}},
		"inner tab":          {"", "user\tpassword\n", []string{"1 user\tpassword"}},
		"Chinese":            {"", "卡号：一二三\n", []string{"1 卡号：一二三"}},
		"longest":            {"", long + "\n", []string{"1 " + long}},
		"too long":           {"", long + "x\nAAA", []string{"1 !too_long", "2 AAA"}},
		"far too long":       {"", strings.Repeat(long, 40) + "\nAAA", []string{"1 !too_long", "2 AAA"}},
		"too long at end":    {"", "AAA\n" + long + "x", []string{"1 AAA", "2 !too_long"}},
		"long blank":         {"", strings.Repeat(" ", 9000) + "\nAAA", []string{"1 !too_long", "2 AAA"}},
		"not UTF-8":          {"", "A\xffB\nBBB", []string{"1 !not_utf8", "2 BBB"}},
		"replacement itself": {"", "A\uFFFDB\n", []string{"1 A\uFFFDB"}},
		"NUL":                {"", "A\x00B\nBBB", []string{"1 !control_character", "2 BBB"}},
		"old Mac":            {"", "AAA\rBBB\r", []string{"1 !control_character"}},
		"C1 control":         {"", "A\u0090B\n", []string{"1 !control_character"}},
		"zero-width space":   {"", "A\u200BB\n\uFEFFBBB\n", []string{"1 !invisible_character", "2 !invisible_character"}},
		"delimiter":          {";", "AAA;BBB; ;CCC\n;\n", []string{"1 AAA", "2 BBB", "4 CCC"}},
		"long delimiter":     {"----", "AAA----B-B---BB----CCC", []string{"1 AAA", "2 B-B---BB", "3 CCC"}},
		"delimiter in parts": {"ab", "xaab" + long + "aabyab", []string{"1 xa", "2 !too_long", "3 y"}},
		"line in a record":   {";", "AAA\nBBB;CCC", []string{"1 !control_character", "2 CCC"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, read(t, FormatText, test.delimiter, test.file))
			slow, err := readAll(FormatText, test.delimiter, iotest.OneByteReader(strings.NewReader(test.file)))
			require.NoError(t, err)
			require.Equal(t, test.want, slow)
		})
	}
}

func TestCSVParser(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		separator, file string
		want            []string
	}{
		"empty":           {"", "", []string{}},
		"header only":     {"", "serial,pin,expires_at\n", []string{}},
		"all columns":     {"", "serial,pin,expires_at\nS1,P1,2031-01-02T03:04:05+08:00\n", []string{"2 S1 P1 until 2031-01-01T19:04:05Z"}},
		"any order":       {"", "expires_at,pin,serial\n,P1,S1\n2031-01-02,P2,S2\n", []string{"2 S1 P1", "3 S2 P2 until 2031-01-02T23:59:59Z"}},
		"pin only":        {"", "pin\nP1\n", []string{"2 P1"}},
		"serial only":     {"", "serial\nS1\n", []string{"2 S1"}},
		"serial may lack": {"", "serial,pin\n,P1\n", []string{"2 P1"}},
		"pin may not":     {"", "serial,pin\nS1,\n,\n", []string{"2 !pin_missing", "3 !code_missing"}},
		"mark and CR LF":  {"", "\uFEFFPIN , Serial\r\nP1,S1\r\n\r\nP2,S2\r\n", []string{"2 S1 P1", "4 S2 P2"}},
		"blank before":    {"", "\n\npin\nP1", []string{"4 P1"}},
		"quoted":          {"", "pin\n\"a,\"\"b\"\"\"\n\"\"\n", []string{"2 a,\"b\"", "3 !code_missing"}},
		"quotes":          {"", "pin\n\"a\na\"b\n\"a\"b\nc\n", []string{"2 !quotes", "3 !quotes", "4 !quotes", "5 c"}},
		"fields":          {"", "serial,pin\nS1\nS1,P1,x\nS2,P2\n", []string{"2 !fields", "3 !fields", "4 S2 P2"}},
		"expiry": {"", "pin,expires_at\na,soon\nb,2030-13-01\nc,2030-05-31\nd,2030-06-01\n", []string{
			"2 !expires_at_invalid", "3 !expires_at_invalid", "4 !expired", "5 d until 2030-06-01T23:59:59Z",
		}},
		"after year 9999":   {"", "pin,expires_at\na,9999-12-31T23:59:59-23:59\n", []string{"2 !expires_at_invalid"}},
		"expired an hour":   {"", "pin,expires_at\na,2030-06-01T11:00:00Z\n", []string{"2 !expired"}},
		"bad characters":    {"", "pin\na\x00\n\xff\nb\u200d\n", []string{"2 !control_character", "3 !not_utf8", "4 !invisible_character"}},
		"another separator": {";", "serial;pin\nS1;P,1\n", []string{"2 S1 P,1"}},
		"tabs":              {"\t", "serial\tpin\nS1\tP1\n", []string{"2 S1 P1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, read(t, FormatCSV, test.separator, test.file))
		})
	}
}

func TestCSVHeaderRefused(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		"SECRET-1", "SECRET-1,SECRET-2", "expires_at", "pin,pin", "pin,SECRET", "\"pin", "pin;serial",
		"pin" + strings.Repeat(" ", maxRecord),
	} {
		_, err := readAll(FormatCSV, "", strings.NewReader("\n"+header+"\nP1,S1\n"))
		require.True(t, fault.HasCode(err, "import_header_invalid"), "%q: %v", header, err)
		require.NotContains(t, err.Error(), "SECRET", "what is no header may be a card")
		f, _ := fault.As(err)
		require.Equal(t, map[string]any{"line": int64(2)}, f.Params)
	}
}

func TestParserRefused(t *testing.T) {
	t.Parallel()
	for _, separator := range []string{",,", "\"", "\n", "\r", "\x00", "é", " "} {
		_, err := readAll(FormatCSV, separator, strings.NewReader("pin\n"))
		require.True(t, fault.HasCode(err, "import_delimiter_invalid"), "%q: %v", separator, err)
	}
	_, err := readAll("xlsx", "", strings.NewReader(""))
	require.True(t, fault.HasCode(err, "import_format_invalid"), "%v", err)
}

func TestParserPassesReadErrorsOn(t *testing.T) {
	t.Parallel()
	for _, format := range []Format{FormatText, FormatCSV} {
		lines, err := readAll(format, "", io.MultiReader(strings.NewReader("pin\nAA\nBB"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.NotContains(t, lines, "3 BB", "the rest of that line may be missing")
	}
}

func TestCSVRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.StringMatching(`[ -~é一]{0,12}`)
		fields := rapid.SliceOfN(field, 1, 5).Draw(t, "fields")
		var line bytes.Buffer
		w := csv.NewWriter(&line)
		require.NoError(t, w.Write(fields))
		w.Flush()
		got, reason := splitCSV(nil, bytes.TrimSuffix(line.Bytes(), []byte("\n")), ',')
		require.Empty(t, reason)
		texts := make([]string, len(got))
		for i := range got {
			texts[i] = string(got[i])
		}
		require.Equal(t, fields, texts)
	})
}

// FuzzSplitCSV holds the splitter against the standard library's, for what is one line.
func FuzzSplitCSV(f *testing.F) {
	for _, seed := range []string{"a,b", `"a,""b",c`, `"a`, `a"b`, `"a"b`, ",", `""`, `"",`, "é,\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" || strings.ContainsAny(line, "\r\n") {
			t.Skip()
		}
		want, err := csv.NewReader(strings.NewReader(line)).Read()
		got, reason := splitCSV(nil, []byte(line), ',')
		if err != nil {
			require.NotEmpty(t, reason, err)
			return
		}
		require.Empty(t, reason)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i], string(got[i]))
		}
	})
}

// FuzzParsers holds what every card must be, whatever the file.
func FuzzParsers(f *testing.F) {
	f.Add("AAA\r\nBBB\n\n", "", false)
	f.Add("AAA--BBB--", "--", false)
	f.Add("\uFEFFserial,pin,expires_at\nS,P,2031-01-01\n", ",", true)
	f.Add("pin\n\"a\n", "", true)
	f.Fuzz(func(t *testing.T, file, delimiter string, isCSV bool) {
		format := FormatText
		if isCSV {
			format = FormatCSV
		}
		p, err := newParser(format, delimiter, strings.NewReader(file), testNow)
		if err != nil {
			return
		}
		last := int64(0)
		for {
			line, err := p.next()
			if err != nil {
				require.True(t, errors.Is(err, io.EOF) || fault.HasCode(err, "import_header_invalid"), "%v", err)
				return
			}
			require.Greater(t, line.line, last)
			last = line.line
			if line.reason != "" {
				require.Empty(t, line.code, "an invalid line keeps nothing of its text")
				require.NotContains(t, line.reason, " ")
				continue
			}
			require.NotEmpty(t, line.code)
			require.LessOrEqual(t, len(line.code), maxRecord)
			require.True(t, utf8.Valid(line.code))
			require.Equal(t, string(bytes.TrimSpace(line.code)), string(line.code))
			require.NotContains(t, string(line.code), "\n")
			require.True(t, line.expiresAt == nil || line.expiresAt.After(testNow))
		}
	})
}
