package torrents

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/torrents/watch"
)

// WatchOptions say what folder the library follows.
type WatchOptions struct {
	Dir    string        // each folder in it is a route; empty for no watch folder
	Rescan time.Duration // see watch.Options; 30 s if 0
	Settle time.Duration // 2 s if 0
}

const (
	watchRescan = 30 * time.Second
	watchSettle = 2 * time.Second

	// maxWatched is how many torrents the watch folder may have. Above that, files are refused.
	maxWatched = 100_000
)

// WatchState is how the watch folder is watched.
type WatchState string

// The states of the watch folder.
const (
	WatchOff         WatchState = "off"         // there is none
	WatchStarting    WatchState = "starting"    // it is read for the first time
	WatchLive        WatchState = "watching"    // changes are noticed at once
	WatchPolling     WatchState = "polling"     // some are noticed when everything is looked at again
	WatchUnavailable WatchState = "unavailable" // it cannot be read; nothing is removed
)

// Watch describes the watch folder.
type Watch struct {
	Dir    string
	State  WatchState
	Reason string // why it is unavailable, or why torrents are kept whose files are gone; may be empty
	Files  []WatchFile
}

// WatchFileState is what became of a file.
type WatchFileState string

// The states of a file.
const (
	WatchFileWaiting WatchFileState = "waiting" // it has only just changed
	WatchFileAdded   WatchFileState = "added"   // its torrent is in the library
	WatchFileRemoved WatchFileState = "removed" // somebody removed its torrent; it waits for a change of the file
	WatchFileBroken  WatchFileState = "broken"  // see its Error
)

// WatchFile is a .torrent file of the watch folder, or a line of a .magnet file; or a folder that cannot be
// a route.
type WatchFile struct {
	Path     string // below Watch.Dir, with slashes
	State    WatchFileState
	Infohash Infohash // zero if it is not known
	Error    string
}

// watchRecord is what has to be known of the watch folder after a restart. What it points to never changes.
type watchRecord struct {
	Root    *watch.Identity         `json:"root,omitempty"`
	Folders map[string]folderRecord `json:"folders,omitempty"` // by name
	// Dismissed are torrents that somebody removed and whose files are still there, by path, as they were
	// then; nil if what files these are is not known yet. Such a file brings the torrent when it changes.
	Dismissed map[Infohash]map[string]watch.Stamp `json:"dismissed,omitempty"`
}

// folderRecord is a folder of the watch folder. Its route may have another name by now, or be gone.
type folderRecord struct {
	Route uint64 `json:"route"`
	Made  bool   `json:"made,omitempty"` // the route was made for it, and goes with it
	watch.Identity
}

// sourceRecord is a file of the watch folder as it was when it was last read.
type sourceRecord struct {
	Path string `json:"path"`
	watch.Stamp
}

func (r watchRecord) clone() watchRecord {
	r.Folders, r.Dismissed = maps.Clone(r.Folders), maps.Clone(r.Dismissed)
	return r
}

func (r *watchRecord) setFolder(name string, f folderRecord) {
	if r.Folders == nil {
		r.Folders = make(map[string]folderRecord)
	}
	r.Folders[name] = f
}

// isDismissed says whether a file, as it is, must not bring a torrent.
func (r *watchRecord) isDismissed(ih Infohash, f *watch.File) bool {
	files, dismissed := r.Dismissed[ih]
	stamp, ok := files[f.Path]
	return dismissed && (files == nil || ok && stamp == f.Stamp)
}

// watching makes the library follow the watch folder. The rule is that a torrent which a file brought is
// in the library as long as a file has it, and that no other torrent is touched.
type watching struct {
	lib  *Library
	opts WatchOptions

	// These are of the goroutine of run.
	gone        map[Infohash]time.Time // since when no file has a torrent that one has brought
	goneFolders map[string]time.Time   // since when a folder is not there
	told        map[watchProblem]bool  // what is in the log

	mu       sync.Mutex              // guards what follows, for moments
	files    map[string]*watchedFile // by path; nil before the first scan. The map and what is in it never change
	problems []WatchFile             // of folders
	state    WatchState
	reason   string
}

// watchProblem is what is wrong at a path; at "" it is about the whole folder.
type watchProblem struct{ path, text string }

// watchedFile is a file as it was when it was last looked at.
type watchedFile struct {
	stamp    watch.Stamp
	torrents []watchedTorrent
	failure  string // why it could not be read
	waiting  bool   // it has changed, and torrents are those of before
	again    bool   // to be read again though it has not changed
}

// watchedTorrent is a torrent, or a magnet link, in a file.
type watchedTorrent struct {
	infohash Infohash // zero if it is not known
	failure  string
}

func (f *watchedFile) has(ih Infohash) bool {
	return slices.ContainsFunc(f.torrents, func(t watchedTorrent) bool { return t.infohash == ih })
}

// problem is what is wrong with the file, or with the first line of it that is wrong.
func (f *watchedFile) problem() string {
	if f.failure != "" {
		return f.failure
	}
	i := slices.IndexFunc(f.torrents, func(t watchedTorrent) bool { return t.failure != "" })
	if i < 0 {
		return ""
	}
	return f.torrents[i].failure
}

func newWatching(l *Library) *watching {
	w := &watching{
		lib: l, opts: l.opts.Watch, state: WatchStarting,
		gone: make(map[Infohash]time.Time), goneFolders: make(map[string]time.Time), told: make(map[watchProblem]bool),
	}
	w.opts.Rescan = cmp.Or(w.opts.Rescan, watchRescan)
	w.opts.Settle = cmp.Or(w.opts.Settle, watchSettle)
	return w
}

// run follows the folder until the library is closed.
func (w *watching) run() {
	watch.Run(w.lib.ctx, watch.Options{
		Dir: w.opts.Dir, Rescan: w.opts.Rescan, Settle: w.opts.Settle, MaxSize: MaxMetainfo,
		Scanned: w.scanned, Logger: w.lib.log,
	})
}

// scanned makes the library as the folder is.
func (w *watching) scanned(ctx context.Context, s *watch.Scan) (again bool) {
	if s.Err != nil {
		w.unavailable(s.Err)
		return false
	}
	r := &watchRound{watching: w, scan: s, files: make(map[string]*watchedFile, len(s.Files)), doubts: make(map[string]string)}
	r.routes()
	r.takeAll(ctx)
	if ctx.Err() != nil {
		return false
	}
	again = r.letGo()
	again = r.note() || again
	r.publish()
	return again
}

// unavailable notes that the folder cannot be read. Nothing is known then of what is in it.
func (w *watching) unavailable(err error) {
	clear(w.gone)
	clear(w.goneFolders)
	reason := fmt.Sprintf("the watch folder cannot be read, so nothing is removed until it can: %v", err)
	if p := (watchProblem{"", reason}); !w.told[p] {
		w.told[p] = true
		w.lib.log.Warn("the watch folder cannot be read; nothing is removed until it can", "dir", w.opts.Dir, "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.reason = WatchUnavailable, reason
}

// publish makes the round what the API shows, and logs what is wrong and was not before.
func (r *watchRound) publish() {
	w := r.watching
	told := make(map[watchProblem]bool)
	tell := func(p, text string) {
		problem := watchProblem{p, text}
		if told[problem] = true; !w.told[problem] {
			w.lib.log.Warn("the watch folder has a problem", "path", path.Join(w.opts.Dir, p), "err", text)
		}
	}
	for _, p := range r.problems {
		tell(p.Path, p.Error)
	}
	for p, f := range r.files {
		if problem := f.problem(); problem != "" {
			tell(p, problem)
		}
	}
	reasons := make([]string, 0, len(r.doubts))
	for _, folder := range slices.Sorted(maps.Keys(r.doubts)) {
		reasons = append(reasons, r.doubts[folder])
	}
	reason := strings.Join(reasons, " ")
	if reason != "" {
		tell("", reason)
	}
	w.told = told
	w.mu.Lock()
	defer w.mu.Unlock()
	if reason == "" && w.reason != "" {
		w.lib.log.Info("the watch folder is as it should be again", "dir", w.opts.Dir)
	}
	w.files, w.problems, w.reason = r.files, r.problems, reason
	w.state = WatchPolling
	if r.scan.Notified {
		w.state = WatchLive
	}
}

// having lists the files that have a torrent. known is false before the first scan.
func (w *watching) having(ih Infohash) (files map[string]watch.Stamp, known bool) {
	w.mu.Lock()
	all := w.files
	w.mu.Unlock()
	for p, f := range all {
		if !f.has(ih) {
			continue
		}
		if files == nil {
			files = make(map[string]watch.Stamp)
		}
		files[p] = f.stamp
	}
	return files, all != nil
}

// dismiss notes in next that somebody removes a torrent, for the sake of which its files would bring it
// back. It needs l.changing.
func (l *Library) dismiss(next *libraryRecord, e *entry) {
	source := e.source()
	var files map[string]watch.Stamp
	known := true
	if l.watching != nil {
		files, known = l.watching.having(e.ih)
	}
	if known && files == nil {
		if source == nil {
			return
		}
		// The file that brought it is gone, or nobody looks. Others that come are none that he has seen.
		files = map[string]watch.Stamp{source.Path: source.Stamp}
	}
	if next.Watch.Dismissed == nil {
		next.Watch.Dismissed = make(map[Infohash]map[string]watch.Stamp)
	}
	next.Watch.Dismissed[e.ih] = files
}

// Watch describes the watch folder, as it was when it was last looked at.
func (l *Library) Watch() Watch {
	w := l.watching
	if w == nil {
		return Watch{State: WatchOff}
	}
	w.mu.Lock()
	files := w.files
	d := Watch{Dir: w.opts.Dir, State: w.state, Reason: w.reason, Files: slices.Clone(w.problems)}
	w.mu.Unlock()
	l.mu.RLock()
	for p, f := range files {
		d.Files = l.appendWatched(d.Files, p, f)
	}
	l.mu.RUnlock()
	slices.SortStableFunc(d.Files, func(a, b WatchFile) int { return cmp.Compare(a.Path, b.Path) })
	return d
}

// appendWatched needs l.mu.
func (l *Library) appendWatched(rows []WatchFile, p string, f *watchedFile) []WatchFile {
	if f.failure != "" {
		return append(rows, WatchFile{Path: p, State: WatchFileBroken, Error: f.failure})
	}
	if f.waiting && len(f.torrents) == 0 {
		return append(rows, WatchFile{Path: p, State: WatchFileWaiting})
	}
	for _, t := range f.torrents {
		row := WatchFile{Path: p, State: WatchFileWaiting, Infohash: t.infohash, Error: t.failure}
		_, here := l.entries[t.infohash]
		_, dismissed := l.state.Watch.Dismissed[t.infohash]
		switch {
		case t.failure != "":
			row.State = WatchFileBroken
		case here:
			row.State = WatchFileAdded
		case dismissed:
			row.State = WatchFileRemoved
		}
		rows = append(rows, row)
	}
	return rows
}

// folderOf is the folder of the watch folder that a path is in.
func folderOf(p string) string { return path.Dir(p) }

// isKnown says whether err is that the library has it already.
func isKnown(err error) bool {
	var exists *ExistsError
	return errors.As(err, &exists)
}
