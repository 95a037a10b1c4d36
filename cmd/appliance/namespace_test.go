package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

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
