package tree

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// members is the inside of an archive.
type members struct {
	list    []Member
	ids     []Run
	folders map[int32]*memberFolder // by member; -1 is the top
	nested  map[int32]*archive      // by member
}

type memberFolder struct {
	children []int32 // sorted by name
	dirs     listings
}

func (a *archive) newMembers(list []Member) (*members, error) {
	in := &members{list: list, folders: map[int32]*memberFolder{-1: {}}, nested: make(map[int32]*archive)}
	for i := range list {
		m := &list[i]
		if err := CheckName(m.Name); err != nil {
			return nil, fmt.Errorf("member %d: %w", i, err)
		}
		above := in.folders[int32(m.Parent)]
		if m.Hidden {
			continue
		}
		if m.Parent >= i || above == nil {
			return nil, fmt.Errorf("member %d is in no folder that comes before it", i)
		}
		above.children = append(above.children, int32(i))
		if m.Dir {
			in.folders[int32(i)] = &memberFolder{}
		}
	}
	for _, folder := range in.folders {
		if err := in.sort(folder); err != nil {
			return nil, err
		}
	}
	var err error
	if in.ids, err = a.torrent.numbers.Take(a.place, 2*len(list)); err != nil {
		return nil, fmt.Errorf("number what is inside: %w", err)
	}
	for i := range list {
		if m := &list[i]; m.Archive != nil {
			in.nested[int32(i)] = a.nest(in, i)
		}
	}
	return in, nil
}

// nest returns an archive that is a member.
func (a *archive) nest(in *members, i int) *archive {
	m := &in.list[i]
	siblings := in.folders[int32(m.Parent)]
	nested := &archive{
		torrent: a.torrent,
		source:  m.Archive,
		place:   a.place + "/" + strconv.Itoa(i),
		id:      in.id(2*i + 1),
		file:    Node{tree: a.file.tree, torrent: a.torrent, archive: a, member: int32(i) + 1},
		name: contentsName(m.Name, func(name string) bool {
			_, taken := in.find(siblings, name)
			return taken
		}),
	}
	nested.begin()
	return nested
}

// sort sorts what is in a folder. The error is fs.ErrExist if two have the same name.
func (in *members) sort(folder *memberFolder) error {
	slices.SortFunc(folder.children, func(x, y int32) int { return strings.Compare(in.list[x].Name, in.list[y].Name) })
	for i := 1; i < len(folder.children); i++ {
		if x, y := folder.children[i-1], folder.children[i]; in.list[x].Name == in.list[y].Name {
			return fmt.Errorf("members %d and %d, %q: %w", x, y, in.list[x].Name, fs.ErrExist)
		}
	}
	return nil
}

func (in *members) find(folder *memberFolder, name string) (int32, bool) {
	i, ok := slices.BinarySearchFunc(folder.children, name, func(c int32, name string) int {
		return strings.Compare(in.list[c].Name, name)
	})
	if !ok {
		return 0, false
	}
	return folder.children[i], true
}

// id returns a file id by its place in all of them.
func (in *members) id(at int) uint64 {
	for _, r := range in.ids {
		if at < r.N {
			return r.First + uint64(at)
		}
		at -= r.N
	}
	return 0
}

// memberOf returns the member that a node in an archive is; nil is the top.
func (n *Node) memberOf() (in *members, m *Member) {
	in = n.archive.inside.Load()
	if n.member == 0 {
		return in, nil
	}
	return in, &in.list[n.member-1]
}

const (
	programMode = fs.FileMode(0o555)
	linkMode    = fs.ModeSymlink | 0o777
)

// stat is Node.Stat of what is in an archive.
func (a *archive) stat(n *Node, at *Attr) {
	in, m := n.memberOf()
	if in != nil {
		if folder := in.folders[n.member-1]; folder != nil {
			folder.dirs.look()
		}
	}
	if m == nil {
		*at = Attr{Mode: dirMode, FileID: a.id, ModTime: a.torrent.shown(a.torrent.mtime)}
		return
	}
	*at = Attr{Mode: fileMode, Size: m.Size, FileID: in.id(2 * int(n.member-1)), ModTime: m.ModTime}
	if at.ModTime.IsZero() {
		at.ModTime = a.torrent.mtime
	}
	switch {
	case m.Dir:
		at.Mode, at.Size, at.ModTime = dirMode, 0, a.torrent.shown(at.ModTime)
	case m.Link != "":
		at.Mode, at.Size, at.Used = linkMode, int64(len(m.Link)), int64(len(m.Link))
	case m.Run:
		at.Mode = programMode
	}
	if at.Mode.IsRegular() {
		at.Used = a.share().of(m.Size)
	}
}

// share is how much of a file is there.
type share struct {
	used, size int64
	until      time.Time // when it is looked at again
}

// shareTime is for how long a share is taken for right: somebody may list 100,000 members, for each of which it would be counted.
const shareTime = time.Second

// share returns how much of the archive's file is there.
func (a *archive) share() *share {
	now := time.Now()
	if s := a.there.Load(); s != nil && now.Before(s.until) {
		return s
	}
	at := a.file.Attr()
	s := &share{at.Used, at.Size, now.Add(shareTime)}
	a.there.Store(s)
	return s
}

// of returns about how many of n bytes in the file are there: as many as if those that are were spread evenly.
func (s *share) of(n int64) int64 {
	if s.used >= s.size {
		return n
	}
	return int64(float64(n) * (float64(s.used) / float64(s.size)))
}

func (a *archive) fileID(n *Node) uint64 {
	if n.member == 0 {
		return a.id
	}
	in, _ := n.memberOf()
	return in.id(2 * int(n.member-1))
}

// isDir is Node.IsDir of what is in an archive.
func (a *archive) isDir(n *Node) bool {
	if n.member == 0 {
		return true
	}
	_, m := n.memberOf()
	return m.Dir
}

// parent is Node.Parent of what is in an archive.
func (a *archive) parent(n Node) Node {
	if n.member == 0 {
		return a.file.Parent()
	}
	_, m := n.memberOf()
	n.member = int32(m.Parent) + 1
	return n
}

// dir is Node.Dir of what is in an archive.
func (a *archive) dir(n Node, way Archives) (*Dir, error) {
	in, err := a.loaded()
	if err != nil {
		return nil, err
	}
	folder := in.folders[n.member-1]
	if folder == nil {
		return nil, ErrNotDir
	}
	return folder.dirs.keep(way, func(l *listing) {
		for _, c := range folder.children {
			file := Entry{Name: in.list[c].Name, Node: Node{tree: n.tree, torrent: n.torrent, archive: a, member: c + 1}}
			l.add(in.nested[c], file, way)
		}
	}), nil
}

// content is Node.Content of what is in an archive.
func (a *archive) content(n *Node) (Content, error) {
	if n.member == 0 {
		return nil, ErrIsDir
	}
	switch _, m := n.memberOf(); {
	case m.Dir:
		return nil, ErrIsDir
	case m.Content == nil:
		return nil, fmt.Errorf("%q is a link: %w", m.Name, fs.ErrInvalid)
	default:
		return m.Content, nil
	}
}
