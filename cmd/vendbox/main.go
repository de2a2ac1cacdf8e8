// Command vendbox sells and delivers digital goods on one Postgres.
package main

import (
	"os"

	"github.com/vendbox/vendbox/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
