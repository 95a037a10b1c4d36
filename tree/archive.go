package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"
)

// ErrNotArchive is returned for an archive that cannot be shown as a folder: it is damaged, encrypted, or none. From then on it is a file,
// until somebody asks for it to be looked at again.
var ErrNotArchive = errors.New("not to be shown as a folder")

// ErrUnread is returned for what is inside an archive that nobody has looked into since the start: Load reads it, and waits for peers.
var ErrUnread = errors.New("the archive was not read yet")

// Archive is a file that can be shown as a folder.
type Archive interface {
	// Members lists what is inside, in the archive's own order, which is the same each time. It waits for peers as long as ctx lasts,
	// if that is not known already. The error is one of them, or ErrNotArchive with the reason.
	Members(ctx context.Context) ([]Member, error)
	// Shown says, at once, whether the archive should be a folder now. It should not if it is known that the error is ErrNotArchive, or
	// if too much would have to be fetched only to list it. That may change both ways.
	Shown() bool
}

// Member is a file, folder or link in an archive. Its place in the list is its identity.
type Member struct {
	Parent  int // place in the list of the folder it is in, which comes before it; -1 at the top
	Name    string
	Size    int64     // in bytes
	ModTime time.Time // that of the torrent if it is zero
	Dir     bool
	Run     bool   // a program
	Link    string // what a link says; empty if it is none
	Hidden  bool   // it is nowhere, and has a place only

	Content Content // of a file
	Archive Archive // of a file that can be shown as a folder itself; else nil
}

// Numbers hands out the file ids of what is inside the archives of a torrent, for ever.
type Numbers interface {
	// Take returns the first n file ids of an archive, in runs. Those that it has not handed out yet it makes durable before.
	Take(place string, n int) ([]Run, error)
	// Find returns which one of which archive a file id is.
	Find(id uint64) (place string, at int, ok bool)
}

// Run is a run of file ids.
type Run struct {
	First uint64
	N     int
}

// archive is an Archive with its inside, once somebody has looked at it.
//
// Of the file ids of an archive, that of member i is the one at 2i. The one at 2i+1 is that of the folder as which it is shown.
type archive struct {
	torrent *torrent
	source  Archive
	place   string // "12" is the archive that is file 12 of the metainfo, "12/5" is member 5 of that
	id      uint64 // of the folder
	file    Node   // what is shown as a folder
	name    string // of the folder, when it is shown beside the file; empty for one that is a torrent

	numbering sync.Mutex              // held over Numbers.Take, which writes to the local disk
	inside    atomic.Pointer[members] // nil until loaded, constant afterwards
	failed    atomic.Pointer[failure] // why it was not loaded last time, if that was not for want of time

	shown atomic.Bool  // as a folder, and not as a file
	held  atomic.Int64 // until when it is a file in any case; Unix, in nanoseconds
	there atomic.Pointer[share]
}

// failure is why an archive could not be loaded, which those are told who asked for it meanwhile.
type failure struct {
	err   error
	until time.Time // when it is tried again
}

// failurePause is for how long an archive that could not be loaded is not tried again. It is long enough for the answer of who waited for it,
// which looks once more.
const failurePause = time.Second

// Archives says how archives are shown.
type Archives uint8

// The ways to show archives.
const (
	ArchivesOff    Archives = iota // as files
	ArchivesFolder                 // as folders of the same name
	ArchivesBoth                   // as files, and as folders beside them
	archivesWays
)

// load reads the inside, if that was not done.
func (a *archive) load(ctx context.Context) (*members, error) {
	if in, err := a.loaded(); in != nil || !errors.Is(err, ErrUnread) {
		return in, err
	}
	list, err := a.source.Members(ctx)
	if err != nil {
		if errors.Is(err, ErrNotArchive) {
			a.refuse()
		}
		return nil, a.fail(ctx, "look into", err)
	}
	a.numbering.Lock()
	defer a.numbering.Unlock()
	if in := a.inside.Load(); in != nil {
		return in, nil
	}
	in, err := a.newMembers(list)
	if err != nil {
		return nil, a.fail(ctx, "show", err)
	}
	a.inside.Store(in)
	return in, nil
}

// loaded returns the inside as far as that is known: the error is ErrUnread, or that of who tried to load it a moment ago.
func (a *archive) loaded() (*members, error) {
	if in := a.inside.Load(); in != nil {
		return in, nil
	}
	if f := a.failed.Load(); f != nil && time.Now().Before(f.until) {
		return nil, f.err
	}
	return nil, &unreadError{a}
}

// fail returns the error of loading, and keeps it for those who waited for that, unless it was just given up.
func (a *archive) fail(ctx context.Context, what string, err error) error {
	givenUp := ctx.Err() != nil || errors.Is(err, context.Canceled)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // or it would look as if the name were not there that was asked for
	}
	err = fmt.Errorf("%s the archive %s of torrent %x: %w", what, a.place, a.torrent.infohash, err)
	if !givenUp && !errors.Is(err, ErrNotArchive) {
		a.failed.Store(&failure{err, time.Now().Add(failurePause)})
	}
	return err
}

// begin has the archive be what it should at first.
func (a *archive) begin() {
	a.shown.Store(true)
	if !a.source.Shown() {
		a.hide()
	}
}

func (a *archive) hide() bool {
	if !a.shown.Swap(false) {
		return false
	}
	a.torrent.hidden.Add(a.id)
	return true
}

// refuse has the archive be a file, as it turned out to be none.
func (a *archive) refuse() {
	if a.source.Shown() { // or it would be a folder again at once, and again after the next look into it
		a.held.Store(time.Now().Add(refusalPause).UnixNano())
	}
	if !a.show(false) {
		a.file.shownOtherwise() // who hid it may not have come to that
	}
}

// refusalPause is for how long an archive stays a file if its source does not know any more that it refused it.
const refusalPause = time.Minute

// turns says whether an archive that is shown as a file should be a folder now.
func (a *archive) turns() bool {
	return !a.shown.Load() && time.Now().UnixNano() >= a.held.Load() && a.source.Shown()
}

// show has the archive be a folder, or a file. It says whether that is a change.
func (a *archive) show(folder bool) bool {
	switch {
	case !folder && !a.hide(), folder && a.shown.Swap(true):
		return false
	case folder:
		a.torrent.hidden.Add(-a.id)
	}
	a.file.shownOtherwise()
	return true
}

// top is the folder as which the archive is shown.
func (a *archive) top() Node { return Node{tree: a.file.tree, torrent: a.torrent, archive: a} }

// shownOtherwise forgets the listing of the folder in which a file is that became a folder, or a file again.
func (n Node) shownOtherwise() {
	switch above := n.Parent(); {
	case n.archive != nil:
		in, m := n.memberOf()
		in.folders[int32(m.Parent)].dirs.forget()
	case above.torrent != nil:
		n.torrent.inside.Load().nodes[above.inner].folder.dirs.forget()
	default:
		n.tree.mu.Lock()
		defer n.tree.mu.Unlock()
		n.torrent.route.changed(time.Now())
	}
}
