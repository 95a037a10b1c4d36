package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRun: what a system lacks, and what does not fit its int, is found there only.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":        "module program\n\ngo 1.26\n",
		"main.go":       "package main\n\nimport \"syscall\"\n\nfunc main() { _ = syscall.Umask; _ = generic(1) }\n",
		"size_linux.go": "package main\n\nvar size int = 1 << 40\n\nfunc generic[T any](v T) T { return v }\n",
		"size_other.go": "//go:build !linux\n\npackage main\n\nfunc generic[T any](v T) T { return v }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOFLAGS", "-mod=mod") // the go.mod above is all there is
	mistakes, err := run(t.Context(), "program", []string{"linux/amd64", "linux/386", "windows/amd64"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"linux/386: ", "windows/amd64: "} {
		if i >= len(mistakes) || !strings.HasPrefix(mistakes[i], want) {
			t.Fatalf("the mistakes are %q, want one of linux/386 and one of windows/amd64", mistakes)
		}
	}
	if len(mistakes) != 2 || !strings.Contains(mistakes[0], "size_linux.go:3") || !strings.Contains(mistakes[1], "syscall.Umask") {
		t.Errorf("the mistakes are %q", mistakes)
	}
	for _, targets := range [][]string{nil, {"linux"}, {"linux/pdp11"}, {"plan9000/amd64"}} {
		if _, err := run(t.Context(), "program", targets); err == nil {
			t.Errorf("the targets %q are no error", slices.Clone(targets))
		}
	}
}
