package torrents

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Archives says how a route shows the archives in its torrents.
type Archives string

// The ways to show an archive.
const (
	ArchivesFolder Archives = "folder" // as a folder with its name
	ArchivesBoth   Archives = "both"   // as the file, and a folder named <name>.contents
	ArchivesOff    Archives = "off"    // as the file
)

// ParseArchives reads one of the values. The error is an *InputError.
func ParseArchives(s string) (Archives, error) {
	if a := Archives(s); slices.Contains([]Archives{ArchivesFolder, ArchivesBoth, ArchivesOff}, a) {
		return a, nil
	}
	return "", inputErrorf("archives is %.40q, and has to be folder, both or off", s)
}

// UnmarshalText lets configuration and JSON check the value.
func (a *Archives) UnmarshalText(b []byte) error {
	parsed, err := ParseArchives(string(b))
	if err == nil {
		*a = parsed
	}
	return err
}

// Route describes a route.
type Route struct {
	ID       uint64 // persistent, and never used again
	Name     string
	Archives Archives
	Torrents int       // in it
	Changed  time.Time // when its listing last changed
	Folder   string    // of the watch folder, whose torrents come into the route; empty if there is none. Only Library.Routes tells
}

// CheckRouteName says why a name cannot be that of a route, with an *InputError. Unlike the names in
// a torrent it is not repaired: whoever gives it can give another.
func CheckRouteName(name string) error {
	return checkName("route", name)
}

func checkName(what, name string) error {
	if name == "" {
		return inputErrorf("the %s has no name", what)
	}
	if clean := possibleName(name); clean != name {
		return inputErrorf("%.60q cannot be the name of a %s: use up to %d bytes of UTF-8 without slashes, backslashes and control characters, and not “.” or “..”", name, what, maxName)
	}
	return nil
}

func (r *routeRecord) describe(torrents int) Route {
	return Route{ID: r.ID, Name: r.Name, Archives: r.Archives, Changed: r.Changed, Torrents: torrents}
}

// Routes lists the routes by name.
func (l *Library) Routes() []Route {
	l.mu.RLock()
	defer l.mu.RUnlock()
	count := make(map[uint64]int)
	for _, e := range l.entries {
		count[e.route]++
	}
	folders := make(map[uint64]string)
	if l.opts.Watch.Dir != "" {
		for name, folder := range l.state.Watch.Folders {
			folders[folder.Route] = name
		}
	}
	routes := make([]Route, len(l.state.Routes))
	for i := range l.state.Routes {
		r := &l.state.Routes[i]
		routes[i] = r.describe(count[r.ID])
		routes[i].Folder = folders[r.ID]
	}
	slices.SortFunc(routes, func(a, b Route) int { return strings.Compare(a.Name, b.Name) })
	return routes
}

// inRoute lists the torrents of a route. It needs l.mu or l.changing.
func (l *Library) inRoute(id uint64) []*entry {
	var list []*entry
	for _, e := range l.entries {
		if e.route == id {
			list = append(list, e)
		}
	}
	return list
}

// AddRoute makes a route. The error is an *InputError for a bad name, or an *ExistsError.
func (l *Library) AddRoute(name string, archives Archives) (Route, error) {
	if err := CheckRouteName(name); err != nil {
		return Route{}, err
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	next := l.state.clone()
	if next.route(name) != nil {
		return Route{}, &ExistsError{Route: name}
	}
	added := next.addRoute(name, archives, l.now())
	if err := l.writeState(next); err != nil {
		return Route{}, err
	}
	route := added.describe(0)
	l.opts.Watcher.PutRoute(route)
	return route, nil
}

// addRoute adds a route whose name is free.
func (s *libraryRecord) addRoute(name string, archives Archives, now time.Time) routeRecord {
	added := routeRecord{ID: s.takeIDs(1), Name: name, Archives: archives, Changed: now}
	s.Routes = append(s.Routes, added)
	return added
}

// ChangeRoute renames a route, or changes how it shows archives; nil leaves a property as it is.
// The error is ErrNotFound, an *InputError or an *ExistsError.
func (l *Library) ChangeRoute(name string, newName *string, archives *Archives) (Route, error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	next := l.state.clone()
	r := next.route(name)
	if r == nil {
		return Route{}, fmt.Errorf("route %q: %w", name, ErrNotFound)
	}
	if newName != nil && *newName != name {
		if err := CheckRouteName(*newName); err != nil {
			return Route{}, err
		}
		if next.route(*newName) != nil {
			return Route{}, &ExistsError{Route: *newName}
		}
		r.Name = *newName
	}
	if archives != nil {
		r.Archives = *archives
	}
	if err := l.writeState(next); err != nil {
		return Route{}, err
	}
	route := r.describe(len(l.inRoute(r.ID)))
	l.opts.Watcher.PutRoute(route)
	return route, nil
}

// RemoveRoute deletes a route. The error is ErrNotFound, or a *NotEmptyError if there are torrents
// in it, unless withTorrents says to remove these as well.
func (l *Library) RemoveRoute(name string, withTorrents bool) error {
	l.changing.Lock()
	defer l.changing.Unlock()
	r := l.state.route(name)
	if r == nil {
		return fmt.Errorf("route %q: %w", name, ErrNotFound)
	}
	return l.removeRoute(r, withTorrents)
}

// removeRoute needs l.changing.
func (l *Library) removeRoute(r *routeRecord, withTorrents bool) error {
	inside := l.inRoute(r.ID)
	if len(inside) > 0 && !withTorrents {
		return &NotEmptyError{Route: r.Name, Torrents: len(inside)}
	}
	for _, e := range inside {
		if err := l.remove(e, true); err != nil {
			return err
		}
	}
	id := r.ID
	next := l.state.clone()
	next.Routes = slices.DeleteFunc(next.Routes, func(r routeRecord) bool { return r.ID == id })
	if err := l.writeState(next); err != nil {
		return err
	}
	l.opts.Watcher.RemoveRoute(id)
	return nil
}
