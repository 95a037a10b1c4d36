//go:build linux

package browser_test

import (
	"net/http"
	"slices"
	"testing"
)

// routes are the names of the routes that there are.
func (p *person) routes() (names []string) {
	p.t.Helper()
	var list struct{ Routes []struct{ Name string } }
	p.a.Call(p.t, http.MethodGet, "/routes", nil, http.StatusOK, &list)
	for _, r := range list.Routes {
		names = append(names, r.Name)
	}
	return names
}

// checkRoutes fails the test if there are other routes than these.
func (p *person) checkRoutes(want ...string) {
	p.t.Helper()
	if got := p.routes(); !slices.Equal(got, want) {
		p.t.Errorf("the routes are %q, want %q", got, want)
	}
}

// TestRoutes makes, renames and deletes routes; an empty one, and one with a torrent, which moves.
func TestRoutes(t *testing.T) {
	p := enter(t)
	p.In("nav").Follow("Routes")
	p.createAndRename("musik", "music")
	p.checkRoutes("films", "music")
	_, magnets := torrents(t, "song")
	song := p.a.AddMagnet(t, "music", magnets[0])
	p.Follow("Delete: films")
	p.AwaitText("No torrent is in it", soon)
	p.Screenshot("route-delete")
	p.Click("Delete")
	p.In("main").AwaitText("The route films was deleted.", soon)
	p.checkRoutes("music")

	p.createAndRename("film", "films")
	p.Follow("Delete: music")
	p.AwaitText("1 torrent of", soon)
	p.Tick("Move them to another route")
	p.Choose("To the route", "films")
	p.CheckAccessible()
	p.Screenshot("route-delete-move")
	p.Click("Delete")
	p.In("main").AwaitText("The route music was deleted.", soon)
	p.checkRoutes("films")
	if got := p.a.Torrent(t, song.Infohash); got.Route != "films" {
		t.Errorf("the torrent is in %q, want films", got.Route)
	}
}

// createAndRename makes a route by the page of routes, and gives it another name.
func (p *person) createAndRename(name, renamed string) {
	p.t.Helper()
	p.Fill("Name of the new route", name)
	p.Click("Create")
	p.In("main").AwaitText("The route "+name+" was created.", soon)
	p.Fill("Name: "+name, renamed)
	p.Click("Save: " + name)
	p.In("main").AwaitText("The route "+renamed+" was saved.", soon)
}
