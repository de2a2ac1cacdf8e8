package cli

import (
	"context"
	"encoding/json"

	"github.com/vendbox/vendbox/internal/audit"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgdb"
)

type auditCmd struct {
	config.Database `embed:""`

	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints the table and fails when a promise is broken.
func (c *auditCmd) Run(ctx context.Context, s streams) error {
	pool, err := pgdb.Open(ctx, databaseConfig(c.Database, "vendbox audit", nil))
	if err != nil {
		return err
	}
	defer pool.Close()
	report, err := audit.Run(ctx, pool)
	if err != nil {
		return err
	}
	if c.JSON {
		if err := json.NewEncoder(s.out).Encode(report); err != nil {
			return err
		}
	} else if err := report.Table(s.out); err != nil {
		return err
	}
	if !report.OK() {
		return errFound
	}
	return nil
}
