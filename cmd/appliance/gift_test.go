//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/test/debian"
)

// to is the user that folders are given to.
var to = identity{4242, 4343}

// asRoot ends a test of what only root can do.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		debian.Unavailable(t, errors.New("only root can give files away"))
	}
}

// whose returns the owner of a file, or of a link itself.
func whose(t *testing.T, path string) identity {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	of, _ := owner(info)
	return of
}

// makeFiles makes files and, if a name ends with a slash, folders.
func makeFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		err := error(nil)
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// giveAll has the folders in dir given.
func giveAll(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	cfg := &Config{DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "data/cache")}
	if err := giveFolders(ctx, cfg, to, slog.New(slog.DiscardHandler)); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// TestLinksOfOthers: who owns the folders, such as the user that Shoal was before, must not get what a link of his leads to.
func TestLinksOfOthers(t *testing.T) {
	asRoot(t)
	for _, test := range []struct {
		what           string
		folder, ofLink identity // whose the folder with the link is, and the link
		want           identity // whose the folder is then that it leads to
	}{
		{"the user's link", to, to, identity{}},
		{"root's link, in the user's folder", to, identity{}, identity{}},
		{"the user's link, in root's folder", identity{}, to, identity{}},
		{"root's link", identity{}, identity{}, to},
	} {
		for _, target := range []string{"../elsewhere", "absolute"} {
			dir := t.TempDir()
			makeFiles(t, dir, "data/", "elsewhere/sub/secret")
			if target == "absolute" {
				target = filepath.Join(dir, "elsewhere")
			}
			link := filepath.Join(dir, "data/cache")
			err := errors.Join(os.Symlink(target, link), os.Lchown(link, test.ofLink.uid, test.ofLink.gid),
				os.Chown(filepath.Dir(link), test.folder.uid, test.folder.gid))
			if err != nil {
				t.Fatal(err)
			}
			// Giving the folder around away makes the link one that its owner may replace, so it is about the way of CACHE_DIR alone.
			cfg := &Config{DataDir: filepath.Join(dir, "other"), CacheDir: link}
			var log strings.Builder
			if err := giveFolders(t.Context(), cfg, to, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"elsewhere", "elsewhere/sub", "elsewhere/sub/secret"} {
				if got := whose(t, filepath.Join(dir, name)); got != test.want {
					t.Errorf("%s to %s: %s belongs to %v, want %v", test.what, target, name, got, test.want)
				}
			}
			if told := strings.Contains(log.String(), "is not given"); told != (test.want == identity{}) {
				t.Errorf("%s to %s: the log is %q", test.what, target, log.String())
			}
		}
	}
}

// endsAfter is a context that ends when it was asked a number of times.
type endsAfter struct {
	context.Context
	asked int
}

func (c *endsAfter) Err() error {
	if c.asked--; c.asked < 0 {
		return context.Canceled
	}
	return nil
}

// TestGiftGoesOn: what was ended in the middle is made whole by the next start.
func TestGiftGoesOn(t *testing.T) {
	asRoot(t)
	for asked := range 9 {
		dir := t.TempDir()
		makeFiles(t, dir, "data/cache/a", "data/cache/b", "data/library.json", "data/torrents/a", "data/torrents/b")
		giveAll(&endsAfter{t.Context(), asked}, t, dir)
		giveAll(t.Context(), t, dir)
		err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && whose(t, path) != to {
				err = fmt.Errorf("%s belongs to %v", path, whose(t, path))
			}
			return err
		})
		if err != nil {
			t.Errorf("ended after %d entries, and started again: %v", asked, err)
		}
	}
}

// TestReplacedMeanwhile: a file, or folder, that the user replaces just before it is given by another name of somebody else's file.
func TestReplacedMeanwhile(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	makeFiles(t, dir, "elsewhere", "data/file", "data/folder/", "data/gone", "data/same")
	root, err := openFolder(filepath.Join(dir, "data"), to)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	top, err := root.Stat(".")
	if err != nil {
		t.Fatal(err)
	}
	g := gift{to: to, dir: root.Name(), root: root, top: top}
	for _, name := range []string{"file", "folder", "gone", "same"} {
		info, err := root.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if name != "same" {
			err = root.Remove(name)
		}
		if name == "file" || name == "folder" {
			err = errors.Join(err, os.Link(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "data", name)))
		}
		if err != nil {
			t.Fatal(err)
		}
		g.giveOne(name, info)
	}
	if got := whose(t, filepath.Join(dir, "elsewhere")); got != (identity{}) {
		t.Errorf("the file elsewhere belongs to %v now", got)
	}
	if got := whose(t, filepath.Join(dir, "data/same")); got != to || g.given != 1 || g.failed > 0 {
		t.Errorf("the file that stays belongs to %v; %d are given, and %d failed: %v", got, g.given, g.failed, g.err)
	}
}

// TestNoFolder: what is in the way of a folder is named, with the setting that it is for.
func TestNoFolder(t *testing.T) {
	asRoot(t)
	dir := t.TempDir()
	makeFiles(t, dir, "file")
	for _, test := range []struct{ data, cache, want string }{
		{"file", "cache", "SHOAL_DATA_DIR: " + dir + "/file is a file"},
		{"data", "file/cache", "SHOAL_CACHE_DIR: " + dir + "/file is a file"},
	} {
		cfg := &Config{DataDir: filepath.Join(dir, test.data), CacheDir: filepath.Join(dir, test.cache)}
		if err := giveFolders(t.Context(), cfg, to, slog.New(slog.DiscardHandler)); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s and %s: %v, want %s", test.data, test.cache, err, test.want)
		}
	}
}
