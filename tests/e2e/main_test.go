package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/vendbox/vendbox/internal/devpg"
)

var (
	binary string        // vendbox
	server *devpg.Server // for all tests that leave it alive
)

// waiting tests cost nothing: most of a test is the wait for a heart to be missed or a safety job to be due.
const testsPerCore = 3

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if wanted := flag.Lookup("test.parallel"); wanted.Value.String() == wanted.DefValue {
		_ = wanted.Value.Set(strconv.Itoa(testsPerCore * runtime.GOMAXPROCS(0)))
	}
	dir, err := os.MkdirTemp("", "vendbox-e2e-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "vendbox")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary, "./cmd/vendbox")
	build.Dir = repository()
	if out, err := build.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("%w\n%s", err, out))
	}
	server, err = devpg.Start(context.Background(), devpg.Options{Settings: settings})
	if err != nil {
		return fail(err)
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		return fail(err)
	}
	return code
}

// settings: several processes a test, several tests at once.
var settings = map[string]string{"max_connections": "400"}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// repository is the top of the checkout.
func repository() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}
