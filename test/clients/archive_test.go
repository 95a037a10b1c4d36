//go:build linux

package clients

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"shoal/archive/archivetest"
	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/netns"
)

// TestLibnfsArchive lists and reads what is in an archive, and again after a restart.
func TestLibnfsArchive(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music")
	stored, packed := random("stored", 3<<20), bytes.Repeat([]byte("all work and no play\n"), 100_000)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, method := range map[string]uint16{"Größe/stored.bin": zip.Store, "Größe/packed.txt": zip.Deflate} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = f.Write(map[uint16][]byte{zip.Store: stored, zip.Deflate: packed}[method])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a.AddComplete(t, "music", "an album", complete.File{Path: "all.zip", Content: b.Bytes()}, complete.File{Path: "cover.txt", Content: []byte("cover")})
	for _, restart := range []bool{false, true} {
		if restart {
			a.Kill(t)
			a.Restart(t)
		}
		const top = "nfs://127.0.0.1/music/an album"
		if got := succeed(t, "nfs-ls", "-R", top); !strings.Contains(got, " all.zip/Größe/stored.bin\n") {
			t.Errorf("nfs-ls -R says:\n%s", got)
		}
		for name, want := range map[string][]byte{"stored.bin": stored, "packed.txt": packed} {
			if got := succeed(t, "nfs-cat", top+"/all.zip/Größe/"+name); got != string(want) {
				t.Errorf("nfs-cat of %s: %d bytes, and not the %d of the member", name, len(got), len(want))
			}
		}
	}
}

// TestLibnfsWays lists and reads the same archives in each of the ways that a route may show them, which is changed meanwhile.
func TestLibnfsWays(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=music", "SHOAL_ARCHIVES=both")
	inner := zipped(t, "deep.txt", "deep")
	outer := zipped(t, "in.zip", string(inner))
	a.AddComplete(t, "music", "lone.zip", complete.File{Content: outer})
	a.AddComplete(t, "music", "album", complete.File{Path: "one.ZIP", Content: outer}, complete.File{Path: "cover.txt", Content: []byte("cover")})
	const top = "nfs://127.0.0.1/music"
	for _, test := range []struct {
		way  string
		want []string // the paths of all files and folders
		read map[string]string
	}{
		{"both", []string{
			"album", "album/cover.txt", "album/one.ZIP", "album/one.ZIP.contents", "album/one.ZIP.contents/in.zip", "album/one.ZIP.contents/in.zip.contents",
			"album/one.ZIP.contents/in.zip.contents/deep.txt", "lone.zip", "lone.zip.contents", "lone.zip.contents/in.zip",
			"lone.zip.contents/in.zip.contents", "lone.zip.contents/in.zip.contents/deep.txt",
		}, map[string]string{
			"album/one.ZIP": string(outer), "lone.zip": string(outer), "lone.zip.contents/in.zip": string(inner), "album/one.ZIP.contents/in.zip.contents/deep.txt": "deep",
		}},
		{"off", []string{"album", "album/cover.txt", "album/one.ZIP", "lone.zip"}, map[string]string{"album/one.ZIP": string(outer), "lone.zip": string(outer)}},
		{"folder", []string{
			"album", "album/cover.txt", "album/one.ZIP", "album/one.ZIP/in.zip", "album/one.ZIP/in.zip/deep.txt",
			"lone.zip", "lone.zip/in.zip", "lone.zip/in.zip/deep.txt",
		}, map[string]string{"lone.zip/in.zip/deep.txt": "deep"}},
	} {
		a.Call(t, http.MethodPatch, "/routes/music", map[string]string{"archives": test.way}, http.StatusOK, nil)
		var got []string
		for line := range strings.Lines(succeed(t, "nfs-ls", "-R", top)) {
			if f := strings.Fields(line); len(f) > 5 {
				got = append(got, f[len(f)-1])
			}
		}
		slices.Sort(got)
		compare(t, "nfs-ls -R, archives "+test.way, got, test.want)
		for path, want := range test.read {
			if got := succeed(t, "nfs-cat", top+"/"+path); got != want {
				t.Errorf("archives %s: nfs-cat of %s gives %d bytes, and not the %d of the file", test.way, path, len(got), len(want))
			}
		}
	}
}

// TestLibnfsCompressed lists and reads what all of an archive has to be decoded for: a folder once all is there, a file before.
func TestLibnfsCompressed(t *testing.T) {
	netns.Require(t)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=src")
	content := strings.Repeat("all work and no play\n", 100_000)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: "src/main.c", Mode: 0o755, Size: int64(len(content))})
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	files := []complete.File{
		{Path: "a.tar.gz", Content: compressed(t, "gz", b.Bytes())},
		{Path: "b.tar.xz", Content: compressed(t, "xz", b.Bytes())},
		{Path: "c.TZST", Content: compressed(t, "zst", b.Bytes())},
		{Path: "d.log.gz", Content: compressed(t, "gz", []byte(content))},
		{Path: "e.log.xz", Content: compressed(t, "xz", []byte(content))},
	}
	a.AddComplete(t, "src", "there", files...)
	dead := a.AddDead(t, "src", "away", files...)
	const top = "nfs://127.0.0.1/src/"
	for _, restart := range []bool{false, true} {
		if restart {
			a.Kill(t)
			a.Restart(t)
		}
		for path, mode := range map[string]string{
			"a.tar.gz/src/main.c": "-r-xr-xr-x", "b.tar.xz/src/main.c": "-r-xr-xr-x", "c.TZST/src/main.c": "-r-xr-xr-x",
			"d.log.gz/d.log": "-r--r--r--", "e.log.xz/e.log": "-r--r--r--",
		} {
			if got := succeed(t, "nfs-ls", "-R", top+"there"); !strings.Contains(got, " "+path+"\n") || !strings.Contains(got, mode) {
				t.Errorf("nfs-ls -R says, without %s:\n%s", path, got)
			}
			if got := succeed(t, "nfs-cat", top+"there/"+path); got != content {
				t.Errorf("nfs-cat of %s: %d bytes, and not the %d of the member", path, len(got), len(content))
			}
		}
		got := succeed(t, "nfs-ls", top+"away")
		if strings.Count(got, "\n-r") != 3 && strings.Count("\n"+got, "\n-r") != 4 {
			t.Errorf("nfs-ls of what is not there says:\n%s", got)
		}
	}
	var list struct {
		Archives []struct{ Path, State string }
	}
	a.Call(t, http.MethodGet, "/torrents/"+dead.Infohash+"/archives", nil, http.StatusOK, &list)
	waiting := 0
	for _, of := range list.Archives {
		if of.State == "waiting" {
			waiting++
		}
	}
	if len(list.Archives) != 5 || waiting != 4 {
		t.Errorf("the API says of the archives that are not there: %+v", list.Archives)
	}
}

// compressed compresses data as a tool would.
func compressed(t *testing.T, how string, data []byte) []byte {
	t.Helper()
	return archivetest.Compressed(t, data, map[string]func(io.Writer) (io.WriteCloser, error){
		"gz":  func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"xz":  func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
		"zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) },
	}[how])
}

// zipped returns a zip archive of one file.
func zipped(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err == nil {
		_, err = io.WriteString(f, content)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
