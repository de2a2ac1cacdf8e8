package cli

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgdb"
)

type migrateCmd struct {
	Up     migrateUpCmd     `cmd:"" help:"Apply what is missing."`
	Down   migrateDownCmd   `cmd:"" help:"Undo the last migrations. What they held is lost."`
	Status migrateStatusCmd `cmd:"" help:"Show every migration and whether it is applied."`
}

type migrateUpCmd struct {
	config.Database `embed:""`
}

// Run applies the pending migrations. Several processes may do it at once.
func (c *migrateUpCmd) Run(ctx context.Context, s streams) error {
	applied, err := pgdb.MigrateUp(ctx, databaseConfig(c.Database, "vendbox migrate", nil))
	return report(s, "applied", applied, err)
}

type migrateDownCmd struct {
	config.Database `embed:""`

	Steps int  `help:"How many." default:"1"`
	All   bool `help:"All of them: everything in the schema is dropped."`
	Yes   bool `help:"Yes, drop the data."`
}

// Run undoes migrations.
func (c *migrateDownCmd) Run(ctx context.Context, s streams) error {
	if !c.Yes {
		return errors.New("migrate down drops tables with what is in them: say --yes to do it")
	}
	steps := c.Steps
	switch {
	case c.All:
		steps = 0
	case steps < 1:
		return errors.New("--steps is at least 1; --all undoes everything")
	}
	undone, err := pgdb.MigrateDown(ctx, databaseConfig(c.Database, "vendbox migrate", nil), steps)
	return report(s, "undone", undone, err)
}

// report prints what was done, also when an error ended it, and passes the error on.
func report(s streams, what string, migrations []pgdb.Migration, err error) error {
	for _, m := range migrations {
		fmt.Fprintln(s.out, what, m)
	}
	if len(migrations) == 0 && err == nil {
		fmt.Fprintln(s.out, "nothing", what)
	}
	return err
}

type migrateStatusCmd struct {
	config.Database `embed:""`
}

// Run prints the table.
func (c *migrateStatusCmd) Run(ctx context.Context, s streams) error {
	all, err := pgdb.Status(ctx, databaseConfig(c.Database, "vendbox migrate", nil))
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MIGRATION\tSTATUS")
	for _, m := range all {
		status := "pending"
		if m.Applied {
			status = "applied"
		}
		fmt.Fprintf(w, "%s\t%s\n", m.Migration, status)
	}
	return w.Flush()
}
