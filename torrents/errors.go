package torrents

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrNotFound is returned for a route or torrent that is not in the library.
	ErrNotFound = errors.New("not in the library")
	// ErrGaveUp ends a read for which the swarm sent nothing for Options.ReadGiveUp.
	ErrGaveUp = errors.New("no data from the swarm")
	// ErrFailed ends a read of a torrent that cannot be used; its State says why.
	ErrFailed = errors.New("torrent failed")
	// ErrCacheTooSmall ends a read of a torrent whose pieces are larger than the cache may become.
	ErrCacheTooSmall = errors.New("the cache is too small")
	// ErrPaused ends a read of a paused torrent that needs what is not in the cache.
	ErrPaused = errors.New("torrent paused")
	// ErrPinned is returned for freeing the cache of a pinned torrent.
	ErrPinned = errors.New("torrent pinned")
	// ErrClosed is returned once Close has begun.
	ErrClosed = errors.New("library closed")
	// ErrListen is returned by Open when it cannot listen for peers.
	ErrListen = errors.New("listen for peers")
	// ErrBlocklist is returned by Open when the blocklist cannot be read.
	ErrBlocklist = errors.New("the blocklist cannot be read")
	// ErrUplink is returned by Open when it cannot keep to the interface or proxy.
	ErrUplink = errors.New("reach the swarm")
	// ErrLocked is returned by Open when another process has the library open.
	ErrLocked = errors.New("another instance is using it")
)

// InputError says in one sentence what is wrong with something that a user gave.
type InputError struct{ Reason string }

func (e *InputError) Error() string { return e.Reason }

func inputErrorf(format string, args ...any) error {
	return &InputError{Reason: fmt.Sprintf(format, args...)}
}

// ExistsError says what is already there under the name or infohash that a user gave.
type ExistsError struct {
	Route    string
	Torrent  string   // its name; empty if its record cannot be read
	Infohash Infohash // of the torrent; zero if it is the route that exists

	// How many trackers and web seeds it has been given that it did not have.
	Trackers, WebSeeds int
}

func (e *ExistsError) Error() string {
	switch {
	case e.Infohash == Infohash{}:
		return fmt.Sprintf("there is a route called %q already", e.Route)
	case e.Torrent == "":
		return fmt.Sprintf("the torrent %s is already in the library, and failed", e.Infohash)
	}
	where := fmt.Sprintf("the torrent %s is already in route %q as %q", e.Infohash, e.Route, e.Torrent)
	if e.Trackers+e.WebSeeds > 0 {
		where += fmt.Sprintf("; it got %s and %s that it lacked", counted(e.Trackers, "tracker"), counted(e.WebSeeds, "web seed"))
	}
	return where
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// NameTakenError says that another torrent of a route has the name that a user gave.
type NameTakenError struct {
	Route, Name string
	Infohash    Infohash // of the other
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("the route %q has another torrent called %q", e.Route, e.Name)
}

// WriteError says that a change could not be written to Options.DataDir. It was not made.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Full says whether there is no room for the change, so that making some helps.
func (e *WriteError) Full() bool {
	return errors.Is(e.Err, syscall.ENOSPC) || errors.Is(e.Err, syscall.EDQUOT) || errors.Is(e.Err, syscall.EFBIG)
}

// NotEmptyError says that a route cannot be deleted because of what is in it.
type NotEmptyError struct {
	Route    string
	Torrents int
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the route %q holds %d torrents", e.Route, e.Torrents)
}
