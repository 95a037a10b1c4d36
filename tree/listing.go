package tree

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// listings are those of a folder, for each way to show archives.
type listings struct {
	// making is held from the first look at what is shown as a folder until the listing is kept: what changes meanwhile is forgotten after that.
	making sync.Mutex
	dirs   [archivesWays]atomic.Pointer[Dir]
	turn   turn
}

func (l *listings) forget() {
	l.making.Lock()
	defer l.making.Unlock()
	for i := range l.dirs {
		l.dirs[i].Store(nil)
	}
}

const contentsSuffix = ".contents"

// contentsName returns how the folder of an archive is called beside it, where isTaken says which files there are. Of archives with names
// that differ the folders have names that differ, without a look at the others: what is cut off is told by a hash, in a place where no name
// has one that is not cut.
func contentsName(name string, isTaken func(string) bool) string {
	for i := 0; ; i++ {
		count := ""
		if i > 0 {
			count = fmt.Sprintf(" (%d)", i)
		}
		stem, suffix := name, contentsSuffix+count
		if len(name)+len(suffix) > MaxName {
			whole := sha256.Sum256([]byte(name))
			suffix = fmt.Sprintf("%s ~%x%s", contentsSuffix, whole[:8], count)
		}
		for len(stem)+len(suffix) > MaxName {
			_, n := utf8.DecodeLastRuneInString(stem)
			stem = stem[:len(stem)-n]
		}
		if !isTaken(stem + suffix) {
			return stem + suffix
		}
	}
}

// shownName returns the name of the folder when it is shown beside the file. That of a torrent needs Tree.mu.
func (a *archive) shownName() string {
	if a.name != "" {
		return a.name
	}
	t := a.torrent
	return contentsName(t.name, func(name string) bool { return t.route.torrents[name] != nil })
}

// listing is one in the making.
type listing struct {
	entries []Entry
	hidden  []*archive // which are shown as files
}

// add adds a file that may be an archive, nil if it is none. That of a torrent needs Tree.mu.
func (l *listing) add(a *archive, file Entry, way Archives) {
	folder := Entry{Name: file.Name}
	switch {
	case a == nil || way == ArchivesOff:
		l.entries = append(l.entries, file)
		return
	case !a.shown.Load():
		l.hidden = append(l.hidden, a)
		l.entries = append(l.entries, file)
		return
	case way == ArchivesBoth:
		folder.Name = a.shownName()
		l.entries = append(l.entries, file)
	}
	folder.Node = a.top()
	l.entries = append(l.entries, folder)
}

// turn is how far those archives of a folder have been looked at that are shown as files, and may be folders later.
type turn struct {
	looked atomic.Int64  // when; Unix, in nanoseconds
	next   atomic.Uint64 // about which of them is next
}

const (
	lookPause = time.Second
	lookTime  = 2 * time.Millisecond // as a client waits for attributes meanwhile, and the next ones of it
)

// look shows those archives as folders that have become such since the listing was made, and says whether there are some. It looks once
// in a while, as long as lookTime, and goes on where it ended.
func (d *Dir) look() (changed bool) {
	if d == nil || len(d.hidden) == 0 {
		return false
	}
	now := time.Now()
	last := d.turn.looked.Load()
	if now.UnixNano()-last < int64(lookPause) || !d.turn.looked.CompareAndSwap(last, now.UnixNano()) {
		return false
	}
	for _, a := range d.hidden {
		if a.shown.Load() { // since the listing was begun
			a.file.shownOtherwise()
			changed = true
		}
	}
	for range d.hidden {
		a := d.hidden[d.turn.next.Add(1)%uint64(len(d.hidden))]
		if a.turns() && a.show(true) {
			changed = true
		}
		if time.Since(now) >= lookTime {
			break
		}
	}
	return changed
}

// look is that of the listings that are kept.
func (l *listings) look() {
	for i := range l.dirs {
		l.dirs[i].Load().look()
	}
}

// keep returns the listing that is kept for a way, or makes it.
func (l *listings) keep(way Archives, list func(l *listing)) *Dir {
	for {
		d := l.dirs[way].Load()
		if d == nil {
			d = l.make(way, list)
		}
		if !d.look() {
			return d
		}
	}
}

func (l *listings) make(way Archives, list func(l *listing)) *Dir {
	l.making.Lock()
	defer l.making.Unlock()
	if d := l.dirs[way].Load(); d != nil {
		return d
	}
	var made listing
	list(&made)
	d := newDir(made, &l.turn)
	l.dirs[way].Store(d)
	return d
}
