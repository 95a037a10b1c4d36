package tree

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestArchives shows archives in each way.
func TestArchives(t *testing.T) {
	for way, want := range map[Archives]string{
		ArchivesOff:    "r/lone.zip r/t/readme r/t/x.zip r/t/x.zip.contents",
		ArchivesFolder: "r/lone.zip/only.bin r/t/readme r/t/x.zip.contents r/t/x.zip/docs/a.txt r/t/x.zip/docs/inner.zip/deep.txt r/t/x.zip/latest r/t/x.zip/run.sh",
		ArchivesBoth: "r/lone.zip r/lone.zip.contents/only.bin r/t/readme r/t/x.zip r/t/x.zip.contents r/t/x.zip.contents (1)/docs/a.txt" +
			" r/t/x.zip.contents (1)/docs/inner.zip r/t/x.zip.contents (1)/docs/inner.zip.contents/deep.txt r/t/x.zip.contents (1)/latest r/t/x.zip.contents (1)/run.sh",
	} {
		outer, _, lone := boxes(nil)
		tr := archiveTree(t, newNumbers(), way, outer, lone)
		var files []string
		ids := make(map[uint64]string)
		for path, n := range loadAll(t, tr) {
			if got := strings.Join(n.Path(), "/"); got != path {
				t.Errorf("%d: %q calls itself %q", way, path, got)
			}
			if other, taken := ids[n.FileID()]; taken {
				t.Errorf("%d: %q and %q have the file id %d", way, path, other, n.FileID())
			}
			ids[n.FileID()] = path
			if got, err := tr.Resolve(handleBytes(n)); err != nil || got != n {
				t.Errorf("%d: the handle of %q leads to %q, %v", way, path, got.Path(), err)
			}
			if !n.IsDir() {
				files = append(files, path)
			}
		}
		slices.Sort(files)
		if got := strings.Join(files, " "); got != want {
			t.Errorf("%d: the files are\n%s, want\n%s", way, got, want)
		}
		if way == ArchivesFolder {
			must(t, fstest.TestFS(tr.FS(t.Context()), "r/t/x.zip/docs/inner.zip/deep.txt", "r/lone.zip/only.bin"))
		}
	}
}

func handleBytes(n Node) []byte {
	h := n.Handle()
	return h[:]
}

// loadAll returns every node by its path, and loads archives for that.
func loadAll(t testing.TB, tr *Tree) map[string]Node {
	t.Helper()
	nodes := make(map[string]Node)
	var walk func(n Node, path string)
	walk = func(n Node, path string) {
		nodes[path] = n
		if !n.IsDir() {
			return
		}
		must(t, n.Load(t.Context()))
		dir, err := n.Dir()
		must(t, err)
		for _, e := range dir.Entries() {
			walk(e.Node, strings.TrimPrefix(path+"/"+e.Name, "/"))
		}
	}
	walk(tr.Root(), "")
	return nodes
}

// TestArchiveAttr looks at what there is in archives.
func TestArchiveAttr(t *testing.T) {
	outer, _, lone := boxes(nil)
	tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	for path, want := range map[string]struct {
		mode fs.FileMode
		size int64
	}{
		"r/t/x.zip":                {dirMode, 0},
		"r/t/x.zip/docs":           {dirMode, 0},
		"r/t/x.zip/docs/inner.zip": {dirMode, 0},
		"r/t/x.zip/docs/a.txt":     {fileMode, 7},
		"r/t/x.zip/run.sh":         {0o555, 2},
		"r/t/x.zip/latest":         {fs.ModeSymlink | 0o777, 10},
	} {
		if a := mustWalk(t, tr, path).Attr(); a.Mode != want.mode || a.Size != want.size || !a.ModTime.Truncate(time.Second).Equal(epoch) {
			t.Errorf("%q has %+v, want %+v", path, a, want)
		}
	}
	link := mustWalk(t, tr, "r/t/x.zip/latest")
	if to, err := link.Link(); to != "docs/a.txt" || err != nil {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if _, err := link.Content(); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("the content of the link: %v", err)
	}
	if _, err := mustWalk(t, tr, "r/t/x.zip/run.sh").Link(); !errors.Is(err, ErrNotLink) {
		t.Errorf("a file as a link: %v", err)
	}
}

// TestArchiveUsed: as much of a member is there as of its archive, for du to show.
func TestArchiveUsed(t *testing.T) {
	for cached, want := range map[int64][3]int64{0: {}, 40: {40, 4, 12}, 100: {100, 10, 30}} {
		deep := &box{list: []Member{{Parent: -1, Name: "deep", Size: 30, Content: text("")}}}
		lone := &box{list: []Member{
			{Parent: -1, Name: "stored", Size: 10, Content: text("")},
			{Parent: -1, Name: "in.zip", Size: 20, Content: text(""), Archive: deep},
			{Parent: -1, Name: "link", Link: "stored"},
		}}
		tr := New(epoch)
		must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesBoth}, epoch))
		single := fileTorrent(hash(2), 2, "lone.zip", 30, strings.Repeat("x", 100))
		single.Archive, single.ArchiveIDs, single.Numbers, single.Cached = lone, 60, newNumbers(), func() int64 { return cached }
		must(t, tr.PutTorrent(single, epoch))
		var got [3]int64
		for i, path := range []string{"r/lone.zip", "r/lone.zip.contents/stored", "r/lone.zip.contents/in.zip.contents/deep"} {
			got[i] = mustWalk(t, tr, path).Attr().Used
		}
		if got != want {
			t.Errorf("of a file, a member, and one in that: %d bytes are there, want %d", got, want)
		}
		if at := mustWalk(t, tr, "r/lone.zip.contents/link").Attr(); at.Used != 6 {
			t.Errorf("of a link %d bytes are there", at.Used)
		}
	}
}

// TestArchiveWay changes how a route shows archives, while clients use them.
func TestArchiveWay(t *testing.T) {
	outer, _, lone := boxes(nil)
	tr := archiveTree(t, newNumbers(), ArchivesOff, outer, lone)
	folder := mustWalk(t, tr, "r/t")
	file := mustWalk(t, tr, "r/t/x.zip")
	before := folder.Attr().ModTime
	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch.Add(time.Hour)))
	if !mustWalk(t, tr, "r/t/x.zip").IsDir() || !mustWalk(t, tr, "r/lone.zip").IsDir() {
		t.Error("archives are files still")
	}
	if !folder.Attr().ModTime.After(before) {
		t.Error("clients are not told that the folder has changed")
	}
	if got, err := tr.Resolve(handleBytes(file)); got != file || err != nil {
		t.Errorf("the open file is gone: %v", err)
	}
}
