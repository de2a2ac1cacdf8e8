package archtest

import "slices"

// anywhere are the rooms that every room may import.
var anywhere = []string{"clock", "fault", "money", "outbound", "paging", "pgdb", "telemetry"}

// onlyTests are the rooms that every _test.go file may import besides what its room may: a real Postgres. Where the room
// is no leaf, also the rooms that make real rows; Go itself refuses a circle.
var onlyTests = []string{"devpg", "migrations", "pgtest"}

var realRows = join(domain, "fulfillment", "relay")

// domain is what the edges and the workers are made of, itself in the order of the arrows: a room further left may
// import one further right where its own row says so, never the other way.
var domain = []string{
	"risk", "payments", "ordering", "inventory", "cardvault", "sms", "webhooks", "failedjobs", "outbox", "access", "contact",
}

// rooms says for each room everything of ours that its code may import, besides what is open to all. A room is a
// directory of internal/, with all below it, or one of the top-level directories. The direction:
//
//	cmd → cli → {httpapi and console (→ live), relay, fulfillment, upkeep} → {payments | risk → ordering → inventory, cardvault}
//	            | sms | webhooks | failedjobs → outbox → dbq, pgdb
//
// A new room needs a row here. Nothing but cli wires things together, so nothing else imports an edge or a worker, and
// only the domain speaks SQL through dbq.
var rooms = map[string][]string{
	"cmd": {"cli"},
	"cli": join(domain, "audit", "bench", "config", "console", "demo", "devpg", "fulfillment", "groupcommit", "httpapi", "live",
		"migrations", "openapi", "reconcile", "relay", "upkeep"),

	// Edges and workers.
	"httpapi":     join(domain, "groupcommit", "live", "openapi", "reconcile"),
	"live":        {"ordering", "groupcommit", "dbq"},
	"console":     join(domain, "live"),
	"relay":       join(domain, "dbq", "groupcommit"),
	"fulfillment": join(domain, "dbq", "groupcommit"),
	"upkeep":      join(domain, "dbq"),
	"reconcile":   {"audit", "dbq"},
	"audit":       {}, // reads the tables as they are, with SQL of its own

	// The domain.
	"risk":       {"ordering", "cardvault", "contact", "outbox", "dbq", "groupcommit"},
	"payments":   {"ordering", "inventory", "cardvault", "contact", "outbox", "dbq", "groupcommit"},
	"ordering":   {"inventory", "cardvault", "contact", "outbox", "dbq", "groupcommit"},
	"inventory":  {"cardvault", "outbox", "dbq"},
	"cardvault":  {"contact", "outbox", "dbq"},
	"sms":        {"cardvault", "contact", "outbox", "dbq", "groupcommit"},
	"webhooks":   {"cardvault", "outbox", "dbq", "groupcommit"},
	"failedjobs": {"outbox", "dbq"},
	"outbox":     {"dbq"},
	"access":     {"dbq"},
	"contact":    {},

	// What knows nothing of the business.
	"groupcommit": {},
	"config":      {},
	"devpg":       {},
	"pgtest":      {"devpg", "migrations"},

	// Whole systems, started by a command.
	"demo":  join(domain, "config", "devpg", "groupcommit"),
	"bench": join(domain, "config", "devpg", "groupcommit"),

	// Open to all, or files only: see leaves.
	"clock":      {},
	"fault":      {},
	"money":      {},
	"outbound":   {},
	"paging":     {"fault"},
	"telemetry":  {},
	"pgdb":       {"migrations"},
	"dbq":        {},
	"migrations": {},
	"openapi":    {},
	"archtest":   {},

	// Tests that cross rooms come in by the same door as a user, and may look at any of them to check what they find.
	"tests": join(domain, "audit", "cli", "config", "console", "demo", "dbq", "devpg", "fulfillment", "groupcommit", "httpapi", "live",
		"migrations", "openapi", "pgtest", "relay", "upkeep"),
}

// leaves do not get even what is open to all.
var leaves = []string{"archtest", "clock", "cmd", "dbq", "fault", "migrations", "money", "openapi", "outbound", "paging", "pgdb"}

func join(some []string, more ...string) []string { return slices.Concat(some, more) }
