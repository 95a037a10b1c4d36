//go:build linux

package browser_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"shoal/test/seeder"
)

// TestTorrentPage follows a torrent of folders on its page: from link to files, what is read on the map of pieces, and its forms.
func TestTorrentPage(t *testing.T) {
	seeder.Require(t)
	dir := t.TempDir()
	const name, film = "show & co", "season 1/episode 1.mkv"
	for path, size := range map[string]int{film: 16 << 20, "season 1/extras/small.txt": 1000, "read me.txt": 10} {
		full := filepath.Join(dir, name, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		writeRandom(t, full, size)
	}
	d := seeder.Start(t, dir)
	infohash := d.Add(t, seeder.Create(t, filepath.Join(dir, name), 64<<10, false))
	d.Eager(t)
	p := enter(t, "SHOAL_BT_PEERS="+d.Addr(), "SHOAL_BT_DOWN_LIMIT=512KiB")
	p.a.AddMagnet(t, "films", "magnet:?xt=urn:btih:"+infohash)

	// The files come by themselves once the metadata is there, as does the name in its field.
	p.Go(p.home + "/torrents/" + infohash)
	p.In("#files").AwaitText("season 1", later)
	var value string
	if p.Eval(`document.querySelector("#name").value`, &value); value != name {
		t.Errorf("the field for the name has %q, want %q", value, name)
	}

	// A folder is loaded alone, and the way back leads out of it.
	p.Eval(`window.stays = true`, nil)
	p.In("#files").Follow("season 1")
	p.In("#files").AwaitText("episode 1.mkv", soon)
	p.Await(`location.search === "?path=season+1" && window.stays`, soon)
	p.Eval(`history.back()`, nil)
	p.In("#files").AwaitText("read me.txt", soon)

	p.Go(p.home + "/torrents/" + infohash + "?path=season+1")
	read(t, "nfs://127.0.0.1/films/"+name+"/"+film)
	p.In("#head").AwaitText("active", later)
	p.In("#peers").AwaitText("Transmission", later)
	p.In("#readers").AwaitText(film, later)
	p.Await(`document.querySelector("canvas.pieces").getAttribute("aria-label").includes("127.0.0.1: `+film+`")`, soon)
	p.Await(`Number(document.querySelector("[data-piece-state='4'] .count").textContent) > 5`, later)
	for _, look := range []struct {
		name   string
		prefer func()
		width  int
	}{{"light", p.Light, 1280}, {"dark", p.Dark, 1280}, {"light", p.Light, 390}, {"dark", p.Dark, 390}} {
		look.prefer()
		p.Resize(look.width, 900)
		p.CheckAccessible()
		p.Screenshot(fmt.Sprintf("torrent-%s-%d", look.name, look.width))
		var wide int
		if p.Eval("document.documentElement.scrollWidth", &wide); wide > look.width {
			t.Errorf("the page is %d pixels wide in a window of %d", wide, look.width)
		}
	}
	p.Resize(1280, 900)

	// What another one does is seen, and does not take what somebody is writing.
	p.In("#actions").Fill("Name", "mine")
	p.a.Call(t, http.MethodPatch, "/torrents/"+infohash, map[string]any{"name": "theirs"}, http.StatusOK, nil)
	p.In("#head").AwaitText("theirs", soon)
	p.In("#actions").Click("Rename")
	p.In("#head").AwaitText("mine", soon)
	p.a.Call(t, http.MethodPatch, "/torrents/"+infohash, map[string]any{"paused": true}, http.StatusOK, nil)
	p.In("#actions").Click("Resume")
	p.AwaitText("The torrent goes on.", soon)
	p.In("main").Click("Delete")
	p.CheckAccessible()
	p.Screenshot("torrent-delete")
	p.In("main").Click("Cancel")
	p.In("#actions").AwaitText("Pause", soon)
}
