//go:build unix

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// errLink is of a link on the way to a folder that somebody else than root may lead elsewhere.
var errLink = errors.New("is a link that is not root's alone")

// maxLinks is how many links there may be on the way to a folder, as in Linux.
const maxLinks = 40

// openFolder opens a folder, for root to change what is in it. If it is missing it is made, with those it is in, and they are the user's.
// Links on the way are followed only if they are root's, in a folder of root's: with any other, its owner could have root give away what
// it leads to, such as /etc. The error is errLink then, and a *fs.PathError with the whole path in any case.
func openFolder(dir string, to identity) (*os.Root, error) {
	path, err := filepath.Abs(dir)
	if err == nil {
		path, err = followLinks(path)
	}
	if err != nil {
		return nil, err
	}
	at := string(filepath.Separator)
	root, err := os.OpenRoot(at)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.Trim(path, at), at) {
		if name == "" {
			continue // the folder is /
		}
		next, err := enter(root, name, to)
		_ = root.Close() // nothing was written
		at = filepath.Join(at, name)
		if err != nil {
			return nil, atPath(at, err)
		}
		root = next
	}
	return root, nil
}

// enter opens a folder in another one, and makes it if it is missing. Whatever is put in its place meanwhile is not taken for it.
func enter(in *os.Root, name string, to identity) (*os.Root, error) {
	made := false
	info, err := in.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := in.Mkdir(name, 0o755); err != nil {
			return nil, err
		}
		made = true
		info, err = in.Lstat(name)
	}
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0: // since followLinks
		return nil, errLink
	case !info.IsDir():
		return nil, syscall.ENOTDIR
	}
	root, err := in.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := root.Stat(".")
	if err == nil {
		info, err = in.Lstat(name) // again, as to open it may have had a disk mounted there
	}
	if err == nil && !os.SameFile(info, opened) {
		err = errLink
	}
	if err == nil && made {
		err = root.Lchown(".", to.uid, to.gid)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

// followLinks returns a path without links, as far as it is there.
func followLinks(path string) (string, error) {
	for range maxLinks {
		link, rest, err := firstLink(path)
		if err != nil || link == "" {
			return path, err
		}
		target, err := os.Readlink(link)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(link), target)
		}
		path = filepath.Join(target, rest)
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// firstLink finds the first link on a path, and what follows it; the link is empty if there is none.
func firstLink(path string) (link, rest string, err error) {
	in := identity{} // whose the folder around is
	for end := 1; end <= len(path); end++ {
		if end < len(path) && path[end] != filepath.Separator {
			continue
		}
		info, err := os.Lstat(path[:end])
		if err != nil {
			return "", "", nil // it is not there, or who opens it is told why not
		}
		of, ok := owner(info)
		if info.Mode()&fs.ModeSymlink == 0 {
			in = of
			continue
		}
		if !ok || of.uid != 0 || in.uid != 0 {
			return "", "", &fs.PathError{Op: "open", Path: path[:end], Err: errLink}
		}
		return path[:end], path[end:], nil
	}
	return "", "", nil
}

// atPath is an error that a method of os.Root has returned, with the whole path.
func atPath(path string, err error) error {
	if inRoot, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: inRoot.Op, Path: path, Err: inRoot.Err}
	}
	return &fs.PathError{Op: "open", Path: path, Err: err}
}
