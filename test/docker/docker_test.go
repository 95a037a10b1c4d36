//go:build linux

// Package docker tests the image that the Dockerfile makes, and the docker-compose.yml that people get, in a Docker engine of its own.
package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"shoal/test/guest"
	"shoal/test/netns"
	"shoal/test/seeder"
)

func TestMain(m *testing.M) {
	code := netns.Run(prepare, func() int {
		code := m.Run()
		if err := goleak.Find(); code == 0 && err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		return code
	})
	if name := os.Getenv(stockVariable); name != "" {
		_ = os.Remove(name) // a temporary file; the process in the namespaces was the first to remove it
	}
	os.Exit(code)
}

// prepare gets everything that the tests do not make themselves, as they have no network.
func prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), buildLimit)
	defer cancel()
	if err := errors.Join(installPackages(), seeder.Prepare(), guest.Prepare()); err != nil {
		return err
	}
	s, err := layIn(ctx)
	if err != nil {
		return err
	}
	return s.note()
}
