package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"shoal/test/complete"
	"shoal/torrents"
	"shoal/tree"
)

// TestReplacedWhileLoaded removes a torrent and adds it again while its files are being listed: its archives lie in the files of the new one then,
// as reads of the old one fail for ever.
func TestReplacedWhileLoaded(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	n := namespace{tree.New(time.Now()), newArchives(t.TempDir(), log), log}
	n.PutRoute(torrents.Route{ID: 2, Name: "films", Archives: torrents.ArchivesFolder})
	begun, goOn := make(chan struct{}), make(chan struct{})
	put := func(size int64, wait func()) {
		n.PutTorrent(torrents.Shown{
			Infohash: torrents.Infohash{1}, Route: 2, Name: "boxes", FirstID: 10, ArchiveIDs: 100, Changed: time.Now(),
			Load: func() ([]torrents.File, error) {
				wait()
				return []torrents.File{{MetaFile: torrents.MetaFile{Path: []string{"a.zip"}, Size: size}}}, nil
			},
		})
	}
	put(1, func() {
		close(begun)
		<-goOn
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = n.tree.Walk(context.Background(), "films", "boxes", "a.zip")
	}()
	<-begun
	n.RemoveTorrent(torrents.Infohash{1}, time.Now())
	put(2, func() {})
	close(goOn)
	<-ended
	if _, err := n.tree.Walk(t.Context(), "films", "boxes", "a.zip"); err != nil {
		t.Fatal(err)
	}
	file, _, err := n.archives.set(torrents.Infohash{1}).files[0].files()
	if err != nil {
		t.Fatal(err)
	}
	if file.Size() != 2 {
		t.Error("the archive lies in a file of the torrent that was removed")
	}
}

// TestSiblings finds the volumes of archives among those of the same names in other folders.
func TestSiblings(t *testing.T) {
	s := openShelf(t, t.TempDir())
	defer s.close(t)
	s.openArchives(t)
	var files []complete.File
	for _, folder := range []string{"a", "a/b", "c"} {
		whole := zipped(t, "of.txt="+folder)
		files = append(files, complete.File{Path: folder + "/x.zip.002", Content: whole[50:]}, complete.File{Path: folder + "/x.zip.001", Content: whole[:50]})
	}
	s.add(t, "cut", append(files, complete.File{Path: "x.zip.003", Content: []byte("no part of those")})...)
	for _, folder := range []string{"a", "a/b", "c"} {
		path := append([]string{"films", "cut"}, strings.Split(folder, "/")...)
		n, err := s.tree.Walk(t.Context(), append(path, "x.zip.001", "x.zip", "of.txt")...)
		if err != nil {
			t.Error(err)
			continue
		}
		content, err := n.Content()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(folder))
		if _, err := content.ReadAt(t.Context(), b, 0); string(b) != folder {
			t.Errorf("in %s it is that of %q (%v)", folder, b, err)
		}
	}
}

// TestManySiblings asks for very many volumes of a torrent with very many files: each is found without a look at all of them.
func TestManySiblings(t *testing.T) {
	const n = 200_000
	list := make([]torrents.File, n)
	for i := range list {
		list[i].Path = []string{"x", fmt.Sprintf("%06d", i)}
	}
	s := siblings{&folders{files: list}, []string{"x"}}
	end := time.Now().Add(10 * time.Second)
	for i := range n {
		if f, ok := s.File(list[n-1-i].Path[1]); !ok || f.(torrentFile).file != &list[n-1-i] {
			t.Fatalf("file %d is another one", n-1-i)
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d were found in 10 s", i, n)
		}
	}
}
