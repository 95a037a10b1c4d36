package torrents

import (
	"errors"
	"fmt"
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
	// ErrClosed is returned once Close has begun.
	ErrClosed = errors.New("library closed")
	// ErrListen is returned by Open when it cannot listen for peers.
	ErrListen = errors.New("listen for peers")
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
}

func (e *ExistsError) Error() string {
	switch {
	case e.Infohash == Infohash{}:
		return fmt.Sprintf("there is a route called %q already", e.Route)
	case e.Torrent == "":
		return fmt.Sprintf("the torrent %s is already in the library, and failed", e.Infohash)
	}
	return fmt.Sprintf("the torrent %s is already in route %q as %q", e.Infohash, e.Route, e.Torrent)
}

// NotEmptyError says that a route cannot be deleted because of what is in it.
type NotEmptyError struct {
	Route    string
	Torrents int
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the route %q holds %d torrents", e.Route, e.Torrents)
}
