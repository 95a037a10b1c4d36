package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"shoal/admin"
	"shoal/test/complete"
	"shoal/torrents"
)

// listedAs lists all archives of a torrent, a page of so many at a time, as "place path state members".
func (s *shelf) listedAs(t testing.TB, ih torrents.Infohash, state admin.ArchiveState, limit int) []string {
	t.Helper()
	var all []string
	for query := (admin.ArchiveQuery{State: state, Limit: limit}); ; {
		page, err := s.archives.List(ih, query)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page.Archives {
			members := "?"
			if a.Members != nil {
				members = fmt.Sprint(*a.Members)
			}
			all = append(all, fmt.Sprintf("%s %s %s %s", a.Place, a.Path, a.State, members))
			if (a.State == admin.ArchiveRefused) != (a.Reason != "") {
				t.Errorf("%s is %s with the reason %q", a.Path, a.State, a.Reason)
			}
			query.After = a.Place
		}
		if !page.More {
			if page.Total != len(all) {
				t.Errorf("%d were listed of %d", len(all), page.Total)
			}
			return all
		}
	}
}

// TestArchiveList lists archives, before and after somebody looks into them and after a restart.
func TestArchiveList(t *testing.T) {
	dir := t.TempDir()
	s := openShelf(t, dir)
	s.openArchives(t)
	inner := zipped(t, "deep.txt=deep")
	outer := zipped(t, "first=1", "sub/in.zip="+string(inner), "sub/untouched.zip="+string(inner), "sub/broken.zip=nonsense")
	ih := s.add(t, "boxes",
		complete.File{Path: "readme.txt", Content: []byte("readme")},
		complete.File{Path: "a/bad.zip", Content: []byte("no archive at all")},
		complete.File{Path: "a/outer.zip", Content: outer},
	)
	lone := s.add(t, "lone.zip", complete.File{Content: inner})
	check := func(when string, ih torrents.Infohash, state admin.ArchiveState, want ...string) {
		t.Helper()
		for _, limit := range []int{1, 2, 100} {
			if got := s.listedAs(t, ih, state, limit); !slices.Equal(got, want) {
				t.Errorf("%s, in pages of %d:\n%q, want\n%q", when, limit, got, want)
			}
		}
	}
	check("before", ih, "", "1 a/bad.zip unread ?", "2 a/outer.zip unread ?")
	check("before", lone, "", "0  unread ?")
	check("unknown", torrents.Infohash{1}, "")
	for _, path := range []string{"boxes/a/bad.zip", "boxes/a/outer.zip/sub/in.zip", "boxes/a/outer.zip/sub/broken.zip"} {
		node, err := s.tree.Walk(t.Context(), append([]string{"films"}, strings.Split(path, "/")...)...)
		if err == nil {
			err = node.Load(t.Context())
		}
		if wantErr := !strings.HasSuffix(path, "in.zip"); (err != nil) != wantErr {
			t.Errorf("looking into %s: %v", path, err)
		}
	}
	read := []string{"1 a/bad.zip refused ?", "2 a/outer.zip folder 5", "2-2 a/outer.zip/sub/in.zip folder 1", "2-4 a/outer.zip/sub/broken.zip refused ?"}
	check("read", ih, "", read...)
	check("read", ih, admin.ArchiveRefused, read[0], read[3])
	if got := s.archives.Refused(ih); got != 2 {
		t.Errorf("%d are refused, want 2", got)
	}
	s.close(t)
	if log := s.log.String(); strings.Count(log, "stays a file") != 2 || !strings.Contains(log, `name=boxes path=a/outer.zip/sub/broken.zip err=`) {
		t.Errorf("two were refused, and the log says\n%s", log)
	}

	s = openShelf(t, dir)
	defer func() { s.close(t) }()
	s.openArchives(t)
	check("after a restart", ih, "", "1 a/bad.zip refused ?", "2 a/outer.zip folder ?")
	if got := s.archives.Refused(ih); got != 1 {
		t.Errorf("after a restart %d are refused, want 1, as into the other archive nobody has looked", got)
	}
	if _, err := s.tree.Walk(t.Context(), "films", "boxes", "a", "outer.zip", "first"); err != nil {
		t.Error(err)
	}
	read[2] = "2-2 a/outer.zip/sub/in.zip folder ?" // nobody has looked since
	check("after a restart, read", ih, "", read...)
	if log := s.log.String(); strings.Contains(log, "stays a file") {
		t.Errorf("after a restart it is told again:\n%s", log)
	}
	if err := s.library.Remove(ih); err != nil {
		t.Fatal(err)
	}
	check("removed", ih, "")
}

// TestLook looks into archives that were refused and into nested ones.
func TestLook(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.openArchives(t)
	ih := s.add(t, "boxes",
		complete.File{Path: "bad.zip", Content: []byte("no archive at all")},
		complete.File{Path: "outer.zip", Content: zipped(t, "in.zip="+string(zipped(t, "deep=1")), "x=y")},
	)
	for _, test := range []struct {
		place string
		state admin.ArchiveState // empty if there is no such archive
	}{
		{"1-0", ""}, // nobody has looked into 1
		{"0", admin.ArchiveRefused},
		{"0", admin.ArchiveRefused},
		{"1", admin.ArchiveFolder},
		{"1", admin.ArchiveFolder},
		{"1-0", admin.ArchiveFolder},
		{"1-1", ""},
		{"1-2", ""},
		{"1-0-0", ""},
		{"2", ""},
	} {
		got, err := s.archives.Look(t.Context(), ih, test.place)
		switch {
		case test.state == "" && !errors.Is(err, torrents.ErrNotFound):
			t.Errorf("looking into %s: %v, want ErrNotFound", test.place, err)
		case test.state != "" && (err != nil || got.Place != test.place || got.State != test.state):
			t.Errorf("looking into %s: %+v, %v; want it to be %s", test.place, got, err, test.state)
		}
	}
	if got := strings.Count(s.log.String(), "stays a file"); got != 2 {
		t.Errorf("one was refused twice when it was asked for, and is logged %d times", got)
	}
	paused := true
	away := s.addAbsent(t, "away.zip", complete.File{Content: zipped(t, "a=b")})
	if _, err := s.library.ChangeTorrent(away, torrents.TorrentChange{Paused: &paused}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.archives.Look(t.Context(), away, "0"); !errors.Is(err, torrents.ErrPaused) {
		t.Errorf("looking into what is not there, of a paused torrent: %v", err)
	}
	s.close(t)
	if _, err := s.archives.Look(t.Context(), ih, "0"); !errors.Is(err, torrents.ErrClosed) {
		t.Errorf("looking after the end: %v", err)
	}
}

// TestLookWithoutRoom looks into an archive that has to be decoded first, which takes more than the cache has for that.
func TestLookWithoutRoom(t *testing.T) {
	s := openShelf(t, t.TempDir())
	defer func() { s.close(t) }()
	s.openArchives(t)
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zstd.ZipMethodWinZip, zstd.ZipCompressor())
	f, err := w.CreateHeader(&zip.FileHeader{Name: "in.zip", Method: zstd.ZipMethodWinZip})
	if err == nil {
		_, err = f.Write(zipped(t, "noise="+string(noise)))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	ih := s.add(t, "x.zip", complete.File{Content: b.Bytes()})
	if _, err := s.archives.Look(t.Context(), ih, "0"); err != nil {
		t.Fatal(err)
	}
	limit := int64(5 << 20)
	if _, err := s.library.ChangeLimits(torrents.LimitsChange{Cache: torrents.LimitChange{Set: true, Value: &limit}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.archives.Look(t.Context(), ih, "0-0"); !errors.Is(err, admin.ErrNoRoom) {
		t.Error(err)
	}
}

// TestLooks has looks that wait for peers: one for each archive, so many of these and no more, which end with the archives.
func TestLooks(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.openArchives(t)
	var files []complete.File
	for i := range maxLooks + 1 {
		files = append(files, complete.File{Path: fmt.Sprintf("%02d.zip", i), Content: zipped(t, fmt.Sprintf("a=%d", i))})
	}
	ih := s.addAbsent(t, "away", files...)
	var begun *look
	for i := range maxLooks {
		l, err := s.archives.find(ih, fmt.Sprint(i))
		if err == nil {
			begun, err = s.archives.begin(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.archives.begin(l); again != begun || err != nil {
			t.Errorf("a second look into %d is another one (%v)", i, err)
		}
	}
	if _, err := s.archives.Look(t.Context(), ih, fmt.Sprint(maxLooks)); !errors.Is(err, admin.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	if got := len(s.listedAs(t, ih, admin.ArchiveReading, 10)); got != maxLooks {
		t.Errorf("%d are being read, want %d", got, maxLooks)
	}
	s.close(t)
	<-begun.done
	if begun.err == nil || strings.Contains(s.log.String(), "could not be read") {
		t.Errorf("the end of all ends a look with %v, and logs\n%s", begun.err, s.log)
	}
}

// TestWaitingArchive has an archive that has to be read whole, of which nothing is there.
func TestWaitingArchive(t *testing.T) {
	s := openShelf(t, t.TempDir())
	s.openArchives(t)
	ih := s.addAbsent(t, "away.tar.gz", complete.File{Content: make([]byte, 100)})
	if got, want := s.listedAs(t, ih, admin.ArchiveWaiting, 1), []string{"0  waiting ?"}; !slices.Equal(got, want) {
		t.Errorf("it is listed as %q, want %q", got, want)
	}
	if s.isFolder(t, "films", "away.tar.gz") {
		t.Error("it is a folder before it is there")
	}
	l, err := s.archives.find(ih, "0")
	if err == nil {
		_, err = s.archives.begin(l)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.listedAs(t, ih, admin.ArchiveReading, 1), []string{"0  reading ?"}; !slices.Equal(got, want) {
		t.Errorf("once it was asked for it is listed as %q, want %q", got, want)
	}
	for end := time.Now().Add(20 * time.Second); !s.isFolder(t, "films", "away.tar.gz"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("once it was asked for it is no folder")
		}
	}
	s.close(t)
}
