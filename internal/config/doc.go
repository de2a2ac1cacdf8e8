// Package config holds every setting there is, as flags and VENDBOX_* environment variables: one struct, made of groups
// of which each command embeds those it needs.
//
//	type migrateCmd struct {
//		config.Database `embed:"" group:"database"`
//	}
//
// Kong fills the groups in; Validate then lists everything that is wrong with them at once. Whatever way a group is
// printed or logged, secrets are not in it.
package config
