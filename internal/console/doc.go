// Package console has the pages that people see: so far the buyer's, /o/{access_token}.
//
// Pages are html/template over embedded files, complete without JavaScript; the script only spares the reload. It fetches
// the page again when the order has changed and puts its sections in the place of the old ones, so that every word and
// every rule is here, once. The token in the address is all that a buyer has and needs: pages are not cached, not indexed
// and not framed, send no referrer, load nothing from elsewhere, and are logged by their route's pattern.
package console
