package cli

import (
	"context"
	"fmt"

	"github.com/vendbox/vendbox/internal/cardvault"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgdb"
)

type keysetCmd struct {
	New    keysetNewCmd    `cmd:"" help:"Print a new master key. Keep it where the database is not."`
	Rotate keysetRotateCmd `cmd:"" help:"Begin to use a new data key. The old ones go on to open what they sealed."`
}

type keysetNewCmd struct{}

// Run prints the key.
func (keysetNewCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, cardvault.NewMasterKey().Reveal())
	return err
}

type keysetRotateCmd struct {
	config.Database `embed:""`
	config.Keys     `embed:""`

	Purpose string `arg:"" enum:"seal,token" help:"seal (cards, contacts, secrets) or token (buyers' access tokens)."`
}

// Validate checks both groups; kong calls it.
func (c *keysetRotateCmd) Validate() error { return config.Validate(&c.Database, &c.Keys) }

// Run rotates one keyset.
func (c *keysetRotateCmd) Run(ctx context.Context, s streams) error {
	master, err := cardvault.ParseMasterKey(c.MasterKey.Reveal())
	if err != nil {
		return err
	}
	pool, err := pgdb.Open(ctx, databaseConfig(c.Database, "vendbox keyset", nil))
	if err != nil {
		return err
	}
	defer pool.Close()
	vault, err := cardvault.Open(ctx, pool, master)
	if err != nil {
		return err
	}
	if err := vault.Rotate(ctx, cardvault.Purpose(c.Purpose)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "rotated %s\n", c.Purpose)
	return err
}
