package admin

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/gorilla/mux"

	"shoal/torrents"
)

// ArchiveState is what is known of an archive.
type ArchiveState string

// The states.
const (
	ArchiveUnread  ArchiveState = "unread"  // nobody has looked inside
	ArchiveWaiting ArchiveState = "waiting" // it stays a file until all of it is in the cache, as all has to be read to list it
	ArchiveReading ArchiveState = "reading" // that was asked for, and goes on
	ArchiveFolder  ArchiveState = "folder"  // what is inside is known
	ArchiveRefused ArchiveState = "refused" // it stays a file
)

// ArchiveStates returns all of them.
func ArchiveStates() []ArchiveState {
	return []ArchiveState{ArchiveUnread, ArchiveWaiting, ArchiveReading, ArchiveFolder, ArchiveRefused}
}

// Archive is a file in a torrent, or in another archive, that is an archive by its name.
type Archive struct {
	// Place is that in the metainfo, and behind a dash that of a member in its archive: "12-5".
	Place   string       `json:"archive"`
	Path    string       `json:"path"` // from the torrent's top down; empty for a torrent that is a single file
	Size    int64        `json:"size"` // in bytes
	State   ArchiveState `json:"state"`
	Reason  string       `json:"reason"`  // why it is refused, or not all of it is listed
	Members *int         `json:"members"` // files, folders and links inside; nil while unknown
}

// ArchiveQuery says which archives of a torrent to list.
type ArchiveQuery struct {
	State ArchiveState // only those in it; empty for all
	After string       // the place of the last one of the page before; empty for the first page
	Limit int          // at least 1
}

// ArchivePage is a part of a list, in the order of places.
type ArchivePage struct {
	Archives []Archive
	Total    int // on all pages
	More     bool
}

// Archives tells of the archives in torrents.
type Archives interface {
	// List lists archives of a torrent, and those in them that somebody has looked into. It waits for nobody. It is an empty page while
	// the metadata is unknown.
	List(ih torrents.Infohash, query ArchiveQuery) (ArchivePage, error)
	// Look forgets why an archive was refused, reads it, all of it if need be, and returns what is known then. Should that take longer,
	// it returns ArchiveReading, and reading goes on. The error is torrents.ErrNotFound, ErrBusy, ErrNoRoom, one of reading the torrent, or
	// that of ctx.
	Look(ctx context.Context, ih torrents.Infohash, place string) (Archive, error)
	// Refused returns, at once, how many archives are refused, as far as that is known since the start.
	Refused(ih torrents.Infohash) int
}

var (
	// ErrBusy is returned by Archives.Look while as many archives are being read as may be.
	ErrBusy = errors.New("too many archives are being read")
	// ErrNoRoom is returned by Archives.Look if there is no room for what is in the archive, be it in memory or in the cache.
	ErrNoRoom = errors.New("there is no room for what is in the archive")
)

func (s *server) registerArchives(api *mux.Router) {
	api.HandleFunc("/torrents/{infohash}/archives", s.withInfohash(s.listArchives)).Methods(http.MethodGet, http.MethodHead)
	api.HandleFunc("/torrents/{infohash}/archives/{archive}", s.withInfohash(s.lookIntoArchive)).Methods(http.MethodPost)
}

// archivePlace is what Archive.Place looks like.
var archivePlace = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(-(0|[1-9][0-9]{0,8})){0,7}$`)

func (s *server) listArchives(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	if _, err := s.library.Torrent(ih); err != nil {
		return err
	}
	v := r.URL.Query()
	query := ArchiveQuery{State: ArchiveState(v.Get("state"))}
	if query.State != "" && !slices.Contains(ArchiveStates(), query.State) {
		return badRequest("There is no state of an archive called %.40q.", v.Get("state"))
	}
	var err error
	if query.Limit, err = parseLimit(v.Get("limit"), defaultLimit); err != nil {
		return err
	}
	var after *string
	if err := decodeCursor(v.Get("cursor"), &after); err != nil {
		return err
	}
	if after != nil {
		if query.After = *after; !archivePlace.MatchString(query.After) {
			return badRequest("The cursor %.60q is not one that this API gave.", v.Get("cursor"))
		}
	}
	page, err := s.inside.List(ih, query)
	if err != nil {
		return err
	}
	list := struct {
		Archives []Archive `json:"archives"`
		Total    int       `json:"total"`          // that match, on all pages
		Next     string    `json:"next,omitempty"` // cursor of the next page
	}{Archives: page.Archives, Total: page.Total}
	if n := len(page.Archives); page.More && n > 0 {
		list.Next = encodeCursor(page.Archives[n-1].Place)
	}
	writeJSON(w, http.StatusOK, "application/json", list)
	return nil
}

// lookIntoArchive reads an archive, and does not wait for long.
func (s *server) lookIntoArchive(w http.ResponseWriter, r *http.Request, ih torrents.Infohash) error {
	place := mux.Vars(r)["archive"]
	if !archivePlace.MatchString(place) {
		return badRequest("%.60q is not an archive: use the “archive” of one that is listed, such as 12 or 12-5.", place)
	}
	if _, err := s.library.Torrent(ih); err != nil {
		return err
	}
	a, err := s.inside.Look(r.Context(), ih, place)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if a.State == ArchiveReading {
		status = http.StatusAccepted
	}
	writeJSON(w, status, "application/json", a)
	return nil
}
