//go:build linux

package archives

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"shoal/archive/rar/rartest"
	"shoal/test/debian"
)

// TestRartest has bsdtar read what rartest writes, so that not only our own reader says that it is RAR. It opens one volume only.
func TestRartest(t *testing.T) {
	debian.Install(t, "libarchive-tools")
	sized := func(name string, n int64) rartest.File {
		return rartest.File{Name: name, Data: rartest.Pattern{Seed: uint64(n)}, Size: n, ModTime: rartest.Time}
	}
	files := []rartest.File{
		sized("film.mkv", 100_000), sized("info.txt", 50), {Name: "folder", Dir: true, ModTime: rartest.Time}, sized("folder/é漢.txt", 60),
	}
	files[3].Unicode = true
	for i, o := range []rartest.Options{
		{Format: 4}, {Format: 4, NoEnd: true}, {Format: 5}, {Format: 5, Comment: "hello"}, {Format: 5, QuickOpen: true}, {Format: 5, Recovery: 99},
	} {
		v, err := rartest.Write(o, files...)
		if err != nil {
			t.Fatal(err)
		}
		work := t.TempDir()
		name := filepath.Join(work, fmt.Sprintf("%d.rar", i))
		var whole bytes.Buffer
		if _, err := io.Copy(&whole, io.NewSectionReader(v[0], 0, v[0].Size())); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, whole.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := List(t.Context(), name, filepath.Join(work, "shoal"))
		if err != nil || len(got.Members) != len(files) {
			t.Fatalf("%+v: %+v, %v", o, got, err)
		}
		list, err := bsdtar(t.Context(), name, work)
		if err != nil {
			t.Errorf("%+v: bsdtar complains: %v", o, err)
		}
		want, err := expect(list)
		if err != nil {
			t.Fatal(err)
		}
		opinion := compare(got, want)
		for _, by := range []map[string]bool{opinion.dated, opinion.modes} {
			for path, same := range by {
				if !same {
					t.Errorf("%+v: bsdtar has another time or mode of %q: %+v", o, path, want[path])
				}
			}
		}
		if len(opinion.differs) > 0 || len(opinion.dated) != len(files) {
			t.Errorf("%+v: compared with bsdtar, %q; times of %d members", o, opinion.differs, len(opinion.dated))
		}
	}
}
