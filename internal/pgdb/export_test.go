package pgdb

// For the tests, which are in a package of their own because pgtest imports this one.
var (
	MigrateUpFrom   = migrateUp
	MigrateDownFrom = migrateDown
)

// EncodeUUIDs is what every connection learns.
var EncodeUUIDs = encodeUUIDs
