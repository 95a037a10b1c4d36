//go:build linux

package archives

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"shoal/archive"
	"shoal/test/debian"
)

// corpus is the archives that others made, each in a folder for its origin, as some are volumes that have to be beside each other.
type corpus struct {
	root     string
	archives []string       // below root
	skipped  map[string]int // what is no archive to Shoal, by extension
}

// filters are extensions of compressed files that Shoal does not look into. What is in them is a fixture nevertheless if it is a tar.
var filters = []string{".Z", ".lz4", ".lzma", ".tlz", ".lz", ".lzo"}

// aliases are extensions of what Shoal leaves files, though it could read them, and one of a tar that has an odd name.
var aliases = map[string]string{".zipx": ".zip", ".jar": ".zip", ".xps": ".zip", ".ustar": ".tar"}

// collect gets all fixtures.
func collect(t *testing.T) *corpus {
	t.Helper()
	c := &corpus{root: t.TempDir(), skipped: make(map[string]int)}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	std := filepath.Join(strings.TrimSpace(string(root)), "src", "archive")
	c.add(t, "go-zip", filepath.Join(std, "zip", "testdata"))
	c.add(t, "go-tar", filepath.Join(std, "tar", "testdata"))
	libarchive := debian.Source(t, "libarchive")
	for _, of := range []string{"libarchive", "tar", "cpio", "cat"} {
		c.add(t, "libarchive-"+of, filepath.Join(libarchive, of, "test"))
	}
	c.add(t, "libzip", filepath.Join(debian.Source(t, "libzip"), "regress"))
	slices.Sort(c.archives)
	return c
}

// add brings the fixtures of a folder into one of the corpus.
func (c *corpus) add(t *testing.T, origin, from string) {
	t.Helper()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.root, origin), 0o700); err != nil {
		t.Fatal(err)
	}
	before := len(c.archives)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if f.IsDir() || err != nil {
			continue
		}
		name := f.Name()
		switch ext := path.Ext(name); ext {
		case ".uu":
			name = strings.TrimSuffix(name, ext)
			if b, err = uudecode(filepath.Join(from, f.Name())); err != nil {
				t.Errorf("%s: %v", f.Name(), err)
			}
		case ".base64":
			if b, err = base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(b), nil))); err != nil {
				t.Errorf("%s: %v", f.Name(), err)
			}
			name = strings.TrimSuffix(name, ext)
		}
		if err := c.put(path.Join(origin, name), b); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.archives) == before {
		t.Errorf("there is no fixture in %s", from)
	}
}

// put writes a fixture, or counts it as skipped.
func (c *corpus) put(name string, b []byte) error {
	ext := path.Ext(name)
	if slices.Contains(filters, ext) {
		inside, err := c.unfilter(b)
		if err != nil || len(inside) < 512 || !bytes.Equal(inside[257:262], []byte("ustar")) {
			c.skipped[ext]++
			return nil
		}
		name, b, ext = strings.TrimSuffix(strings.TrimSuffix(name, ext), ".tar")+ext+".tar", inside, ".tar"
	}
	if alias, ok := aliases[ext]; ok {
		name += alias
	}
	// What libarchive cut RAR archives into is called such as _aa; those who cut files call it .001.
	if stem := name[:max(0, len(name)-3)]; strings.Contains(path.Base(name), "splitted_rar") && stem != "" && name[len(stem):len(stem)+2] == "_a" {
		name = fmt.Sprintf("%s.rar.%03d", stem, name[len(name)-1]-'a'+1)
	}
	isArchive := archive.IsArchive(name)
	if !isArchive && !isVolume(name) {
		if ext != ".c" && ext != ".h" && ext != ".test" {
			c.skipped[path.Ext(name)]++
		}
		return nil
	}
	if isArchive {
		c.archives = append(c.archives, name)
	}
	return os.WriteFile(filepath.Join(c.root, name), b, 0o600)
}

// isVolume says whether a file may go on with another one.
func isVolume(name string) bool {
	ext := path.Ext(name)
	digits := strings.TrimLeft(ext, ".rsz")
	return ext == ".rar" || len(digits) >= 2 && strings.Trim(digits, "0123456789") == ""
}

// unfilter takes apart what Shoal does not.
func (c *corpus) unfilter(b []byte) ([]byte, error) {
	cmd := exec.Command("bsdcat")
	cmd.Stdin = bytes.NewReader(b)
	return cmd.Output()
}

// uudecode returns what is in a file of POSIX uuencode's (IEEE 1003.1), whatever is before it.
func uudecode(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []byte
	begun := false
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case !begun:
			begun = strings.HasPrefix(line, "begin ")
			continue
		case line == "end":
			return out, nil
		case line == "":
			continue
		}
		n := int(line[0]-' ') & 63
		if need := (n + 2) / 3 * 4; len(line)-1 < need { // some encoders strip spaces at the end
			line += strings.Repeat(" ", need-(len(line)-1))
		}
		var group []byte
		for i := 1; len(group) < n; i += 4 {
			var bits uint32
			for _, c := range []byte(line[i : i+4]) {
				bits = bits<<6 | uint32(c-' ')&63
			}
			group = append(group, byte(bits>>16), byte(bits>>8), byte(bits))
		}
		out = append(out, group[:n]...)
	}
	if !begun {
		return nil, errors.New("no line that begins the data")
	}
	return nil, fmt.Errorf("its end is missing: %w", fs.ErrInvalid)
}
