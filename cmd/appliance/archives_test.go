package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/test/complete"
	"shoal/torrents"
	"shoal/tree"
)

// zipped is a zip archive of files, given as "name=content".
func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, file := range files {
		name, content, _ := strings.Cut(file, "=")
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shelf is a library that is shown in a tree, with the route films. Nothing of it needs peers.
type shelf struct {
	namespace
	library *torrents.Library
	config  *Config
	log     *bytes.Buffer
}

// openShelf opens a library in a folder, with settings for its archives, which are not open yet.
func openShelf(t testing.TB, dir string, environ ...string) *shelf {
	t.Helper()
	cfg, mistakes := parseConfig(append(environ, prefix+"DATA_DIR="+filepath.Join(dir, "data")))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	s := &shelf{config: cfg, log: new(bytes.Buffer)}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	s.namespace = namespace{tree.New(time.Now()), newArchives(cfg.CacheDir, log), log}
	library, err := torrents.Open(torrents.Options{
		DataDir: cfg.DataDir, CacheDir: cfg.CacheDir, CacheLimit: 1 << 30, Routes: []string{"films"}, Archives: torrents.ArchivesFolder,
		ReadGiveUp: time.Minute, Idle: time.Minute, Swarm: torrents.SwarmOptions{Addr: "127.0.0.1:0", TCP: true, MaxPeers: 5},
		Watcher: s.namespace, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.library = library
	return s
}

// openArchives opens the archives of the library.
func (s *shelf) openArchives(t testing.TB) {
	t.Helper()
	if err := s.archives.open(s.config, s.library, 2); err != nil {
		t.Fatal(err)
	}
}

func (s *shelf) close(t testing.TB) {
	t.Helper()
	if err := s.archives.close(); err != nil {
		t.Error(err)
	}
	if err := s.library.Close(); err != nil {
		t.Error(err)
	}
}

// add adds a torrent whose bytes are all there.
func (s *shelf) add(t testing.TB, name string, files ...complete.File) torrents.Infohash {
	t.Helper()
	return s.addFrom(t, s.config.CacheDir, name, files)
}

// addAbsent adds a torrent that nobody has.
func (s *shelf) addAbsent(t testing.TB, name string, files ...complete.File) torrents.Infohash {
	t.Helper()
	return s.addFrom(t, "", name, files)
}

func (s *shelf) addFrom(t testing.TB, cache, name string, files []complete.File) torrents.Infohash {
	t.Helper()
	metainfo, err := complete.Torrent(cache, name, 1<<15, files...)
	if err != nil {
		t.Fatal(err)
	}
	added, err := s.library.AddMetainfo("films", metainfo)
	if err != nil {
		t.Fatal(err)
	}
	return added.Infohash
}

func (s *shelf) isFolder(t testing.TB, path ...string) bool {
	t.Helper()
	node, err := s.tree.Walk(t.Context(), path...)
	if err != nil {
		t.Fatal(err)
	}
	return node.IsDir()
}

// TestRenamedArchive: a name that a user gives makes no archive of a file, and no file of an archive; nor does a restart after that.
func TestRenamedArchive(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	for name, shown := range map[string]string{"a.zip": "a.mkv", "b.mkv": "b.zip"} {
		ih := s.add(t, name, complete.File{Content: zipped(t, "inside.txt="+name)})
		if _, err := s.library.ChangeTorrent(ih, torrents.TorrentChange{Name: &shown}); err != nil {
			t.Fatal(err)
		}
	}
	for _, restart := range []bool{false, true} {
		if restart {
			s.close(t)
			s = openShelf(t, dir)
		}
		s.openArchives(t)
		if _, err := s.tree.Walk(t.Context(), "films", "a.mkv", "inside.txt"); err != nil {
			t.Errorf("after a restart (%t): inside a.zip, which is shown as a.mkv: %v", restart, err)
		}
		if s.isFolder(t, "films", "b.zip") {
			t.Errorf("after a restart (%t): b.mkv, which is shown as b.zip, is a folder", restart)
		}
	}
	s.close(t)
}

// TestRefusedBeforeOpen: what was refused is a file from the first listing on after a restart. The tree asks before archives are open.
func TestRefusedBeforeOpen(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	s.add(t, "good.zip", complete.File{Content: zipped(t, "a=b")})
	s.add(t, "bad.zip", complete.File{Content: []byte("no archive at all")})
	s.openArchives(t)
	if !s.isFolder(t, "films", "bad.zip") {
		t.Error("bad.zip is no folder before anybody has looked into it")
	}
	if _, err := s.tree.Walk(t.Context(), "films", "bad.zip", "x"); err == nil {
		t.Error("looking into bad.zip succeeds")
	}
	if _, err := s.tree.Walk(t.Context(), "films", "good.zip", "a"); err != nil {
		t.Error(err)
	}
	s.close(t)

	s = openShelf(t, dir)
	defer s.close(t)
	if s.isFolder(t, "films", "bad.zip") || !s.isFolder(t, "films", "good.zip") {
		t.Error("after a restart bad.zip is a folder, or good.zip is none")
	}
}

// TestArchiveSettings: charset and depth are those of the configuration.
func TestArchiveSettings(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string][]byte{"\x8f\xe0\xa8\xa2\xa5\xe2.txt": nil, "inner.zip": zipped(t, "deep=1")} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, NonUTF8: true})
		if err == nil {
			_, err = f.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		environ []string
		name    string
		nested  bool
	}{
		{nil, "Åα¿óÑΓ.txt", true}, // CP437, as so little text is of no language
		{[]string{prefix + "ARCHIVE_CHARSET=cp866", prefix + "ARCHIVE_DEPTH=1"}, "Привет.txt", false},
	} {
		s := openShelf(t, t.TempDir(), test.environ...)
		s.openArchives(t)
		s.add(t, "a.zip", complete.File{Content: b.Bytes()})
		if s.isFolder(t, "films", "a.zip", test.name) {
			t.Errorf("%q: %q is a folder", test.environ, test.name)
		}
		if got := s.isFolder(t, "films", "a.zip", "inner.zip"); got != test.nested {
			t.Errorf("%q: the archive in the archive is a folder: %t, want %t", test.environ, got, test.nested)
		}
		s.close(t)
	}
}

// TestRemoveArchive: of a torrent that is removed, nothing that was learned of its archives stays on the disk.
func TestRemoveArchive(t *testing.T) {
	s := openShelf(t, t.TempDir())
	defer s.close(t)
	s.openArchives(t)
	ih := s.add(t, "x.zip", complete.File{Content: zipped(t, "a=b")})
	if _, err := s.tree.Walk(t.Context(), "films", "x.zip", "a"); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(s.config.CacheDir, indexFolder, ih.String())
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if err := s.library.Remove(ih); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after the torrent was removed: %v", err)
	}
}

// gzipped is a tar.gz archive of one file.
func gzipped(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestIndexesStay: what is known of archives goes for pieces that somebody waits for, and for nothing less.
func TestIndexesStay(t *testing.T) {
	s := openShelf(t, t.TempDir())
	defer s.close(t)
	s.openArchives(t)
	s.add(t, "x.zip", complete.File{Content: zipped(t, "a=b")})
	if _, err := s.tree.Walk(t.Context(), "films", "x.zip", "a"); err != nil {
		t.Fatal(err)
	}
	k := indexKeeper{s.archives}
	for _, force := range []bool{false, true} {
		if n := k.Free(1, time.Now(), force); (n > 0) != force {
			t.Errorf("%d bytes are freed, forced %t", n, force)
		}
	}
}

// TestShownUnread asks whether archives are shown of which all has to be read: that opens none of them, as the tree asks for the attributes of
// a folder with thousands.
func TestShownUnread(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	file := complete.File{Content: gzipped(t, "inside.txt", "1")}
	there, absent := s.add(t, "there.tar.gz", file), s.addAbsent(t, "absent.tar.gz", complete.File{Content: append(file.Content, 0)})
	in := s.addAbsent(t, "folder", complete.File{Path: "a.tar.gz", Content: append(file.Content, 0, 0)})
	for _, restart := range []bool{false, true} {
		if restart {
			s.close(t)
			s = openShelf(t, dir)
		}
		s.openArchives(t)
		if s.isFolder(t, "films", "absent.tar.gz") || s.isFolder(t, "films", "folder", "a.tar.gz") {
			t.Error("what nobody has is a folder")
		}
		time.Sleep(1100 * time.Millisecond) // the tree looks again
		if !s.isFolder(t, "films", "there.tar.gz") {
			t.Error("what is there is no folder")
		}
		if s.isFolder(t, "films", "absent.tar.gz") || s.isFolder(t, "films", "folder", "a.tar.gz") {
			t.Error("what nobody has is a folder, later")
		}
		for name, ih := range map[string]torrents.Infohash{"there.tar.gz": there, "absent.tar.gz": absent, "a.tar.gz": in} {
			if s.archives.set(ih).files[0].opened.Load() != nil {
				t.Errorf("after a restart (%t): %s was opened", restart, name)
			}
		}
	}
	defer s.close(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for _, ih := range []torrents.Infohash{absent, in} {
		if _, err := s.archives.Look(ctx, ih, "0"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a look into what nobody has: %v", err)
		}
	}
	time.Sleep(1100 * time.Millisecond)
	if !s.isFolder(t, "films", "absent.tar.gz") || !s.isFolder(t, "films", "folder", "a.tar.gz") {
		t.Error("what somebody asked for is no folder")
	}
	if _, err := s.tree.Walk(t.Context(), "films", "there.tar.gz", "inside.txt"); err != nil {
		t.Error(err)
	}
}
