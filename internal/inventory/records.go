package inventory

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxRecord bounds a line, in bytes without its end.
const maxRecord = 4096

var byteOrderMark = []byte("\uFEFF")

// records splits a stream at a delimiter in bounded memory, however long its lines are.
type records struct {
	in        *bufio.Reader
	delimiter []byte
	number    int64
	buf       []byte
}

// record is one line as it came. It is valid until the next.
type record struct {
	number  int64 // from 1, as an editor counts; with another delimiter, the record's
	text    []byte
	tooLong bool // the text is not all of it
}

func newRecords(in io.Reader, delimiter string) *records {
	const readAhead = 64 << 10
	return &records{in: bufio.NewReaderSize(in, readAhead), delimiter: []byte(delimiter)}
}

// next returns the next record, or io.EOF after the last. The delimiter's absence at the end makes no difference.
func (r *records) next() (record, error) {
	r.buf = r.buf[:0]
	var tooLong bool
	last := r.delimiter[len(r.delimiter)-1]
	for {
		fragment, err := r.in.ReadSlice(last)
		r.buf = append(r.buf, fragment...)
		if err == nil && bytes.HasSuffix(r.buf, r.delimiter) {
			r.buf = r.buf[:len(r.buf)-len(r.delimiter)]
			break
		}
		if errors.Is(err, io.EOF) {
			if len(r.buf) == 0 && !tooLong {
				return record{}, io.EOF
			}
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return record{}, err
		}
		if len(r.buf) > maxRecord+len(r.delimiter) {
			tooLong = true
			// Only what a delimiter may begin with is still of interest.
			r.buf = append(r.buf[:0], r.buf[len(r.buf)-len(r.delimiter)+1:]...)
		}
	}
	r.number++
	if r.number == 1 {
		r.buf = bytes.TrimPrefix(r.buf, byteOrderMark)
	}
	return record{number: r.number, text: r.buf, tooLong: tooLong || len(r.buf) > maxRecord}, nil
}
