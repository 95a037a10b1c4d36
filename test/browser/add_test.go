//go:build linux

package browser_test

import (
	"net/url"
	"testing"
)

// TestAdding adds torrents in all ways that there are.
func TestAdding(t *testing.T) {
	p := enter(t)
	files, magnets := torrents(t, "paste-1", "paste-2", "drop-1", "drop-2", "drop-3", "handler", "form")

	// There is something to begin with.
	p.AwaitText("Sintel", soon)
	p.Screenshot("empty")
	p.Click("Add: Big Buck Bunny")
	p.In("main").AwaitText("1 torrent was added to films.", soon)

	// Paste, on any page.
	p.Go(p.home + "/settings")
	p.Paste(magnets[0] + "\n" + magnets[1])
	p.In("main table").AwaitText("paste-1", soon)
	p.In("main table").AwaitText("paste-2", soon)
	p.CheckAccessible()
	p.Screenshot("preview")
	p.In("main").Click("Add")
	p.In("main").AwaitText("2 torrents were added to films.", soon)

	// Drop, too: files, and links from other pages.
	p.Go(p.home + "/")
	p.DropFiles("main", files[2], files[3])
	p.In("main table").AwaitText("drop-1", soon)
	p.In("main table").AwaitText("drop-2", soon)
	p.In("main table").Untick("drop-1")
	p.In("main").Click("Add")
	p.In("main").AwaitText("1 torrent was added to films.", soon)
	p.Go(p.home + "/torrents")
	p.DropText("main", magnets[4])
	p.In("main table").AwaitText("drop-3", soon)
	p.In("main").Click("Add")
	p.In("main").AwaitText("1 torrent was added to films.", soon)

	// What the browser does with a magnet link of another site, once it was told so.
	p.Go(p.home + "/add?uri=" + url.QueryEscape(magnets[5]))
	p.In("main table").AwaitText("handler", soon)
	p.In("main").Click("Add")
	p.In("main").AwaitText("1 torrent was added to films.", soon)

	// The form: what is there already is named, and so is what cannot be added.
	p.In("nav").Follow("Add")
	p.Fill("Links", magnets[0]+"\nno link at all")
	p.Attach("Files", files[3], files[6])
	p.Fill("Or the name of a new route", "music")
	p.In("main").Click("Preview")
	p.In("main table").AwaitText("form", soon)
	p.In("main table").AwaitText("It is there already: films/paste-1", soon)
	p.In("main table").AwaitText("It is there already: films/drop-2", soon)
	p.In("main table").AwaitText("no link at all", soon)
	p.Screenshot("preview-known")
	p.In("main").Click("Add")
	p.In("main").AwaitText("1 torrent was added to music.", soon)
	p.CheckAccessible()
	p.Screenshot("added")
	p.Follow("See them")
	p.AwaitPath("/torrents?route=music")
	p.In("main table").AwaitText("form", soon)
	p.In("nav").Follow("Torrents")
	for _, name := range []string{"Big Buck Bunny", "paste-1", "paste-2", "drop-2", "drop-3", "handler", "form"} {
		p.In("main table").AwaitText(name, soon)
	}
	if p.In("main table").Has("drop-1") {
		t.Error("what was not ticked was added all the same")
	}
}
