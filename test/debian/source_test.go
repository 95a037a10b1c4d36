//go:build linux

package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSource(t *testing.T) {
	Install(t, "dpkg") // skips this test where there is no Debian
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	folder := Source(t, "libzip")
	if _, err := os.Stat(filepath.Join(folder, "regress")); err != nil {
		t.Errorf("the source of libzip: %v", err)
	}
	mark := filepath.Join(folder, "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := Source(t, "libzip"); again != folder {
		t.Errorf("the second time it is in %s, the first time in %s", again, folder)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error("it was fetched twice")
	}
	left, err := os.ReadDir(filepath.Dir(folder))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the source there is %v, %v", left, err)
	}
	if _, err := source(t.Context(), "shoal-no-such-package"); err == nil || !strings.Contains(err.Error(), "shoal-no-such-package") {
		t.Errorf("a package that does not exist: %v", err)
	}
}
