package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vendbox/vendbox/internal/access"
	"github.com/vendbox/vendbox/internal/config"
	"github.com/vendbox/vendbox/internal/pgdb"
)

type apiKeyCmd struct {
	Create apiKeyCreateCmd `cmd:"" help:"Create a key. It is shown once."`
	List   apiKeyListCmd   `cmd:"" help:"List the keys, without their secrets."`
	Revoke apiKeyRevokeCmd `cmd:"" help:"Revoke a key. It stops working within three seconds."`
	Scopes apiKeyScopesCmd `cmd:"" help:"List what a key can be allowed."`
}

// withKeys opens the keys of a database.
func withKeys(ctx context.Context, d config.Database, fn func(*access.Keys) error) error {
	pool, err := pgdb.Open(ctx, databaseConfig(d, "vendbox apikey", nil))
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(access.NewKeys(pool, time.Now))
}

type apiKeyCreateCmd struct {
	config.Database `embed:""`

	Name    string        `help:"Whose it is, for the list." required:""`
	Scopes  []string      `help:"What it may do (see apikey scopes)." required:"" placeholder:"SCOPE,…"`
	Expires time.Duration `help:"How long it is good, such as 720h. Default: until it is revoked."`
}

// Run prints the key and nothing else, so that a script can keep it.
func (c *apiKeyCreateCmd) Run(ctx context.Context, s streams) error {
	return withKeys(ctx, c.Database, func(keys *access.Keys) error {
		var expires *time.Time
		if c.Expires != 0 {
			expires = new(time.Now().Add(c.Expires))
		}
		key, token, err := keys.Create(ctx, c.Name, c.Scopes, expires)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.err, "API key %s (%s). It is not kept: this is the only time it is shown.\n", key.Prefix, key.Name)
		_, err = fmt.Fprintln(s.out, token)
		return err
	})
}

type apiKeyListCmd struct {
	config.Database `embed:""`
}

// Run prints the table.
func (c *apiKeyListCmd) Run(ctx context.Context, s streams) error {
	return withKeys(ctx, c.Database, func(keys *access.Keys) error {
		all, err := keys.List(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "PREFIX\tNAME\tSTATUS\tCREATED\tSCOPES")
		for _, key := range all {
			scopes := make([]string, len(key.Scopes))
			for i, scope := range key.Scopes {
				scopes[i] = string(scope)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", key.Prefix, key.Name, keyStatus(key),
				key.CreatedAt.UTC().Format(time.RFC3339), strings.Join(scopes, ","))
		}
		return w.Flush()
	})
}

func keyStatus(key access.Key) string {
	switch {
	case key.RevokedAt != nil:
		return "revoked"
	case key.ExpiresAt != nil && !time.Now().Before(*key.ExpiresAt):
		return "expired"
	case key.ExpiresAt != nil:
		return "until " + key.ExpiresAt.UTC().Format(time.DateOnly)
	default:
		return "active"
	}
}

type apiKeyRevokeCmd struct {
	config.Database `embed:""`

	Prefix string `arg:"" help:"The eight characters after vb_."`
}

// Run revokes the key.
func (c *apiKeyRevokeCmd) Run(ctx context.Context, s streams) error {
	return withKeys(ctx, c.Database, func(keys *access.Keys) error {
		key, err := keys.Revoke(ctx, c.Prefix)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "revoked %s (%s)\n", key.Prefix, key.Name)
		return err
	})
}

type apiKeyScopesCmd struct{}

// Run prints the table.
func (apiKeyScopesCmd) Run(s streams) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, scope := range access.Scopes() {
		fmt.Fprintf(w, "%s\t%s\n", scope.Scope, scope.Description)
	}
	return w.Flush()
}
