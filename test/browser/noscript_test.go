//go:build linux

package browser_test

import (
	"net/http"
	"testing"
)

// TestWithoutScripts uses the forms of the site in a browser that runs no script.
func TestWithoutScripts(t *testing.T) {
	p := visit(t, "SHOAL_ROUTES=films")
	p.NoScript(true)
	first := p.generated()
	p.logIn(first)
	p.changePassword(first, password)
	p.AwaitText("The password is changed.", soon)

	p.In("nav").Follow("Routes")
	p.createAndRename("musik", "music")
	p.Follow("Delete: films")
	p.Click("Delete")
	p.In("main").AwaitText("The route films was deleted.", soon)
	p.checkRoutes("music")

	files, magnets := torrents(t, "song", "link")
	p.In("nav").Follow("Add")
	p.Fill("Links", magnets[1])
	p.Attach("Files", files[0])
	p.In("main").Click("Preview")
	p.In("main table").AwaitText("song", soon)
	p.In("main").Click("Add")
	p.In("main").AwaitText("2 torrents were added to music.", soon)

	p.In("nav").Follow("Torrents")
	p.Fill("Name or infohash", "son")
	p.Click("Filter")
	p.AwaitText("1 torrent matches.", soon)
	p.Follow("song")
	p.changeTorrent()
	p.changeList()
	p.changeSettings()

	p.Choose("Theme", "Dark")
	p.Click("Apply")
	p.Await(`document.documentElement.dataset.theme === "dark"`, soon)
	p.Click("Log out")
	p.AwaitText("Forgotten?", soon)
}

// changeTorrent uses the forms of the page of a torrent, which is shown, and deletes it.
func (p *person) changeTorrent() {
	p.t.Helper()
	p.Click("Pause")
	p.In("main").AwaitText("The torrent is paused: only what is in the cache can be read.", soon)
	p.Click("Resume")
	p.In("main").AwaitText("The torrent goes on.", soon)
	p.Click("Pin")
	p.In("main").AwaitText("The torrent is pinned", soon)
	p.Click("Unpin")
	p.In("main").AwaitText("The torrent is not pinned any more.", soon)
	p.In("#actions").Fill("Name", "a song")
	p.Click("Rename")
	p.In("main").AwaitText("The torrent is called a song now.", soon)
	p.Click("Empty its cache")
	p.In("main").AwaitText("of the cache are free", soon)
	p.Click("Delete")
	p.Click("Delete") // on the page that asks
	p.In("main").AwaitText("a song is deleted.", soon)
}

// changeList uses the forms of the list of torrents, of which one is left.
func (p *person) changeList() {
	p.t.Helper()
	p.Go(p.home + "/torrents")
	p.Tick("Tick link")
	p.Click("Pause")
	p.In("main").AwaitText("1 torrent is paused.", soon)
	p.Tick("Tick link")
	p.Click("Delete")
	p.Click("Delete 1 torrent")
	p.In("main").AwaitText("1 torrent was deleted.", soon)
}

// changeSettings uses the forms of the settings.
func (p *person) changeSettings() {
	p.t.Helper()
	p.In("nav[aria-label=Menu]").Follow("Settings")
	p.In("#limits").Fill("From peers", "2MiB")
	p.In("#limits").Click("Save")
	p.In("main").AwaitText("The limits are changed.", soon)
	var limits struct {
		Down struct{ Value int64 } `json:"down_limit"`
	}
	p.a.Call(p.t, http.MethodGet, "/limits", nil, http.StatusOK, &limits)
	if limits.Down.Value != 2<<20 {
		p.t.Errorf("the limit is %d bytes per second, want 2 MiB", limits.Down.Value)
	}
	p.In("section:has(#new-token-title)").Fill("Name", "a script")
	p.Click("Make it")
	p.In("main").AwaitText("Copy it now", soon)
	p.Follow("Back to the settings")
	p.Follow("Remove: a script")
	p.Click("Remove")
	p.In("main").AwaitText("The API token a script is removed.", soon)
}
