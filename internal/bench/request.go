package bench

import (
	"fmt"
	"net/url"
	"strconv"
)

// door is where the requests go.
type door struct {
	address string // host:port
	host    string
	apiKey  string
}

func newDoor(baseURL, apiKey string) (door, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return door{}, fmt.Errorf("bench: base URL %q: want http://host:port", baseURL)
	}
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	return door{address: address, host: u.Host, apiKey: apiKey}, nil
}

// post appends a whole request to buf. headers are complete lines, each with its CR LF.
func (d door) post(buf []byte, path, headers string, body []byte) []byte {
	buf = append(buf, "POST "...)
	buf = append(buf, path...)
	buf = append(buf, " HTTP/1.1\r\nHost: "...)
	buf = append(buf, d.host...)
	buf = append(buf, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n"...)
	buf = append(buf, headers...)
	buf = append(buf, "\r\n"...)
	return append(buf, body...)
}

// authorization is the header line of the API key.
func (d door) authorization() string { return "Authorization: Bearer " + d.apiKey + "\r\n" }

// keyWidth is the length of an idempotency key: 16 hexadecimal digits of the run and the buyer, 16 of the count.
const keyWidth = 32

// orderRequest is a request for one unit of a product, made once and sent often.
type orderRequest struct {
	plain []byte
	keyed []byte
	keyAt int // where in keyed the idempotency key stands
}

func newOrderRequest(d door, sku string) orderRequest {
	const header = "Idempotency-Key: "
	body := orderBody(sku, "+8613800138000")
	blank := fmt.Sprintf("%0*d", keyWidth, 0)
	before := d.authorization() + header
	r := orderRequest{plain: d.post(nil, "/v1/orders", d.authorization(), body)}
	r.keyed = d.post(nil, "/v1/orders", before+blank+"\r\n", body)
	r.keyAt = len(r.keyed) - len(body) - len("\r\n\r\n") - keyWidth
	return r
}

// orderBody is what a shop sends: what is bought, and whom to tell.
func orderBody(sku, phone string) []byte {
	return fmt.Appendf(nil, `{"items":[{"sku":%q,"quantity":1}],"contact":{"phone":%q},"locale":"en"}`, sku, phone)
}

// withKey writes the request with the n-th idempotency key of a series into buf.
func (r *orderRequest) withKey(buf []byte, series, n uint64) []byte {
	buf = append(buf[:0], r.keyed...)
	putHex(buf[r.keyAt:], series)
	putHex(buf[r.keyAt+keyWidth/2:], n)
	return buf
}

// putHex writes 16 hexadecimal digits.
func putHex(to []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		to[i] = digits[n&15]
		n >>= 4
	}
}
