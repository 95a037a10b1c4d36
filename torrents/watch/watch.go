// Package watch tells which .torrent and .magnet files there are in a folder of folders, and when that
// changes. It knows files only: what is in them, and what to do about it, is up to whoever it tells.
//
// Changes are noticed at once by fsnotify, and by looking at everything again now and then, as the disks
// of other machines say nothing. Either way a change is found by comparing what is there with what was
// there, so an event that is lost delays and does no harm.
//
// # What is looked at
//
// The files of the folders in Options.Dir whose names end in .torrent or .magnet, in any case. Not
// looked at are deeper folders, names that begin with a dot or a tilde, which are hidden or temporary, and
// the folders that file systems and NAS boxes make for themselves. A link to a file is followed as long
// as that stays within Options.Dir, a link to a folder never.
package watch

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options say what to watch, and how.
type Options struct {
	Dir     string
	Rescan  time.Duration // look at everything this often, whether there was an event or not
	Settle  time.Duration // a file is settled when it has not changed for so long
	MaxSize int64         // of a file, in bytes

	// Scanned is told of each scan, one at a time. It says whether it wants another one after Settle. The
	// scan is its own until it returns.
	Scanned func(context.Context, *Scan) (again bool)
	Logger  *slog.Logger
}

const (
	// maxBurst is how long after an event a scan begins, so that many events are one scan.
	maxBurst = 250 * time.Millisecond
	// rest is how many times as long as a scan the pause after it is at least, if only events ask for
	// the next: whatever happens in the folder, watching it takes a tenth of a core.
	rest = 9
	// retry is how often a folder is looked for that is not there.
	retry = 5 * time.Second
)

// Run watches until ctx ends. It waits for the disk that the folder is on: should that hang, as the
// disks of other machines do, Run hangs with it.
func Run(ctx context.Context, opts Options) {
	opts.Dir = filepath.Clean(opts.Dir)
	w := &watcher{Options: opts}
	events, failures := w.notify()
	if w.notifier != nil {
		defer w.notifier.Close()
	}
	due := time.NewTimer(0)
	defer due.Stop()
	for at := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
			at = time.Now().Add(w.round(ctx))
		case event := <-events:
			if !w.concerns(event.Name) {
				continue
			}
			at = w.soon(at)
		case err := <-failures:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.Logger.Warn("the watch folder's events cannot be read", "err", err)
			}
			at = w.soon(at)
		}
		due.Reset(time.Until(at))
	}
}

// watcher is used by one goroutine.
type watcher struct {
	Options
	notifier *fsnotify.Watcher // nil if there can be none
	deaf     bool              // a folder has no events; that was logged

	seen     map[string]sighting // by path
	ended    time.Time           // when the last scan was
	duration time.Duration       // how long it took
}

// sighting is since when a file has been as it is.
type sighting struct {
	stamp Stamp
	since time.Time
}

// notify begins to listen for events. The channels are nil if that cannot be.
func (w *watcher) notify() (<-chan fsnotify.Event, <-chan error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		w.isDeaf(err)
		return nil, nil
	}
	w.notifier = notifier
	return notifier.Events, notifier.Errors
}

// listen asks for events of a folder, and says whether it will get them. Asking again for the same does no
// harm, and is needed when another folder, or a disk, has taken the place of what was there.
func (w *watcher) listen(dir string) bool {
	if w.notifier == nil {
		return false
	}
	if err := w.notifier.Add(dir); err != nil {
		w.isDeaf(err)
		return false
	}
	return true
}

func (w *watcher) isDeaf(err error) {
	if !w.deaf {
		w.Logger.Warn("not every change of the watch folder will be noticed at once: the system has no more room for watching "+
			"(sysctl fs.inotify), or cannot do it there", "rescan", w.Rescan, "err", err)
	}
	w.deaf = true
}

// concerns says whether an event at path can change what a scan finds.
func (w *watcher) concerns(path string) bool {
	rel, err := filepath.Rel(w.Dir, path)
	if err != nil || !strings.Contains(rel, string(filepath.Separator)) {
		return true
	}
	return isWatched(filepath.Base(path))
}

// soon is when to scan after an event, if the next scan would be at the given time otherwise.
func (w *watcher) soon(at time.Time) time.Time {
	soon := time.Now().Add(min(maxBurst, w.Settle))
	if rested := w.ended.Add(rest * w.duration); rested.After(soon) {
		soon = rested
	}
	if soon.Before(at) {
		return soon
	}
	return at
}

// round scans, tells of it, and says after how long to do so again.
func (w *watcher) round(ctx context.Context) time.Duration {
	start := time.Now()
	s := w.scan(start)
	defer s.close()
	w.ended = time.Now()
	w.duration = w.ended.Sub(start)
	again := w.Scanned(ctx, s)
	next := w.Rescan
	if s.Err != nil {
		next = min(next, retry)
	}
	if again {
		next = min(next, w.Settle)
	}
	for i := range s.Files {
		if f := &s.Files[i]; !f.Settled {
			next = min(next, time.Until(w.seen[f.Path].since.Add(w.Settle)))
		}
	}
	return max(next, time.Millisecond)
}
