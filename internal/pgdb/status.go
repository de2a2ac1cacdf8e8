package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"

	"github.com/vendbox/vendbox/migrations"
)

// Migration is one numbered change of the schema.
type Migration struct {
	Version int
	Name    string
}

func (m Migration) String() string { return fmt.Sprintf("%06d_%s", m.Version, m.Name) }

// MigrationStatus is a migration and whether the database has it.
type MigrationStatus struct {
	Migration

	Applied bool
}

// DirtyError says that a migration was cut off (the process or its connection died) and that a person has to look.
type DirtyError struct {
	Schema    string
	Migration Migration
	Previous  int
}

func newDirtyError(schema string, version int, known []Migration) *DirtyError {
	e := &DirtyError{Schema: schema, Migration: Migration{Version: version, Name: "unknown"}}
	for _, m := range known {
		if m.Version == version {
			e.Migration = m
		}
		if m.Version < version {
			e.Previous = m.Version
		}
	}
	return e
}

func (e *DirtyError) Error() string {
	table := pgx.Identifier{e.Schema, versionTable}.Sanitize()
	undo := fmt.Sprintf("update %s set version = %d, dirty = false;", table, e.Previous)
	if e.Previous == 0 {
		undo = fmt.Sprintf("delete from %s;", table)
	}
	return fmt.Sprintf("a run of migration %s was cut off, and the database is marked as dirty. A migration is applied "+
		"whole or not at all: look whether what it makes is there.\n"+
		"  If it is:     update %s set dirty = false;\n"+
		"  If it is not: %s\n"+
		"Then migrate again.", e.Migration, table, undo)
}

// Status lists every migration this program knows, oldest first. It changes nothing, and a database or schema without
// any migration is a valid answer. Errors: *DirtyError.
func Status(ctx context.Context, cfg Config) ([]MigrationStatus, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	known, current, err := state(ctx, conn)
	if err != nil {
		return nil, err
	}
	status := make([]MigrationStatus, len(known))
	for i, m := range known {
		status[i] = MigrationStatus{Migration: m, Applied: m.Version <= current}
	}
	return status, nil
}

// Pending lists the migrations that the database lacks, oldest first. q must have the schema as its search path, as
// Open's pool has. Errors: *DirtyError.
func Pending(ctx context.Context, q Querier) ([]Migration, error) {
	known, current, err := state(ctx, q)
	if err != nil {
		return nil, err
	}
	var pending []Migration
	for _, m := range known {
		if m.Version > current {
			pending = append(pending, m)
		}
	}
	return pending, nil
}

// state reads the known migrations and the version the database is at.
func state(ctx context.Context, q Querier) ([]Migration, int, error) {
	known, err := list(migrations.FS)
	if err != nil {
		return nil, 0, err
	}
	var exists bool
	var schema *string // null when the schema does not exist
	err = q.QueryRow(ctx, `select to_regclass($1) is not null, current_schema()`, versionTable).Scan(&exists, &schema)
	if err != nil {
		return nil, 0, fmt.Errorf("migration status: %w", err)
	}
	if !exists || schema == nil {
		return known, 0, nil
	}
	var version int
	var dirty bool
	err = q.QueryRow(ctx, `select version, dirty from `+versionTable).Scan(&version, &dirty)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return known, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("migration status: %w", err)
	case dirty:
		return nil, 0, newDirtyError(*schema, version, known)
	}
	return known, version, nil
}

// list reads the migrations from their files, by golang-migrate's own rules.
func list(files fs.FS) ([]Migration, error) {
	src, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	defer src.Close()
	var known []Migration
	version, err := src.First()
	for err == nil {
		var m Migration
		if m, err = describe(src, version); err != nil {
			return nil, err
		}
		known = append(known, m)
		version, err = src.Next(version)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return known, nil
}

func describe(src source.Driver, version uint) (Migration, error) {
	body, name, err := src.ReadUp(version)
	if err != nil {
		return Migration{}, fmt.Errorf("migrations: version %d has no up file: %w", version, err)
	}
	return Migration{Version: int(version), Name: name}, body.Close()
}
