// Package migrations holds the database schema as golang-migrate files: NNNNNN_name.up.sql and .down.sql.
//
// Rules for a file, each held by a test:
//
//   - Names are unqualified. The search path of the connection decides the schema, because its name is configuration.
//   - No transaction control and nothing that Postgres refuses inside a transaction. A file runs as one implicit
//     transaction, so it is applied whole or not at all, and a failed one can simply be run again.
//   - A released file is never edited. Its change is a new file.
package migrations

import "embed"

//go:generate go run ./internal/rivergen

// FS holds every migration.
//
//go:embed *.sql
var FS embed.FS
