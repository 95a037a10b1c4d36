//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"syscall"
)

// gift gives a folder to a user, with all that is in it. It follows no links, and leaves alone: other disks that are mounted in there, the
// watch folder, and files that have other names too, which may be elsewhere. The user may change what is in there meanwhile, so that each is
// looked at and given by one handle.
type gift struct {
	to    identity
	dir   string
	root  *os.Root // dir, open: whatever changes meanwhile, nothing outside is reached
	top   fs.FileInfo
	watch fs.FileInfo // nil without
	log   *slog.Logger

	given  int
	failed int
	err    error // the first of those that failed
}

// isNeeded says whether the folder or something directly in it is somebody else's. To look at everything would take long at each start.
func (g *gift) isNeeded() (bool, error) {
	if g.isOthers(g.top) {
		return true, nil
	}
	entries, err := fs.ReadDir(g.root.FS(), ".")
	if err != nil {
		return false, atPath(g.dir, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !g.leaves(info) && g.isOthers(info) {
			return true, nil
		}
	}
	return false, nil
}

// leaves says whether something in the folder is left as it is.
func (g *gift) leaves(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || diskOf(info) != diskOf(g.top) || g.watch != nil && os.SameFile(g.watch, info) ||
		!info.IsDir() && (!info.Mode().IsRegular() || st.Nlink > 1)
}

func (g *gift) isOthers(info fs.FileInfo) bool {
	of, ok := owner(info)
	return ok && of != g.to
}

// give gives everything. What cannot be given is told in the log: it may be of use all the same, as on disks that know no owners. Folders
// come last, and those around others later, so that the next start goes on if this one is killed: isNeeded is true until then.
func (g *gift) give(ctx context.Context) error {
	var folders []string
	err := fs.WalkDir(g.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			g.fail(err)
			return nil // and on with the rest
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			g.fail(err)
		case info.IsDir() && g.leaves(info):
			return fs.SkipDir
		case info.IsDir():
			folders = append(folders, path)
		default:
			g.giveOne(path, info)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(folders) {
		info, err := g.root.Lstat(path)
		if err != nil {
			g.fail(err)
			continue
		}
		g.giveOne(path, info)
	}
	if g.failed > 0 {
		g.log.Warn("not all of a folder can be given to the user that Shoal is going to be", "dir", g.dir, "failed", g.failed, "err", g.err)
	}
	g.log.Info("a folder was given to the user that Shoal is going to be", "dir", g.dir, "entries", g.given)
	return nil
}

// giveOne gives one entry, which info is of unless it was replaced.
func (g *gift) giveOne(path string, info fs.FileInfo) {
	if g.leaves(info) || !g.isOthers(info) {
		return
	}
	f, err := g.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // which waits for nobody, should it be a pipe now
	if err == nil {
		defer func() { _ = f.Close() }() // nothing was written
		info, err = f.Stat()
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && g.leaves(info) {
		return // it was replaced
	}
	if err == nil {
		err = f.Chown(g.to.uid, g.to.gid)
	}
	if err != nil {
		g.fail(fmt.Errorf("give %s away: %w", path, err))
		return
	}
	g.given++
}

func (g *gift) fail(err error) {
	g.failed++
	if g.err == nil {
		g.err = err
	}
}

// diskOf returns the number of the disk that a file is on.
func diskOf(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return uint64(st.Dev) //nolint:unconvert // its type differs between systems
}
