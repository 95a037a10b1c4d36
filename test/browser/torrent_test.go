//go:build linux

package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"shoal/test/appliance"
	"shoal/test/seeder"
)

const (
	show     = "show & co"
	inSeason = "season 1"
	episode  = inSeason + "/episode 1.mkv"
)

// shows makes a torrent of folders in a folder. At the rate of TestTorrent reading the episode takes longer than the test.
func shows(t *testing.T, dir string) (torrent []byte) {
	t.Helper()
	for path, size := range map[string]int{episode: 64 << 20, inSeason + "/extras/small.txt": 1000, "read me.txt": 10} {
		full := filepath.Join(dir, show, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		writeRandom(t, full, size)
	}
	return seeder.Create(t, filepath.Join(dir, show), 128<<10, false)
}

// read reads a file over NFS until the test ends.
func read(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "nfs-cat", url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("read %s: %v", url, err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
}

// TestTorrent follows a torrent that a foreign peer has from the link to its end, with one page open most of the time: metadata, idle,
// active while a client reads it.
func TestTorrent(t *testing.T) {
	seeder.Require(t)
	dir := t.TempDir()
	torrent := shows(t, dir)
	d := seeder.Start(t, dir)
	infohash := d.Add(t, torrent)
	d.Eager(t)
	d.Stop(t)
	p := enter(t, "SHOAL_BT_PEERS="+d.Addr(), "SHOAL_BT_DOWN_LIMIT=512KiB")

	p.Paste("magnet:?xt=urn:btih:" + infohash)
	p.In("main table").AwaitText(infohash, soon)
	p.In("main").Click("Add")
	p.In("main").AwaitText("1 torrent was added to films.", soon)
	p.In("nav").Follow("Torrents")
	p.In("#list").AwaitText("looking for metadata", soon)
	p.In("#list").Follow(infohash)
	p.In("#head").AwaitText("looking for metadata", soon)
	p.In("#files").AwaitText("The files are known once a peer has sent the metadata.", soon)
	p.Screenshot("torrent-metadata")

	// Its peer comes back: the page shows by itself what there is, with the name in its field.
	d.Restart(t)
	p.In("#head").AwaitText("idle", later)
	p.In("#head").AwaitText(show, soon)
	p.In("#files").AwaitText(inSeason, soon)
	var value string
	if p.Eval(`document.querySelector("#name").value`, &value); value != show {
		t.Errorf("the field for the name has %q, want %q", value, show)
	}
	p.checkFolders()
	p.checkReading(infohash)
	p.checkForms(infohash)
	p.checkDeleting(infohash)
}

// checkFolders opens a folder of a torrent, whose page is shown, and goes back.
func (p *person) checkFolders() {
	p.t.Helper()
	p.Eval(`window.stays = true`, nil)
	p.In("#files").Follow(inSeason)
	p.In("#files").AwaitText("episode 1.mkv", soon)
	p.Await(`location.search === "?path=season+1" && window.stays`, soon)
	p.Eval(`history.back()`, nil)
	p.In("#files").AwaitText("read me.txt", soon)
}

// checkReading looks at the pages while a client reads the episode.
func (p *person) checkReading(infohash string) {
	p.t.Helper()
	p.Go(p.home + "/torrents/" + infohash + "?path=season+1")
	read(p.t, "nfs://127.0.0.1/films/"+show+"/"+episode)
	p.In("#head").AwaitText("active", later)
	p.In("#peers").AwaitText("Transmission", later)
	p.In("#readers").AwaitText("127.0.0.1", later)
	p.In("#readers").AwaitText(episode, soon)
	p.Await(`document.querySelector("canvas.pieces").getAttribute("aria-label").includes("127.0.0.1: `+episode+`")`, soon)
	p.Await(`Number(document.querySelector("[data-piece-state='4'] .count").textContent) > 5`, later)
	p.lookAround("torrent")

	p.Go(p.home + "/torrents?state=active")
	p.In("#list").AwaitText(show, soon)
	p.Go(p.home + "/clients")
	p.In("main").AwaitText(episode, soon)
	p.Go(p.home + "/")
	p.In("#readers").AwaitText(episode, soon)
	p.Await(`document.querySelector(".chart canvas")`, soon)
	p.lookAround("overview-busy")
	p.In("#readers").Follow(episode)
	p.AwaitPath("/torrents/" + infohash)
}

// lookAround looks at the page in both themes, on a large window and on a phone.
func (p *person) lookAround(name string) {
	p.t.Helper()
	for _, look := range []struct {
		name   string
		prefer func()
		width  int
	}{{"light", p.Light, 1280}, {"dark", p.Dark, 1280}, {"dark", p.Dark, 390}, {"light", p.Light, 390}} {
		look.prefer()
		p.Resize(look.width, 900)
		p.CheckAccessible()
		p.Screenshot(fmt.Sprintf("%s-%s-%d", name, look.name, look.width))
		var wide int
		if p.Eval("document.documentElement.scrollWidth", &wide); wide > look.width {
			p.t.Errorf("%s is %d pixels wide in a window of %d", p.URL(), wide, look.width)
		}
	}
	p.Resize(1280, 900)
}

// checkForms uses the forms of a torrent, whose page is shown, while another one changes it as well: that is seen, and does not take what
// somebody is writing.
func (p *person) checkForms(infohash string) {
	p.t.Helper()
	p.In("#actions").Fill("Name", "mine")
	p.a.Call(p.t, http.MethodPatch, "/torrents/"+infohash, map[string]any{"name": "theirs"}, http.StatusOK, nil)
	p.In("#head").AwaitText("theirs", soon)
	p.In("#actions").Click("Rename")
	p.In("main").AwaitText("The torrent is called mine now.", soon)
	p.a.Call(p.t, http.MethodPatch, "/torrents/"+infohash, map[string]any{"paused": true}, http.StatusOK, nil)
	p.In("#actions").Click("Resume")
	p.AwaitText("The torrent goes on.", soon)
}

// checkDeleting deletes a torrent, whose page is shown, in the end.
func (p *person) checkDeleting(infohash string) {
	p.t.Helper()
	p.In("main").Click("Delete")
	p.AwaitText("Delete this torrent?", soon)
	p.CheckAccessible()
	p.Screenshot("torrent-delete")
	p.In("main").Click("Cancel")
	gone := p.another()
	gone.Go(p.home + "/torrents/" + infohash)
	gone.In("#head").AwaitText("mine", soon)
	p.In("#actions").Click("Delete")
	p.AwaitText("Delete this torrent?", soon)
	p.In("main").Click("Delete")
	p.In("main").AwaitText("mine is deleted.", soon)
	if status := p.a.Status(p.t, "/api/v1/torrents/"+infohash, appliance.Token); status != http.StatusNotFound {
		p.t.Errorf("the API still answers %d for the torrent", status)
	}
	// Where it is shown still, the page says so.
	gone.Allow("status 404: (GET|HEAD) .*/torrents/" + infohash)
	gone.AwaitText("not in the library", soon)
}
