package tree

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
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
