package nfs3

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// listing is a folder as a client asks for it.
type listing struct {
	w        *wire
	plus     bool
	dir      tree.Node
	dircount uint32 // of READDIRPLUS
	count    uint32 // as far as RFC 1813 has it: how long READDIR3resok or READDIRPLUS3resok may be
	verifier uint64
}

// page asks for the entries after a cookie. It checks what is true of each page.
func (l *listing) page(cookie uint64) *result {
	l.w.t.Helper()
	proc, args := uint32(procReaddir), []any{l.dir, cookie, l.verifier, l.count}
	if l.plus {
		proc, args = procReaddirplus, []any{l.dir, cookie, l.verifier, l.dircount, l.count}
	}
	r := l.w.call(proc, args...)
	what := fmt.Sprintf("%s(cookie %d, dircount %d, count %d)", Names[proc], cookie, l.dircount, l.count)
	if err := isAttr(r.obj, l.dir); err != nil {
		l.w.t.Fatalf("%s: %v", what, err)
	}
	if r.status != statusOK {
		return r
	}
	if size := r.size - 4; uint64(size) > uint64(l.count) {
		l.w.t.Fatalf("%s: %d bytes", what, size)
	}
	if len(r.entries) == 0 && !r.eof {
		l.w.t.Fatalf("%s: neither an entry nor the end", what)
	}
	if l.plus {
		l.checkDircount(what, r)
	}
	last := cookie
	for _, e := range r.entries {
		if e.cookie <= last {
			l.w.t.Fatalf("%s: cookie %d after %d", what, e.cookie, last)
		}
		last = e.cookie
	}
	return r
}

// checkDircount allows one entry more than dircount has room for, as knfsd does: it is a hint, and there
// has to be one at least.
func (l *listing) checkDircount(what string, r *result) {
	l.w.t.Helper()
	names := 0
	for i, e := range r.entries {
		if i > 0 && uint64(names) >= uint64(l.dircount) {
			l.w.t.Errorf("%s: %d entries, though %d of them are %d bytes already", what, len(r.entries), i, names)
			return
		}
		names += 8 + 4 + xdr.Padded(len(e.name)) + 8
	}
}

// all lists the folder from the beginning. It returns false if a page would be too small.
func (l *listing) all() ([]entry, bool) {
	l.w.t.Helper()
	var list []entry
	for cookie := uint64(0); ; {
		r := l.page(cookie)
		if r.status == statusTooSmall {
			return list, false
		}
		if r.status != statusOK {
			l.w.t.Fatalf("status %d", r.status)
		}
		list = append(list, r.entries...)
		if r.eof {
			return list, true
		}
		cookie = list[len(list)-1].cookie
	}
}

// check compares a complete list with a folder of the tree.
func (l *listing) check(list []entry) {
	l.w.t.Helper()
	dir, err := l.dir.Dir()
	if err != nil {
		l.w.t.Fatal(err)
	}
	want := map[string]tree.Node{".": l.dir, "..": l.dir.Parent()}
	for _, e := range dir.Entries() {
		want[e.Name] = e.Node
	}
	for _, e := range list {
		n, ok := want[e.name]
		if !ok {
			l.w.t.Fatalf("%q is there twice, or was made up", e.name)
		}
		delete(want, e.name)
		if e.fileID != n.FileID() {
			l.w.t.Errorf("%q has file id %d, want %d", e.name, e.fileID, n.FileID())
		}
		if !l.plus {
			continue
		}
		if err := isAttr(e.attr, n); err != nil {
			l.w.t.Errorf("%q: %v", e.name, err)
		}
		if h := n.Handle(); !bytes.Equal(e.handle, h[:]) {
			l.w.t.Errorf("%q: handle %x, want %x", e.name, e.handle, h)
		}
	}
	for name := range want {
		l.w.t.Errorf("%q is missing", name)
	}
}

func TestReaddirOfEverything(t *testing.T) {
	e := serve(t, library(t), nil)
	e.both(func(t *testing.T, w *wire) {
		for what, n := range e.places() {
			for _, plus := range []bool{false, true} {
				l := &listing{w: w, plus: plus, dir: n, dircount: 8192, count: 16384}
				if !n.IsDir() {
					if r := l.page(0); r.status != statusNotDir {
						t.Errorf("%s: status %d, want NOTDIR", what, r.status)
					}
					continue
				}
				list, _ := l.all()
				l.check(list)
				if len(list) < 2 || list[0].name != "." || list[1].name != ".." {
					t.Errorf("%s: %v, want . and .. first", what, list)
				}
			}
		}
	})
}

// mixed is a folder with names of many lengths, and folders among the files.
func mixed(t testing.TB) *tree.Tree {
	tr := library(t)
	var files []tree.File
	for i := range 14 {
		path := []string{strings.Repeat(string(rune('a'+i)), i+1)}
		if i%3 == 0 {
			path = append(path, "inside")
		}
		files = append(files, tree.File{Path: path, Index: i, Size: int64(i), Content: text("")})
	}
	files = append(files, tree.File{Path: []string{strings.Repeat("z", tree.MaxName)}, Index: 14, Content: text("")})
	putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{3}, Route: filmsID, Name: "mixed", FirstID: 300, ModTime: time.Unix(1, 2)}, files...)
	return tr
}

// TestReaddirCounts lists a folder in pages of each size.
func TestReaddirCounts(t *testing.T) {
	e := serve(t, mixed(t), nil)
	w := e.dial()
	w.hurry(3 * patience)
	for _, plus := range []bool{false, true} {
		l := &listing{w: w, plus: plus, dir: e.node("films", "mixed"), dircount: 1 << 20}
		// What there is besides entries, and the largest of these.
		around, most := 4+84+8+4+4, 4+8+4+256+8
		if plus {
			most += 4 + 84 + 4 + 4 + 32
		}
		for count := range uint32(3 * (around + most)) {
			l.count = count
			list, ok := l.all()
			// The server may count the status as well.
			switch fits := int(count) - around - most; {
			case ok && fits < 0:
				t.Errorf("READDIR(PLUS: %v) with pages of %d bytes came to its end", plus, count)
			case !ok && fits >= 4:
				t.Errorf("READDIR(PLUS: %v) with pages of %d bytes is too small", plus, count)
			case ok:
				l.check(list)
			}
		}
		for _, count := range []uint32{1 << 16, 1 << 20, 1<<20 + 1, 1 << 31, math.MaxUint32} {
			l.count = count
			if list, ok := l.all(); ok {
				l.check(list)
			} else {
				t.Errorf("a page of %d bytes is too small", count)
			}
		}
	}
}

// TestReaddirEnd asks for what comes after the last entry, in pages of each size.
func TestReaddirEnd(t *testing.T) {
	e := serve(t, mixed(t), nil)
	w := e.dial()
	for _, plus := range []bool{false, true} {
		l := &listing{w: w, plus: plus, dir: e.node("films", "mixed"), dircount: 8192, count: 8192}
		list, _ := l.all()
		for _, cookie := range []uint64{list[len(list)-1].cookie, 1 << 62, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
			for count := range uint32(200) {
				l.count = count
				r := l.page(cookie)
				const need = 4 + 84 + 8 + 4 + 4
				switch {
				case r.status == statusTooSmall && count < need+4:
				case r.status == statusOK && r.eof && len(r.entries) == 0:
				default:
					t.Errorf("%d bytes after cookie %d: status %d, %d entries, EOF %v", count, cookie, r.status, len(r.entries), r.eof)
				}
			}
		}
	}
}

// TestReaddirplusDircount lists a folder with each dircount. As a hint it never makes a page too small.
func TestReaddirplusDircount(t *testing.T) {
	e := serve(t, mixed(t), nil)
	l := &listing{w: e.dial(), plus: true, dir: e.node("films", "mixed"), count: 1 << 16}
	l.w.hurry(3 * patience)
	for dircount := range uint32(700) {
		l.dircount = dircount
		if list, ok := l.all(); ok {
			l.check(list)
		} else {
			t.Errorf("dircount %d is too small", dircount)
		}
	}
	l.dircount = math.MaxUint32
	if list, ok := l.all(); ok {
		l.check(list)
	}
}

// TestReaddirResumes goes on behind each entry, with any verifier.
func TestReaddirResumes(t *testing.T) {
	e := serve(t, mixed(t), nil)
	w := e.dial()
	for _, dir := range []tree.Node{e.node(), e.node("films"), e.node("films", "mixed")} {
		for _, plus := range []bool{false, true} {
			l := &listing{w: w, plus: plus, dir: dir, dircount: 1 << 20, count: 1 << 20}
			list, _ := l.all()
			for i, from := range list {
				for _, l.verifier = range []uint64{0, 1, math.MaxUint64} {
					r := l.page(from.cookie)
					same := slices.EqualFunc(r.entries, list[i+1:], func(a, b entry) bool { return a.name == b.name && a.cookie == b.cookie })
					if !same || !r.eof {
						t.Errorf("after %q: %d entries, EOF %v; want %d and the end", from.name, len(r.entries), r.eof, len(list)-i-1)
					}
				}
			}
		}
	}
}

// TestReaddirOverRestart reads each page from another server, with a tree that was built anew, the other
// way round.
func TestReaddirOverRestart(t *testing.T) {
	build := func(reverse bool) *export {
		tr := tree.New(time.Unix(1_700_000_000, 0))
		putRoute(t, tr, filmsID, "films")
		order := make([]int, 200)
		for i := range order {
			order[i] = i
		}
		if reverse {
			slices.Reverse(order)
		}
		var files []tree.File
		for _, i := range order {
			putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{byte(i)}, Route: filmsID, Name: fmt.Sprintf("t%d", i*77%200), FirstID: uint64(1000 + 10*i)})
			files = append(files, tree.File{Path: []string{fmt.Sprintf("d%d", i*77%100), fmt.Sprint(i)}, Index: i, Content: text("")})
		}
		putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{0, 1}, Route: filmsID, Name: "folders", FirstID: 10_000}, files...)
		return serve(t, tr, nil)
	}
	servers := []*export{build(false), build(true)}
	for _, path := range [][]string{{"films"}, {"films", "folders"}} {
		var list []entry
		var l *listing
		for cookie, i, end := uint64(0), 0, false; !end; i++ {
			e := servers[i%2]
			l = &listing{w: e.dial(), dir: e.node(path...), count: 500}
			r := l.page(cookie)
			if r.status != statusOK {
				t.Fatalf("status %d", r.status)
			}
			list = append(list, r.entries...)
			cookie, end = list[len(list)-1].cookie, r.eof
		}
		l.check(list)
	}
}

// TestReaddirWhileTorrentsComeAndGo lists a route slowly, again and again, beside somebody who adds,
// renames and removes torrents. What is there all the time is in each list once, and nothing is twice.
func TestReaddirWhileTorrentsComeAndGo(t *testing.T) {
	const stay, pass = 60, 40
	tr := tree.New(time.Unix(1_700_000_000, 0))
	putRoute(t, tr, filmsID, "films")
	putRoute(t, tr, songsID, "songs")
	put := func(i int, route tree.RouteID, name string) {
		putTorrent(t, tr, tree.Torrent{Infohash: tree.Infohash{byte(i)}, Route: route, Name: name, FirstID: uint64(1000 + 10*(i*37%(stay+pass)))})
	}
	for i := range stay {
		put(i, filmsID, fmt.Sprintf("stays %d", i))
	}
	e := serve(t, tr, nil)
	var stop atomic.Bool
	var churn sync.WaitGroup
	defer churn.Wait()
	defer stop.Store(true)
	churn.Go(func() {
		for round := 0; !stop.Load(); round++ {
			for i := stay; i < stay+pass; i++ {
				switch (i + round) % 4 {
				case 0:
					put(i, filmsID, fmt.Sprintf("passes %d", i))
				case 1:
					put(i, filmsID, fmt.Sprintf("passes %d, renamed", i))
				case 2:
					put(i, songsID, fmt.Sprintf("passes %d", i))
				case 3:
					tr.RemoveTorrent(tree.Infohash{byte(i)}, time.Now())
				}
			}
			time.Sleep(100 * time.Microsecond)
		}
	})
	w := e.dial()
	w.hurry(3 * patience)
	for round := range 100 {
		plus := round%2 == 0
		ids := map[uint64]string{}
		staying := 0
		for cookie, end := uint64(0), false; !end; {
			// The folder's own attributes change while we look.
			proc, args := uint32(procReaddir), []any{e.node("films"), cookie, uint64(round), uint32(400)}
			if plus {
				proc, args = procReaddirplus, []any{e.node("films"), cookie, uint64(round), uint32(200), uint32(1000)}
			}
			r := w.call(proc, args...)
			if r.status != statusOK {
				t.Fatalf("status %d", r.status)
			}
			for _, e := range r.entries {
				if before, twice := ids[e.fileID]; twice && e.name != ".." {
					t.Fatalf("%q is there again, as %q", before, e.name)
				}
				ids[e.fileID] = e.name
				if strings.HasPrefix(e.name, "stays ") {
					staying++
				}
				cookie = e.cookie
			}
			end = r.eof
		}
		if staying != stay {
			t.Fatalf("%d of the torrents that stay, want %d", staying, stay)
		}
	}
}

// TestReaddirLarge lists a folder of 100,000 entries.
func TestReaddirLarge(t *testing.T) {
	const n = 100_000
	e := serve(t, wide(t, n), nil)
	w := e.dial()
	w.hurry(6 * patience)
	for _, l := range []listing{{count: 64 << 10}, {plus: true, dircount: 1 << 20, count: 1 << 20}} {
		l.w, l.dir = w, e.node("r", "wide")
		list, ok := l.all()
		if !ok || len(list) != n+2 {
			t.Fatalf("%d entries, want %d", len(list), n+2)
		}
		names := make(map[string]bool, len(list))
		for _, e := range list {
			names[e.name] = true
		}
		if len(names) != n+2 {
			t.Errorf("%d names, want %d", len(names), n+2)
		}
	}
	u := &listing{w: e.packet(), dir: e.node("r", "wide"), plus: true, dircount: 1 << 20, count: 1 << 20}
	r := u.page(0)
	if r.status != statusOK || r.size > 32<<10 || r.size < 30<<10 {
		t.Errorf("a page in a datagram: status %d, %d bytes; want nearly 32 KiB", r.status, r.size)
	}
}
