//go:build linux

package archives

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/test/debian"
)

// What a process that reads one archive may take. Of the addresses Go's runtime reserves 686 MiB as it starts, so that about 340 MiB are
// left for everything else.
const (
	addressSpace = 1 << 30 // bytes
	patience     = 20 * time.Second
)

// TestFixtures reads every archive of the corpus, and compares all that is in it with what other programs find there.
func TestFixtures(t *testing.T) {
	debian.Install(t, "libarchive-tools", "unzip", "7zip", "util-linux")
	lister := build(t)
	c := collect(t)
	var turn = make(chan struct{}, 2)
	var wg sync.WaitGroup
	for _, name := range c.archives {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			check(t, c, lister, name)
		})
	}
	wg.Wait()
	t.Logf("skipped: %v", c.skipped)
}

func check(t *testing.T, c *corpus, lister, name string) {
	path := filepath.Join(c.root, name)
	got, err := run(t.Context(), lister, path, t.TempDir())
	if err != nil {
		t.Errorf("%s: CRASH %v", name, err)
		return
	}
	list, oerr := bsdtar(t.Context(), path)
	if got.Refused != "" {
		t.Errorf("%s: REFUSED %s (bsdtar: %d, %v)", name, got.Refused, len(list), oerr)
		return
	}
	want, err := expect(list)
	if err != nil {
		t.Error(err)
		return
	}
	if d := compare(got, want, tolerance{time: time.Second}); d != "" {
		t.Errorf("%s: DIFFERS (%v)\n\t%s", name, oerr, d)
		return
	}
	t.Logf("%s: OK %d", name, len(got.Members))
}

// build makes the command that reads one archive.
func build(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", name, "shoal/test/archives/list")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return name
}

// run reads an archive in a process of its own.
func run(ctx context.Context, lister, archive, work string) (*Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "prlimit", fmt.Sprintf("--as=%d", addressSpace), "--core=0", "--", lister, archive, work)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%w: %.600s", err, strings.TrimSpace(complaint.String())))
	}
	var l Listing
	if err := json.Unmarshal(out.Bytes(), &l); err != nil {
		return nil, err
	}
	return &l, nil
}
