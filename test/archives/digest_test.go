//go:build linux

package archives

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestUudecode(t *testing.T) {
	for name, test := range map[string]struct{ file, want string }{
		"whole":          {"something else\nbegin 644 cat\n#0V%T\n`\nend\n", "Cat"},
		"two lines":      {"begin 644 cat\n#0V%T\n\"2$D\n`\nend\n", "CatHI"},
		"spaces lost":    {"begin 644 x\n#\n`\nend\n", "\x00\x00\x00"},
		"line ends":      {"begin 644 cat\r\n#0V%T\r\n`\r\nend\r\n", "Cat"},
		"no beginning":   {"#0V%T\nend\n", "error"},
		"no end":         {"begin 644 cat\n#0V%T\n", "error"},
		"nothing inside": {"begin 644 cat\n`\nend\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.uu")
			if err := os.WriteFile(path, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := uudecode(path)
			if err != nil {
				got = []byte("error")
			}
			if string(got) != test.want {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// TestDigest tells contents apart that differ in one byte, in their length, or in where something is.
func TestDigest(t *testing.T) {
	long := bytes.Repeat([]byte{0}, 3<<20)
	early, late := bytes.Clone(long), bytes.Clone(long)
	early[0], late[2<<20] = 1, 1
	seen := make(map[string]int)
	for i, b := range [][]byte{nil, {0}, {1}, {0, 0}, long, early, late, late[:len(late)-1]} {
		digest, err := Digest(iotest.OneByteReader(bytes.NewReader(b)), int64(len(b)))
		if before, ok := seen[digest]; ok || err != nil {
			t.Errorf("content %d has the digest of content %d, %v", i, before, err)
		}
		seen[digest] = i
	}
	if _, err := Digest(strings.NewReader("abc"), 4); err == nil {
		t.Error("what ends early has a digest")
	}
}
