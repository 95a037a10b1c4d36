package rar

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"shoal/archive/rar/rartest"
)

// TestBsdtar has bsdtar read what rartest writes, so that not only our own reader says that it is RAR. It opens one volume only.
func TestBsdtar(t *testing.T) {
	bsdtar, err := exec.LookPath("bsdtar")
	if err != nil {
		t.Skip("NOT TESTED: no bsdtar (Debian: libarchive-tools)")
	}
	files := []rartest.File{
		sized("film.mkv", 100_000), sized("info.txt", 50), {Name: "folder", Dir: true, ModTime: rartest.Time}, sized("folder/é漢.txt", 60),
	}
	files[3].Unicode = true
	for i, o := range []rartest.Options{
		{Format: 4}, {Format: 4, NoEnd: true}, {Format: 5}, {Format: 5, Comment: "hello"}, {Format: 5, QuickOpen: true}, {Format: 5, Recovery: 99},
	} {
		v := write(t, o, files...)
		name := filepath.Join(t.TempDir(), fmt.Sprintf("%d.rar", i))
		if err := os.WriteFile(name, flat(v, 0), 0o600); err != nil {
			t.Fatal(err)
		}
		a := read(t, v)
		var want strings.Builder
		for i := range a.Members {
			m := &a.Members[i]
			path := strings.ReplaceAll(m.Name, `\`, "/")
			fmt.Fprintf(&want, "%s %d %s %s\n", m.Mode, m.Size, m.ModTime.Format("Jan _2  2006"), path)
			if m.IsDir() {
				continue
			}
			if out := run(t, bsdtar, "-xOf", name, path); !bytes.Equal(out, content(t, v, m)) {
				t.Errorf("%+v: bsdtar has %d other bytes of %s", o, len(out), path)
			}
		}
		if got := columns(string(run(t, bsdtar, "-tvf", name))); got != want.String() {
			t.Errorf("%+v: bsdtar lists\n%swant\n%s", o, got, want.String())
		}
	}
}

// run returns the output of a program, in a place and language without surprises.
func run(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", program, args, err, stderr.String())
	}
	return out
}

// columns returns mode, size, day and name out of a listing of bsdtar's.
func columns(listing string) string {
	var b strings.Builder
	for line := range strings.Lines(listing) {
		f := strings.Fields(line)
		if len(f) < 9 {
			return "strange line " + line
		}
		fmt.Fprintf(&b, "%s %s %s %2s  %s %s\n", f[0], f[4], f[5], f[6], f[7], f[8])
	}
	return b.String()
}
