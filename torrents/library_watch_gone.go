package torrents

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"shoal/torrents/watch"
)

// What makes a torrent go is that its file is gone. A disk that is not mounted looks much the same, so what
// is gone has to be gone for a while, from a folder that is still the same one; see doubt.

// tally counts torrents by whether the file that brought them is there.
type tally struct{ here, gone int }

// plausible says whether a folder that is not the one of before can have taken its place: then most of the
// files are there. The folder that a disk was mounted on may have a few that came later.
func (t tally) plausible() bool { return t.gone == 0 || t.here > t.gone }

// brought lists the torrents that files have brought.
func (l *Library) brought() map[*entry]*sourceRecord {
	list := make(map[*entry]*sourceRecord)
	for _, e := range l.list() {
		if source := e.source(); source != nil {
			list[e] = source
		}
	}
	return list
}

// letGo removes the torrents whose files are gone. It says whether one may have to go soon.
func (r *watchRound) letGo() (again bool) {
	brought := r.lib.brought()
	r.doubt(brought)
	having := r.having()
	gone := make(map[Infohash]time.Time)
	for e, source := range brought {
		f := r.files[source.Path]
		switch {
		case f != nil && (f.waiting || f.problem() != ""):
			// The file is there, and nobody can say that the torrent is not in it.
		case f != nil && f.has(e.ih):
			if f.stamp != source.Stamp {
				r.rehome(e, source, source.Path)
			}
		case r.inDoubt(folderOf(source.Path)):
		case len(having[e.ih]) > 0:
			r.rehome(e, source, having[e.ih][0])
		default:
			since, ok := r.gone[e.ih]
			if !ok {
				since = r.scan.Time
			}
			if r.scan.Time.Sub(since) < r.patience(folderOf(source.Path)) {
				gone[e.ih] = since
				continue
			}
			r.remove(e, source)
		}
	}
	r.gone = gone
	return len(gone) > 0
}

// having lists the files of each torrent, in the order of their paths.
func (r *watchRound) having() map[Infohash][]string {
	having := make(map[Infohash][]string)
	for _, p := range slices.Sorted(maps.Keys(r.files)) {
		for _, t := range r.files[p].torrents {
			if !r.files[p].waiting && t.failure == "" {
				having[t.infohash] = append(having[t.infohash], p)
			}
		}
	}
	return having
}

// patience is how long a file has to be gone. One that was moved is in the other place before that; what is
// gone together with its folder may come back with it.
func (r *watchRound) patience(folder string) time.Duration {
	if _, there := r.scan.Folders[folder]; there && !r.waiting {
		return r.opts.Settle
	}
	return r.opts.Rescan
}

// doubt finds out of which folders it cannot be believed that what is not in them is gone.
func (r *watchRound) doubt(brought map[*entry]*sourceRecord) {
	tallies := make(map[string]tally)
	var all tally
	for _, source := range brought {
		t := tallies[folderOf(source.Path)]
		if r.files[source.Path] != nil {
			t.here, all.here = t.here+1, all.here+1
		} else {
			t.gone, all.gone = t.gone+1, all.gone+1
		}
		tallies[folderOf(source.Path)] = t
	}
	known := r.lib.current().Watch
	if r.scan.Partial {
		r.doubts[""] = fmt.Sprintf("The watch folder has more than %d entries: the rest is not looked at, and nothing is removed.", watch.MaxEntries)
	}
	if known.Root != nil && !known.Root.Same(r.scan.Root) && !all.plausible() {
		r.doubts[""] = fmt.Sprintf("The watch folder is another one than before, in which %d files of torrents are missing. Is a disk not mounted? Nothing is removed.", all.gone)
	}
	for folder, t := range tallies {
		if t.gone == 0 {
			continue
		}
		rec, isKnown := known.Folders[folder]
		now, there := r.scan.Folders[folder]
		switch {
		case there && now.Err != nil:
			r.doubts[folder] = fmt.Sprintf("The folder %q cannot be read; its %d torrents are kept.", folder, t.gone)
		case there && isKnown && !rec.Same(now.Identity) && !t.plausible():
			r.doubts[folder] = fmt.Sprintf("The folder %q is another one than before, in which %d files of torrents are missing. Is a disk not mounted? They are kept.", folder, t.gone)
		case !there && isKnown && rec.Mount:
			r.doubts[folder] = fmt.Sprintf("The folder %q, which was a disk of its own, is gone. Its %d torrents are kept.", folder, t.gone)
		}
	}
}

func (r *watchRound) inDoubt(folder string) bool {
	return r.doubts[""] != "" || r.doubts[folder] != ""
}

// remove removes a torrent whose file is gone, unless something happened to it meanwhile.
func (r *watchRound) remove(e *entry, source *sourceRecord) {
	l := r.lib
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.entries[e.ih] != e || e.source() != source {
		return
	}
	if err := l.remove(e, false); err != nil {
		r.failed(source.Path, err)
		return
	}
	l.log.Info("torrent removed, as its file is gone from the watch folder", "path", source.Path, "torrent", e.ih)
}

// failed reports why the library could not do what the folder says. It is tried again.
func (r *watchRound) failed(p string, err error) {
	if !errors.Is(err, ErrClosed) {
		r.problems = append(r.problems, WatchFile{Path: p, State: WatchFileBroken, Error: err.Error()})
	}
}

// rehome notes that a torrent belongs to a file from now on. If that is in another folder than the one
// before, the torrent moves to the route of that folder.
func (r *watchRound) rehome(e *entry, source *sourceRecord, to string) {
	l := r.lib
	var move TorrentChange
	if folder := folderOf(to); folder != folderOf(source.Path) {
		route, err := l.routeOfFolder(folder, r.scan.Folders[folder].Identity)
		if err != nil {
			return // the folder cannot be a route, which routes reports
		}
		move.Route = &route
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.entries[e.ih] != e || e.source() != source {
		return
	}
	rec, err := l.changed(e.record(), move)
	if err == nil {
		rec.Source = &sourceRecord{to, r.files[to].stamp}
		err = l.replace(e, rec)
	}
	if err != nil {
		r.failed(to, err)
		return
	}
	if move.Route != nil {
		l.log.Info("torrent moved, as its file has been", "from", source.Path, "path", to, "torrent", e.ih)
	}
}

// note writes down what a restart has to know, and forgets folders that are gone. It says whether one may
// be so soon.
func (r *watchRound) note() (again bool) {
	l := r.lib
	forget, again := r.goneFor()
	l.changing.Lock()
	defer l.changing.Unlock()
	for _, folder := range forget {
		rec := l.state.Watch.Folders[folder]
		route := l.state.byID(rec.Route)
		if !rec.Made || route == nil || len(l.inRoute(rec.Route)) > 0 {
			continue
		}
		if err := l.removeRoute(route, false); err != nil {
			r.failed(folder, err)
		}
	}
	next := l.state.clone()
	for _, folder := range forget {
		delete(next.Watch.Folders, folder)
	}
	changed := len(forget) > 0
	changed = r.noteIdentities(&next.Watch) || changed
	changed = r.noteDismissed(&next.Watch) || changed
	if !changed {
		return again
	}
	if err := l.writeState(next); err != nil {
		r.failed(".", err)
	}
	return again
}

// goneFor lists the folders that have been gone for long enough, and brought nothing that is still there.
func (r *watchRound) goneFor() (forget []string, again bool) {
	holding := make(map[string]bool)
	for _, source := range r.lib.brought() {
		holding[folderOf(source.Path)] = true
	}
	gone := make(map[string]time.Time)
	for folder := range r.lib.current().Watch.Folders {
		if _, there := r.scan.Folders[folder]; there || holding[folder] || r.doubts[""] != "" {
			continue
		}
		since, ok := r.goneFolders[folder]
		if !ok {
			since = r.scan.Time
		}
		if r.scan.Time.Sub(since) < r.opts.Rescan {
			gone[folder] = since
			continue
		}
		forget = append(forget, folder)
	}
	r.goneFolders = gone
	return forget, len(gone) > 0
}

// noteIdentities notes which folders those are that are not doubted.
func (r *watchRound) noteIdentities(w *watchRecord) (changed bool) {
	if r.doubts[""] != "" {
		return false
	}
	if w.Root == nil || *w.Root != r.scan.Root {
		root := r.scan.Root
		w.Root, changed = &root, true
	}
	for name, f := range r.scan.Folders {
		rec, known := w.Folders[name]
		if known && f.Err == nil && !r.inDoubt(name) && rec.Identity != f.Identity {
			rec.Identity = f.Identity
			w.Folders[name] = rec
			changed = true
		}
	}
	return changed
}

// noteDismissed forgets what was dismissed and is there again, or has no file any more that could bring
// it. It needs Library.changing.
func (r *watchRound) noteDismissed(w *watchRecord) (changed bool) {
	if len(w.Dismissed) == 0 || len(r.doubts) > 0 || r.waiting {
		return false
	}
	having := r.having()
	for ih, files := range w.Dismissed {
		left := make(map[string]watch.Stamp)
		for p, stamp := range files {
			if f := r.files[p]; f != nil && (f.stamp == stamp || f.failure != "") {
				left[p] = stamp
			}
		}
		if files == nil {
			for _, p := range having[ih] {
				left[p] = r.files[p].stamp
			}
		}
		_, here := r.lib.entries[ih]
		switch {
		case here || len(left) == 0:
			delete(w.Dismissed, ih)
			changed = true
		case files == nil || len(left) < len(files):
			w.Dismissed[ih] = left
			changed = true
		}
	}
	return changed
}
