package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

var (
	routesPage      = page{name: "routes", parts: []string{"route-table", "watch"}}
	routeDeletePage = page{name: "route_delete", nav: "routes"}
)

const (
	// maxWatchProblems is how many files of the watch folder with something wrong are shown.
	maxWatchProblems = 100
	// maxMoveTime is how long moving the torrents of a route that is deleted may take; each is written to the disk.
	maxMoveTime = time.Minute
)

func (s *server) registerRoutePages(r *mux.Router) {
	s.handlePage(r, "/routes", routesPage, s.viewRoutes)
	r.HandleFunc("/routes", s.form(s.createRoute)).Methods(http.MethodPost)
	r.HandleFunc("/routes/{route}", s.form(s.saveRoute)).Methods(http.MethodPost)
	s.handlePage(r, "/routes/{route}/delete", routeDeletePage, s.viewRouteDelete)
	r.HandleFunc("/routes/{route}/delete", s.form(s.deleteRoute)).Methods(http.MethodPost)
}

// routesView is the routes, and what comes into them from the watch folder.
type routesView struct {
	Rows  []routeRow
	Modes []torrents.Archives
	Mode  torrents.Archives // of a route that is made
	Watch *watchView        // nil without a watch folder
}

type routeRow struct {
	torrents.Route
	Size, Cached int64 // of its torrents, in bytes
	Modes        []torrents.Archives
}

// watchView is the watch folder, with what is wrong there.
type watchView struct {
	torrents.Watch
	Added, Waiting, Removed, Broken int // files, or lines of .magnet files
	Problems                        []torrents.WatchFile
	MoreProblems                    int
}

var archiveModes = []torrents.Archives{torrents.ArchivesFolder, torrents.ArchivesBoth, torrents.ArchivesOff}

func (s *server) viewRoutes(*http.Request) (any, error) {
	routes := s.library.Routes()
	v := routesView{Rows: make([]routeRow, len(routes)), Modes: archiveModes, Mode: s.archives, Watch: s.viewWatch()}
	places := make(map[string]int, len(routes))
	for i, r := range routes {
		v.Rows[i] = routeRow{Route: r, Modes: archiveModes}
		places[r.Name] = i
	}
	for _, t := range s.seenTorrents() {
		if i, ok := places[t.Route]; ok {
			v.Rows[i].Size += t.Size
			v.Rows[i].Cached += t.Cached
		}
	}
	return v, nil
}

func (s *server) viewWatch() *watchView {
	v := watchView{Watch: s.library.Watch()}
	if v.State == torrents.WatchOff {
		return nil
	}
	for _, f := range v.Files {
		switch f.State {
		case torrents.WatchFileAdded:
			v.Added++
		case torrents.WatchFileWaiting:
			v.Waiting++
		case torrents.WatchFileRemoved:
			v.Removed++
		case torrents.WatchFileBroken:
			if v.Broken++; v.Broken <= maxWatchProblems {
				v.Problems = append(v.Problems, torrents.WatchFile{Path: visible(f.Path), Error: f.Error})
			}
		}
	}
	v.MoreProblems = v.Broken - len(v.Problems)
	v.Files = nil
	return &v
}

func (s *server) createRoute(r *http.Request) (string, note, error) {
	archives, err := torrents.ParseArchives(r.PostForm.Get("archives"))
	if err != nil {
		return "", note{}, err
	}
	route, err := s.library.AddRoute(r.PostForm.Get("name"), archives)
	if err != nil {
		return "", note{}, err
	}
	return s.url("/routes"), note{Text: s.locale(r).T("routes.created", route.Name)}, nil
}

// saveRoute renames a route, and changes how it shows archives.
func (s *server) saveRoute(r *http.Request) (string, note, error) {
	archives, err := torrents.ParseArchives(r.PostForm.Get("archives"))
	if err != nil {
		return "", note{}, err
	}
	name := r.PostForm.Get("name")
	route, err := s.library.ChangeRoute(mux.Vars(r)["route"], &name, &archives)
	if err != nil {
		return "", note{}, err
	}
	return s.url("/routes"), note{Text: s.locale(r).T("routes.saved", route.Name)}, nil
}

// routeDeleteView asks whether a route shall go, and says what goes with it.
type routeDeleteView struct {
	routeRow
	Others []string // routes that its torrents could move to
}

func (s *server) findRoute(name string) (torrents.Route, error) {
	routes := s.library.Routes()
	i := slices.IndexFunc(routes, func(r torrents.Route) bool { return r.Name == name })
	if i < 0 {
		return torrents.Route{}, fmt.Errorf("route %.60q: %w", name, torrents.ErrNotFound)
	}
	return routes[i], nil
}

func (s *server) viewRouteDelete(r *http.Request) (any, error) {
	route, err := s.findRoute(mux.Vars(r)["route"])
	if err != nil {
		return nil, err
	}
	v := routeDeleteView{routeRow: routeRow{Route: route}}
	for _, t := range s.library.Torrents() {
		if t.Route == route.Name {
			v.Size += t.Size
			v.Cached += t.Cached
		}
	}
	for _, other := range s.library.Routes() {
		if other.ID != route.ID {
			v.Others = append(v.Others, other.Name)
		}
	}
	return v, nil
}

// deleteRoute deletes a route: its torrents as well, or after they were moved to another one. A route that has torrents which the
// page that asked did not know of stays, and the page asks again.
func (s *server) deleteRoute(r *http.Request) (string, note, error) {
	name, l := mux.Vars(r)["route"], s.locale(r)
	what := r.PostForm.Get("torrents")
	if what == "move" {
		if err := s.moveTorrents(r.Context(), name, r.PostForm.Get("to")); err != nil {
			return "", note{}, err
		}
	}
	err := s.library.RemoveRoute(name, what == "delete")
	if _, ok := errors.AsType[*torrents.NotEmptyError](err); ok {
		return s.url("/routes", name, "delete"), note{Text: l.T("routes.not_empty", name), Error: true}, nil
	}
	if err != nil {
		return "", note{}, err
	}
	return s.url("/routes"), note{Text: l.T("routes.deleted", name)}, nil
}

// moveTorrents moves all torrents of a route to another one. It stops at the first that cannot be moved.
func (s *server) moveTorrents(ctx context.Context, from, to string) error {
	ctx, cancel := context.WithTimeout(ctx, maxMoveTime)
	defer cancel()
	if from == to {
		return badRequest("The torrents are in the route %.60q that is to be deleted; choose another one.", to)
	}
	if err := s.checkRoute(to); err != nil {
		return err
	}
	moved := 0
	for _, t := range s.library.Torrents() {
		if t.Route != from {
			continue
		}
		if ctx.Err() != nil {
			return &requestError{http.StatusServiceUnavailable, fmt.Sprintf("Moving the torrents takes long: %d are in %.60q now. Do it again for the rest.", moved, to)}
		}
		_, err := s.library.ChangeTorrent(t.Infohash, torrents.TorrentChange{Route: &to})
		if err != nil && !errors.Is(err, torrents.ErrNotFound) { // it was removed meanwhile
			return fmt.Errorf("move %.60q: %w", t.Name, err)
		}
		moved++
	}
	return nil
}
