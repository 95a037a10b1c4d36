//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
)

// gift gives a folder to a user, with all that is in it. It follows no links but one that the folder itself is, and leaves alone: other
// disks that are mounted in there, the watch folder, and files that have other names too, which may be elsewhere.
type gift struct {
	to    identity
	dir   string
	watch fs.FileInfo // nil without
	log   *slog.Logger

	given  int
	failed int
	err    error // the first of those that failed
}

// isNeeded says whether the folder or something directly in it is somebody else's. To look at everything would take long at each start.
func (g *gift) isNeeded() (bool, error) {
	top, err := os.Stat(g.dir)
	if err != nil {
		return false, err
	}
	if g.isOthers(top) {
		return true, nil
	}
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !g.leaves(top, info) && g.isOthers(info) {
			return true, nil
		}
	}
	return false, nil
}

// leaves says whether something in the folder is left as it is.
func (g *gift) leaves(top, info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || diskOf(info) != diskOf(top) || g.watch != nil && os.SameFile(g.watch, info) ||
		!info.IsDir() && (!info.Mode().IsRegular() || st.Nlink > 1)
}

func (g *gift) isOthers(info fs.FileInfo) bool {
	of, ok := owner(info)
	return ok && of != g.to
}

// give gives everything. What cannot be given is told in the log: it may be of use all the same, as on disks that know no owners.
func (g *gift) give(ctx context.Context) error {
	root, err := os.OpenRoot(g.dir) // whatever changes meanwhile, nothing outside is reached
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	top, err := root.Stat(".")
	if err != nil {
		return err
	}
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			g.fail(err)
			return nil // and on with the rest
		}
		return g.visit(root, top, path, entry)
	})
	if err != nil {
		return err
	}
	if g.failed > 0 {
		g.log.Warn("not all of a folder can be given to the user that Shoal is going to be", "dir", g.dir, "failed", g.failed, "err", g.err)
	}
	g.log.Info("a folder was given to the user that Shoal is going to be", "dir", g.dir, "entries", g.given)
	return nil
}

// visit gives one entry.
func (g *gift) visit(root *os.Root, top fs.FileInfo, path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		g.fail(err)
		return nil
	case g.leaves(top, info) && info.IsDir():
		return fs.SkipDir
	case g.leaves(top, info) || !g.isOthers(info):
		return nil
	}
	if err := root.Lchown(path, g.to.uid, g.to.gid); err != nil {
		g.fail(fmt.Errorf("give %s away: %w", path, err))
		return nil
	}
	g.given++
	return nil
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
