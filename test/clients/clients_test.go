//go:build linux

// Package clients lets programs that nobody here wrote talk to the appliance on the ports where they look
// for it, with no option that tells them where: those of nfs-common and rpcbind, and libnfs, which media
// players are linked with. The kernel's client is in package e2e.
package clients

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/debian"
)

func TestMain(m *testing.M) { os.Exit(appliance.RunApart(m, prepare)) }

func prepare() error {
	return debian.Ensure("libnfs-utils", "rpcbind", "nfs-common", "netbase", "nginx", "iproute2")
}

// commandTime is how long a client may take. Normal is below a second; those that ask again when there
// is no answer do so for a minute or more.
const commandTime = 20 * time.Second

// said is how a client ended.
type said struct {
	out    string // what it printed, to both
	failed bool
}

// run runs a client, and ends the test if it does not end by itself.
func run(t *testing.T, name string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("%s %q: %v, %v\n%s", name, args, err, ctx.Err(), out)
	}
	return said{string(out), err != nil}
}

// succeed is run for a client that has to succeed.
func succeed(t *testing.T, name string, args ...string) string {
	t.Helper()
	s := run(t, name, args...)
	if s.failed {
		t.Errorf("%s %q failed:\n%s", name, args, s.out)
	}
	return s.out
}

// rows returns the lines of a table without its first, sorted, with the first fields of each.
func rows(out string, fields int) []string {
	var all []string
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) >= fields {
			all = append(all, strings.Join(f[:fields], " "))
		}
	}
	slices.Sort(all)
	return all
}

func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// random returns bytes that are the same each time.
func random(name string, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b) // never fails
	return b
}

// album is a complete torrent, in the route "music".
func album(t *testing.T, a *appliance.Appliance) []complete.File {
	t.Helper()
	files := []complete.File{
		{Path: "disc 1/Größe – 大きさ.flac", Content: random("flac", 3<<20+12345)},
		{Path: "disc 1/empty"},
		{Path: "it's $HOME & [1];.txt", Content: []byte("text\n")},
		{Path: "one/two/three/deep.bin", Content: random("deep", 70_000)},
	}
	a.AddComplete(t, "music", "an album", files...)
	return files
}

// hosts are the appliance by all the names that a client on this machine may have for it. libnfs takes an
// IPv6 address without brackets only.
var hosts = []string{"127.0.0.1", "::1", "localhost"}
