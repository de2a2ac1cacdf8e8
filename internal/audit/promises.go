package audit

import (
	"embed"
	"path"
)

//go:embed checks/*.sql
var files embed.FS

// promise is one of the design's, with the query for the rows that break it: id, what, expected, actual, all text.
type promise struct {
	id, title, statement string
	query                string
}

var promises = []promise{
	{
		id: "I1", title: "stock adds up", query: query("i01_stock"),
		statement: "Per SKU: available + reserved + delivered + revoked = imported. None negative. Never oversold.",
	},
	{
		id: "I2", title: "a card is sold once", query: query("i02_cards"),
		statement: "A card belongs to at most one order line unit, by constraint. A revoked card is never sold again.",
	},
	{
		id: "I3", title: "orders hold their cards", query: query("i03_orders"),
		statement: "A fulfilled order is paid and holds exactly its quantity of cards; a canceled or expired one " +
			"reserves nothing.",
	},
	{
		id: "I4", title: "idempotency keys", query: query("i04_idempotency"),
		statement: "Same Idempotency-Key and body: the same order. Another body: refused. Never two orders.",
	},
	{
		id: "I5", title: "nothing acknowledged is lost", query: query("i05_kept"),
		statement: "What was acknowledged survives. In SQL: an order is paid if and only if a notice was applied.",
	},
	{
		id: "I6", title: "changes and events", query: query("i06_events"),
		statement: "A state change and its events commit together or not at all.",
	},
	{
		id: "I7", title: "events become jobs", query: query("i07_jobs"),
		statement: "Each event enters each of its job kinds exactly once; execution after that is at-least-once.",
	},
	{
		id: "I8", title: "webhooks are never forgotten", query: query("i08_webhooks"),
		statement: "Each (event, matching endpoint) ends as succeeded, exhausted or endpoint-disabled, and is " +
			"never forgotten.",
	},
	{
		id: "I9", title: "payments", query: query("i09_payments"),
		statement: "A payment event applies once; amount and currency are checked; status never goes backwards; money that arrives " +
			"late, twice or wrong is recorded and shown.",
	},
	{
		id: "I10", title: "money adds up", query: query("i10_money"),
		statement: "Paid = delivered + refunded + open, to the minor unit.",
	},
	{
		id: "I11", title: "failures come to an end", query: query("i11_failures"),
		statement: "A killed worker's jobs are back in work within 15 s; what ends badly waits for a person.",
	},
	{
		id: "I12", title: "no secret in plain text", query: query("i12_secrets"),
		statement: "No signing secret, API key or full phone number in plain text; cards and contacts are sealed.",
	},
}

var requiredQuery = query("required")

func query(name string) string {
	body, err := files.ReadFile(path.Join("checks", name+".sql"))
	if err != nil {
		panic(err) // it is embedded
	}
	return string(body)
}
