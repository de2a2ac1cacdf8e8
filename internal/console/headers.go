package console

import (
	"net/http"
	"net/url"
)

// setHeaders lets a page run what carries its nonce, talk to its own server and nothing else. The token in the address
// must not travel: neither in a referrer, nor into a cache, an index or somebody's frame.
func setHeaders(h http.Header, nonce string) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+"'; img-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// sameOrigin says whether a form came from our own page. Browsers say so in Sec-Fetch-Site, but older ones, and those on
// plain HTTP, do not; then Origin has it. Ours is "null" there, because the page sends no referrer (the Fetch standard,
// "append a request Origin header"). That is let through: who sends it knows the order's token, as nobody else's page does.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}
