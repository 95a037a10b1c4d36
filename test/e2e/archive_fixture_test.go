//go:build linux

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/archive/rar/rartest"
	"shoal/test/complete"
	"shoal/test/libtorrent"
	"shoal/test/seeder"
)

const (
	bigSize  = 96 << 20
	bigAt    = 93 << 20 // where a MiB of it is read, near the end
	holdSize = 8 << 20  // of the members that are held open, of which a MiB is read at a time
)

// crates are torrents with archives.
type crates struct {
	box  []complete.File // a folder with archives of all kinds
	lone complete.File   // an archive that is a torrent by itself
	bad  []complete.File // a folder with what looks like archives and is none
	none complete.File   // the same as a torrent by itself
	want expectation     // of box and lone
	user []item          // what is in user.zip
	held [][]byte        // what is in the members that are held open
}

func makeCrates(t *testing.T) *crates {
	t.Helper()
	c := &crates{want: make(expectation)}
	c.user = []item{
		{path: "docs", dir: true},
		{path: "docs/Größe – 大きさ.txt", content: compressible("text", 300_000)},
		{path: "docs/deep/er/data.bin", content: random("data", 700_001).Content, stored: true},
		{path: "empty"},
		{path: "run.sh", content: []byte("#!/bin/sh\necho it runs\n"), run: true},
		{path: "latest", link: "docs/deep/er/data.bin"},
	}
	big := item{path: "big.bin", content: compressible("big", bigSize)}
	film := []item{{path: "film/film.mkv", content: random("film", holdSize).Content}, {path: "film/film.nfo", content: []byte("a film\n")}}
	deep := item{path: "deep/in.bin", content: random("in", holdSize).Content}
	c.held = [][]byte{big.content, film[0].content, deep.content}
	upper := item{path: "A.TXT", content: []byte("upper case\n")}
	beside := item{path: "beside.txt", content: []byte("beside\n")}
	tarred := []item{
		{path: "pkg", dir: true},
		{path: "pkg/bin/tool", content: random("tool", 60_000).Content, run: true},
		{path: "pkg/bin/alias", link: "tool"},
		{path: "pkg/same name", same: "pkg/bin/tool", run: true},
		{path: "pkg/" + strings.Repeat("long ", 30) + "name", content: []byte("long")},
		{path: "pkg/deep/back", link: "../bin/tool"},
		{path: "abs", link: "/etc/passwd", absent: true},
		{path: "pkg/out", link: "../../etc/passwd", absent: true},
	}

	c.archive("user.zip", zipOf(t, c.user...), c.user...)
	c.archive("big.zip", zipOf(t, big), big)
	c.archive("UPPER.ZIP", zipOf(t, upper), upper)
	c.archive("links.tar", tarOf(t, tarred...), tarred...)
	c.set(rarOf(t, rartest.Options{Format: 5, VolumeSize: 2 << 20}, func(n int) string { return fmt.Sprintf("film.part%d.rar", n+1) }, film...), film...)
	old := item{path: "Übung.avi", content: random("old", 900_000).Content}
	c.set(rarOf(t, rartest.Options{Format: 4, VolumeSize: 400_000}, func(n int) string { return "old." + []string{"rar", "r00", "r01"}[n] }, old), old)
	disc := item{path: "disc.iso", content: random("disc", 700_000).Content}
	c.set(cut("disc.iso", disc.content), disc)
	c.want.file("box/disc.iso.001/disc.iso", disc.content) // it has no time
	whole := zipOf(t, upper)
	c.set(cut("split.zip", whole), item{path: "split.zip", content: whole})
	c.want.archive("box/split.zip.001/split.zip", upper)
	c.archive("nested.zip", zipOf(t, item{path: "sub/inner.zip", content: zipOf(t, deep), stored: true}, beside), beside)
	c.want["box/nested.zip/sub"] = seen{mode: "dr-xr-xr-x"}
	c.want.archive("box/nested.zip/sub/inner.zip", deep)
	c.file("comic.cbz", zipOf(t, upper))
	c.file("readme.txt", []byte("read me\n"))
	c.want["box"] = seen{mode: "dr-xr-xr-x"}

	alone := []item{{path: "alone/ä.txt", content: compressible("alone", 100_000)}, {path: "alone/second", content: []byte("2")}}
	c.lone = complete.File{Path: "lone.zip", Content: zipOf(t, alone...)}
	c.want.archive("lone.zip", alone...)
	c.bad = []complete.File{
		{Path: "broken.zip", Content: whole[:len(whole)-30]}, {Path: "fine.txt", Content: []byte("fine\n")}, random("sub/none.rar", 50_000),
	}
	c.none = random("none.zip", 30_000)
	return c
}

// file puts a file into the box that stays one.
func (c *crates) file(name string, content []byte) {
	c.box = append(c.box, complete.File{Path: name, Content: content})
	c.want.file("box/"+name, content)
}

// archive puts an archive into the box.
func (c *crates) archive(name string, content []byte, items ...item) {
	c.box = append(c.box, complete.File{Path: name, Content: content})
	c.want.archive("box/"+name, items...)
}

// set puts the volumes of an archive into the box, of which the first is shown as a folder.
func (c *crates) set(volumes []complete.File, items ...item) {
	c.archive(volumes[0].Path, volumes[0].Content, items...)
	for _, v := range volumes[1:] {
		c.file(v.Path, v.Content)
	}
}

// seed has a foreign client seed files as one torrent, or one file as that, and returns the torrent.
func seed(t *testing.T, s *libtorrent.Seeder, name string, files ...complete.File) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		full := filepath.Join(dir, name, f.Path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, f.Content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	torrent := seeder.CreateWith(t, filepath.Join(dir, name), "v1", 256<<10)
	path := filepath.Join(t.TempDir(), "a.torrent")
	if err := os.WriteFile(path, torrent, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(path, dir); err != nil {
		t.Fatal(err)
	}
	return torrent
}

// item is something in an archive that a test makes.
type item struct {
	path    string
	content []byte
	stored  bool // in a zip: not compressed
	dir     bool
	run     bool   // a program
	link    string // what a symbolic link says
	same    string // in a tar: the path of the file that this is another name of
	absent  bool   // it is not shown
}

// itemTime is when all items were changed: an even second, as zip and RAR archives have no others everywhere.
var itemTime = time.Date(2019, 7, 20, 20, 17, 40, 0, time.UTC)

func (i *item) mode() fs.FileMode {
	switch {
	case i.dir:
		return fs.ModeDir | 0o755
	case i.link != "":
		return fs.ModeSymlink | 0o777
	case i.run:
		return 0o755
	default:
		return 0o644
	}
}

func zipOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestSpeed) })
	for _, i := range items {
		h := &zip.FileHeader{Name: i.path, Method: zip.Deflate, Modified: itemTime}
		if i.stored || i.dir || i.link != "" {
			h.Method = zip.Store
		}
		if i.dir {
			h.Name += "/"
		}
		h.SetMode(i.mode())
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write(append([]byte(i.link), i.content...))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h := &tar.Header{
			Name: i.path, Typeflag: tar.TypeReg, Size: int64(len(i.content)), Mode: int64(i.mode().Perm()), ModTime: itemTime, Linkname: i.link + i.same,
		}
		switch {
		case i.dir:
			h.Typeflag = tar.TypeDir
		case i.link != "":
			h.Typeflag = tar.TypeSymlink
		case i.same != "":
			h.Typeflag, h.Size = tar.TypeLink, 0
		}
		err := w.WriteHeader(h)
		if err == nil && h.Size > 0 {
			_, err = w.Write(i.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rarOf returns the volumes of a set, which name names by their places in it.
func rarOf(t testing.TB, o rartest.Options, name func(volume int) string, items ...item) []complete.File {
	t.Helper()
	var files []rartest.File
	for _, i := range items {
		files = append(files, rartest.File{
			Name: i.path, Data: bytes.NewReader(i.content), Size: int64(len(i.content)), Dir: i.dir, Link: i.link, ModTime: itemTime, Unicode: true,
		})
	}
	volumes, err := rartest.Write(o, files...)
	if err != nil {
		t.Fatal(err)
	}
	var set []complete.File
	for n, v := range volumes {
		b := make([]byte, v.Size())
		if n, err := v.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		set = append(set, complete.File{Path: name(n), Content: b})
	}
	return set
}

// cut cuts a file into three parts called name.001 and so on.
func cut(name string, content []byte) []complete.File {
	length := (len(content) + 2) / 3
	var parts []complete.File
	for n := 1; len(content) > 0; n++ {
		l := min(length, len(content))
		parts = append(parts, complete.File{Path: fmt.Sprintf("%s.%03d", name, n), Content: content[:l]})
		content = content[l:]
	}
	return parts
}

// compressible returns bytes of which DEFLATE leaves about a third.
func compressible(name string, n int) []byte {
	source := rand.NewChaCha8(sha256.Sum256([]byte(name)))
	b := make([]byte, 0, n+4096)
	block := make([]byte, 1024)
	for len(b) < n {
		_, _ = source.Read(block) // never fails
		b = append(append(append(b, block...), block...), block...)
	}
	return b[:n]
}

// seen is what a listing says of something.
type seen struct {
	mode string // as ls -l has it
	size int    // of files and links
	at   int64  // Unix; 0 is anything
	link string
	sum  string // of files; hexadecimal digits of its SHA-256
}

// expectation is what there is to be seen, by path.
type expectation map[string]seen

// file expects a file that is in no archive.
func (e expectation) file(name string, content []byte) {
	e[name] = seen{mode: "-r--r--r--", size: len(content), sum: fmt.Sprintf("%x", sha256.Sum256(content))}
}

// archive expects an archive as a folder.
func (e expectation) archive(name string, items ...item) {
	e[name] = seen{mode: "dr-xr-xr-x"}
	contents := make(map[string][]byte)
	for _, i := range items {
		if i.absent {
			continue
		}
		contents[i.path] = i.content
		s := seen{mode: "-r--r--r--", size: len(i.content), at: itemTime.Unix(), link: i.link}
		switch {
		case i.dir:
			s.mode = "dr-xr-xr-x"
		case i.link != "":
			s.mode, s.size = "lrwxrwxrwx", len(i.link)
		case i.same != "":
			s.size = len(contents[i.same])
			s.sum = fmt.Sprintf("%x", sha256.Sum256(contents[i.same]))
		default:
			s.sum = fmt.Sprintf("%x", sha256.Sum256(i.content))
		}
		if i.run {
			s.mode = "-r-xr-xr-x"
		}
		e[path.Join(name, i.path)] = s
		// Folders that the archive does not list are there all the same.
		for above := path.Dir(i.path); above != "."; above = path.Dir(above) {
			if _, known := e[path.Join(name, above)]; !known {
				e[path.Join(name, above)] = seen{mode: "dr-xr-xr-x"}
			}
		}
	}
}
