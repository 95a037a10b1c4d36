//go:build linux

package clients

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

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
