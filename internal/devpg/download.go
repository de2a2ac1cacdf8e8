//go:build unix

package devpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"
)

const downloadVersion = embedded.V18

// download fetches server binaries once per machine and user, and returns their directory. The library can only
// download on its way to a running server, so it is let run one and stopped: that proves the binaries too. As root its
// server does not come up, which is as good, since the binaries are there by then and are asked for their version next.
func download(ctx context.Context, who *account) (string, error) {
	cache, err := downloadDir(who)
	if err != nil {
		return "", err
	}
	final := filepath.Join(cache, string(downloadVersion))
	if hasServer(final) {
		return filepath.Join(final, "bin"), nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	unpacked := filepath.Join(work, "pg")
	if err := fetch(ctx, work, unpacked); err != nil {
		return "", err
	}
	// Whoever is first wins; the copies are the same.
	if err := os.Rename(unpacked, final); err != nil && !hasServer(final) {
		return "", err
	}
	return filepath.Join(final, "bin"), nil
}

func fetch(ctx context.Context, work, unpacked string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	pg := embedded.NewDatabase(embedded.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port)).
		Password(rand.Text()).
		CachePath(filepath.Join(work, "cache")).
		RuntimePath(filepath.Join(work, "run")).
		DataPath(filepath.Join(work, "data")).
		BinariesPath(unpacked).
		StartTimeout(time.Minute).
		Logger(io.Discard))
	done := make(chan error, 1)
	go func() {
		err := pg.Start()
		if err == nil {
			err = pg.Stop()
		}
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if hasServer(unpacked) {
		return os.Chmod(unpacked, 0o755)
	}
	return errors.Join(errors.New("nothing was unpacked"), err)
}

func hasServer(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "bin", "postgres"))
	return err == nil
}

// downloadDir is a cache that the server's user can read: root's own is usually closed.
func downloadDir(who *account) (string, error) {
	if who != nil {
		return "/var/cache/vendbox/postgres", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory: %w", err)
	}
	return filepath.Join(dir, "vendbox", "postgres"), nil
}
