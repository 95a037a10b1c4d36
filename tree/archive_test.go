package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"
)

// box is an Archive whose list is there once it is open.
type box struct {
	open    chan struct{} // nil is at once
	refused error         // ErrNotArchive, with the reason
	known   atomic.Bool   // that it is refused
	later   atomic.Bool   // it is not to be shown yet
	forgets bool          // that it is refused
	list    []Member
}

func (b *box) Members(ctx context.Context) ([]Member, error) {
	if b.open != nil {
		select {
		case <-b.open:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	b.known.Store(b.refused != nil && !b.forgets)
	return b.list, b.refused
}

func (b *box) Shown() bool { return !b.known.Load() && !b.later.Load() }

// numbers hand out file ids in memory.
type numbers struct {
	mu   sync.Mutex
	next uint64
	runs map[string][]Run
}

func (n *numbers) Take(place string, want int) ([]Run, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	have := 0
	for _, r := range n.runs[place] {
		have += r.N
	}
	if have < want {
		n.runs[place] = append(n.runs[place], Run{n.next, want - have})
		n.next += uint64(want - have)
	}
	return n.runs[place], nil
}

func (n *numbers) Find(id uint64) (place string, at int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for place, runs := range n.runs {
		before := 0
		for _, r := range runs {
			if id >= r.First && id < r.First+uint64(r.N) {
				return place, before + int(id-r.First), true
			}
			before += r.N
		}
	}
	return "", 0, false
}

func member(parent int, name, content string) Member {
	return Member{Parent: parent, Name: name, Size: int64(len(content)), ModTime: epoch, Content: text(content)}
}

// boxes are an archive in a folder and one that is a torrent; the first has another one inside.
func boxes(open chan struct{}) (outer, inner, lone *box) {
	inner = &box{open: open, list: []Member{member(-1, "deep.txt", "deep")}}
	zip := member(1, "inner.zip", "PK-inner")
	zip.Archive = inner
	run := member(-1, "run.sh", "#!")
	run.Run, run.ModTime = true, time.Time{} // it is that of the torrent, then
	outer = &box{open: open, list: []Member{
		run,
		{Parent: -1, Name: "docs", Dir: true},
		zip,
		member(1, "a.txt", "letters"),
		{Parent: 1, Name: "secret", Link: "../../etc/passwd", Hidden: true},
		{Parent: -1, Name: "latest", Link: "docs/a.txt", ModTime: epoch},
	}}
	lone = &box{open: open, list: []Member{member(-1, "only.bin", "only")}}
	return outer, inner, lone
}

// archiveTree shows the boxes.
func archiveTree(t testing.TB, ids *numbers, way Archives, outer, lone *box) *Tree {
	t.Helper()
	tr := New(epoch)
	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: way}, epoch))
	folder := folderTorrent(hash(1), 2, "t", 10, "readme=plain", "x.zip=PK-outer", "x.zip.contents=in the way")
	files := folder.Files
	folder.Files = func() ([]File, error) {
		list, err := files()
		list[1].Archive = outer
		return list, err
	}
	folder.ArchiveIDs, folder.Numbers = 50, ids
	must(t, tr.PutTorrent(folder, epoch))
	single := fileTorrent(hash(2), 2, "lone.zip", 30, "PK-lone")
	single.Archive, single.ArchiveIDs, single.Numbers = lone, 60, ids
	must(t, tr.PutTorrent(single, epoch))
	return tr
}

func newNumbers() *numbers { return &numbers{next: 1000, runs: make(map[string][]Run)} }

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

// TestArchiveUnread uses handles that were got before a restart: what is inside an archive is there when that was read.
func TestArchiveUnread(t *testing.T) {
	ids := newNumbers()
	outer, _, lone := boxes(nil)
	handles := make(map[string][]byte)
	for path, n := range loadAll(t, archiveTree(t, ids, ArchivesFolder, outer, lone)) {
		handles[path] = handleBytes(n)
	}
	open := make(chan struct{})
	outer, _, lone = boxes(open)
	tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
	top := mustWalk(t, tr, "r/t/x.zip")
	if !top.IsDir() || top.Attr().Mode != dirMode {
		t.Error("an archive that was not read is no folder")
	}
	if _, err := top.Dir(); !errors.Is(err, ErrUnread) {
		t.Errorf("the listing of one that was not read: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{"r/t/x.zip/docs", "r/t/x.zip/docs/inner.zip/deep.txt", "r/t/x.zip/docs/inner.zip"} {
		h := handles[path]
		if _, err := tr.Resolve(h); !errors.Is(err, ErrUnread) || tr.Loaded(h, false) {
			t.Errorf("%q before it was read: %v", path, err)
		}
		if err := tr.Load(ctx, h); !errors.Is(err, context.Canceled) {
			t.Errorf("%q, by who does not wait: %v", path, err)
		}
	}
	if h := handles["r/t/x.zip"]; !tr.Loaded(h, false) || tr.Loaded(h, true) {
		t.Error("the attributes of an archive have to wait, or its listing has not")
	}
	close(open)
	for path, h := range handles {
		must(t, tr.Load(t.Context(), h))
		n, err := tr.Resolve(h)
		if err != nil || strings.Join(n.Path(), "/") != path || !tr.Loaded(h, true) {
			t.Errorf("the handle of %q leads to %q, %v", path, n.Path(), err)
		}
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

// TestNotArchive has files that look like archives only: they are files once that is known.
func TestNotArchive(t *testing.T) {
	broken := fmt.Errorf("%w: its directory is damaged", ErrNotArchive)
	outer, inner, lone := boxes(nil)
	inner.refused, lone.refused = broken, broken
	tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	for _, path := range []string{"r/lone.zip", "r/t/x.zip/docs/inner.zip"} {
		top := mustWalk(t, tr, path)
		before := top.Parent().Attr().ModTime
		if err := top.Load(t.Context()); !errors.Is(err, ErrNotArchive) {
			t.Errorf("%q: %v", path, err)
		}
		file := mustWalk(t, tr, path)
		if _, err := file.Content(); file.IsDir() || err != nil {
			t.Errorf("%q is no file: %v", path, err)
		}
		if _, err := tr.Resolve(handleBytes(top)); !errors.Is(err, ErrStale) {
			t.Errorf("the handle of the folder %q: %v", path, err)
		}
		if path == "r/lone.zip" && !top.Parent().Attr().ModTime.After(before) {
			t.Errorf("clients are not told that %q has changed", path)
		}
	}
	outer, inner, lone = boxes(nil)
	outer.refused = broken
	outer.known.Store(true)
	tr = archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
	if mustWalk(t, tr, "r/t/x.zip").IsDir() {
		t.Error("what is known to be no archive is shown as one")
	}
	_ = inner
}

// stamps are the mtimes of all folders in which there are archives.
func stamps(t *testing.T, tr *Tree, top string) [4]time.Time {
	t.Helper()
	var at [4]time.Time
	for i, path := range []string{"r", "r/t", "r/t/" + top, "r/t/" + top + "/docs"} {
		n := mustWalk(t, tr, path)
		if n.IsDir() {
			at[i] = n.Attr().ModTime
		}
	}
	return at
}

// TestArchiveStamps: the mtime of a folder is another one whenever what it lists is, also after a restart, or clients keep what they have; and it
// is the same when that is the same.
func TestArchiveStamps(t *testing.T) {
	ways := map[Archives]string{ArchivesFolder: "x.zip", ArchivesBoth: "x.zip.contents (1)"}
	restarted := func(way Archives, known bool) *Tree {
		outer, inner, lone := boxes(nil)
		inner.refused = fmt.Errorf("%w: it is damaged", ErrNotArchive)
		inner.known.Store(known)
		return archiveTree(t, newNumbers(), way, outer, lone)
	}
	tr := restarted(ArchivesFolder, false)
	seen := make(map[time.Time]string)
	for way, top := range ways {
		must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: way}, epoch.Add(time.Hour)))
		got := stamps(t, tr, top)
		for i, at := range got {
			if other, taken := seen[at]; taken && other != top {
				t.Errorf("folder %d has the same mtime for archives as %q and as %q", i, top, other)
			}
			seen[at] = top
		}
		if after := stamps(t, restarted(way, false), top); after != got {
			t.Errorf("%q: after a restart the mtimes are %v, and were %v", top, after, got)
		}
	}

	must(t, tr.PutRoute(Route{ID: 2, Name: "r", Archives: ArchivesFolder}, epoch))
	before := stamps(t, tr, "x.zip")
	if err := mustWalk(t, tr, "r/t/x.zip/docs/inner.zip").Load(t.Context()); !errors.Is(err, ErrNotArchive) {
		t.Fatal(err)
	}
	after := stamps(t, tr, "x.zip")
	for i := 1; i < len(after); i++ {
		if after[i].Equal(before[i]) || after[i].Sub(before[i]).Abs() >= time.Second {
			t.Errorf("folder %d has the mtime %v after an archive turned out to be none, and had %v", i, after[i], before[i])
		}
	}
	again := restarted(ArchivesFolder, true)
	must(t, mustWalk(t, again, "r/t/x.zip").Load(t.Context()))
	if got := stamps(t, again, "x.zip"); got != after {
		t.Errorf("after a restart, when that is known, the mtimes are %v, and were %v", got, after)
	}

	must(t, again.PutRoute(Route{ID: 3, Name: "other", Archives: ArchivesOff}, epoch))
	must(t, again.PutTorrent(Torrent{Infohash: hash(1), Route: 3, Name: "t"}, epoch))
	if got := mustWalk(t, again, "other/t").Attr().ModTime; got.Equal(after[1]) {
		t.Error("in another route, which shows archives as files, the torrent's folder has the same mtime")
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

// TestArchiveRefuses loads archives whose lists are wrong.
func TestArchiveRefuses(t *testing.T) {
	for name, list := range map[string][]Member{
		"a name":         {member(-1, "a/b", "")},
		"twice":          {member(-1, "a", ""), member(-1, "a", "")},
		"no such folder": {member(7, "a", "")},
		"in a file":      {member(-1, "a", ""), member(0, "b", "")},
		"in itself":      {{Parent: 0, Name: "a", Dir: true}},
	} {
		outer, _, lone := boxes(nil)
		outer.list = list
		tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
		if err := mustWalk(t, tr, "r/t/x.zip").Load(t.Context()); err == nil {
			t.Errorf("%s: it is loaded", name)
		}
	}
}

// TestArchivesLater has archives that are files at first, and folders later: what has changed is seen by the mtime of the folder above.
func TestArchivesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(epoch.Add(time.Hour)))
		outer, inner, lone := boxes(nil)
		for _, b := range []*box{outer, inner, lone} {
			b.later.Store(true)
		}
		tr := archiveTree(t, newNumbers(), ArchivesFolder, outer, lone)
		find := func(path ...string) Node {
			t.Helper()
			n, err := tr.Walk(t.Context(), path...)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		turns := func(b *box, path ...string) {
			t.Helper()
			above := find(path[:len(path)-1]...)
			if n := find(path...); n.IsDir() {
				t.Errorf("%q is a folder at once", path)
			}
			before := above.Attr().ModTime
			time.Sleep(2 * time.Second)
			b.later.Store(false)
			after := above.Attr().ModTime
			if n := find(path...); !n.IsDir() || after.Equal(before) {
				t.Errorf("%q is a folder: %v; the mtime above was %v and is %v", path, n.IsDir(), before, after)
			}
		}
		turns(lone, "r", "lone.zip")
		turns(outer, "r", "t", "x.zip")
		turns(inner, "r", "t", "x.zip", "docs", "inner.zip")

		// One whose inside cannot be listed is a file again, until that can be.
		lone.refused = ErrNotArchive
		lone.later.Store(true)
		if _, err := tr.Walk(t.Context(), "r", "lone.zip", "only.bin"); !errors.Is(err, ErrNotArchive) {
			t.Fatal(err)
		}
		handle := find("r", "lone.zip").Handle()
		if find("r", "lone.zip").IsDir() {
			t.Error("what was refused is a folder")
		}
		lone.refused = nil
		lone.known.Store(false)
		turns(lone, "r", "lone.zip")
		if n, err := tr.Resolve(handle[:]); err != nil || n.IsDir() {
			t.Errorf("the handle of the file is one of %v, %v", n, err)
		}
	})
}

// TestArchiveHandleLater asks for what is inside an archive by a handle, before anything was listed since the restart.
func TestArchiveHandleLater(t *testing.T) {
	outer, _, lone := boxes(nil)
	ids := newNumbers()
	tr := archiveTree(t, ids, ArchivesFolder, outer, lone)
	n, err := tr.Walk(t.Context(), "r", "lone.zip", "only.bin")
	if err != nil {
		t.Fatal(err)
	}
	handle := n.Handle()

	_, _, lone = boxes(nil)
	lone.later.Store(true)
	tr = archiveTree(t, ids, ArchivesFolder, outer, lone)
	if _, err := tr.Resolve(handle[:]); !errors.Is(err, ErrStale) {
		t.Errorf("while it is a file: %v", err)
	}
	lone.later.Store(false)
	if err := tr.Load(t.Context(), handle[:]); err != nil {
		t.Fatal(err)
	}
	if again, err := tr.Resolve(handle[:]); err != nil || again.Name() != "only.bin" {
		t.Errorf("it is %v, %v", again, err)
	}
}
