package archive

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestForget forgets an archive while somebody reads it: nothing of it is kept, before it is there again.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	s, err := New(storeOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	content := text(1, 3<<20)
	file := &memory{data: makeZip(t, zipEntry{name: "a.txt", data: content})}
	kept := func(folder string) bool {
		_, err := os.Stat(dir + "/index/" + folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		return err == nil
	}
	member := func(key string) File {
		list, err := s.Archive(key, "x.zip", file, nil).Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0].File
	}
	for _, key := range []string{"gone/0", "stays/0", "back/0"} {
		if n, err := member(key).ReadAt(t.Context(), make([]byte, 1000), 2<<20); n != 1000 {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"gone", "back", "never"} {
		if err := s.Forget(folder); err != nil || kept(folder) {
			t.Errorf("%s is forgotten, and there: %v", folder, err)
		}
	}
	member("back/0")
	if err := s.Close(); err != nil { // which keeps what is known of members that were read
		t.Error(err)
	}
	for folder, want := range map[string]bool{"gone": false, "stays": true, "back": true, "never": false} {
		if kept(folder) != want {
			t.Errorf("at the end something is kept of %s: %t, want %t", folder, !want, want)
		}
	}
	if !kept("stays/0/0.points") {
		t.Error("nothing is kept of a member that was read")
	}
}
