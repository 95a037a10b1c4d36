package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// ErrNotArchive is returned for an archive that cannot be shown as a folder: it is damaged, encrypted, or none. From then on it is a file,
// until somebody asks for it to be looked at again.
var ErrNotArchive = errors.New("not to be shown as a folder")

// ErrUnread is returned for what is inside an archive that nobody has looked into since the start: Load reads it, and waits for peers.
var ErrUnread = errors.New("the archive was not read yet")

// Archive is a file that can be shown as a folder.
type Archive interface {
	// Members lists what is inside, in the archive's own order, which is the same each time. It waits for peers as long as ctx lasts,
	// if that is not known already. The error is one of them, or ErrNotArchive with the reason.
	Members(ctx context.Context) ([]Member, error)
	// Shown says, at once, whether the archive should be a folder now. It should not if it is known that the error is ErrNotArchive, or
	// if too much would have to be fetched only to list it. That may change both ways.
	Shown() bool
}

// Member is a file, folder or link in an archive. Its place in the list is its identity.
type Member struct {
	Parent  int // place in the list of the folder it is in, which comes before it; -1 at the top
	Name    string
	Size    int64     // in bytes
	ModTime time.Time // that of the torrent if it is zero
	Dir     bool
	Run     bool   // a program
	Link    string // what a link says; empty if it is none
	Hidden  bool   // it is nowhere, and has a place only

	Content Content // of a file
	Archive Archive // of a file that can be shown as a folder itself; else nil
}

// Numbers hands out the file ids of what is inside the archives of a torrent, for ever.
type Numbers interface {
	// Take returns the first n file ids of an archive, in runs. Those that it has not handed out yet it makes durable before.
	Take(place string, n int) ([]Run, error)
	// Find returns which one of which archive a file id is.
	Find(id uint64) (place string, at int, ok bool)
}

// Run is a run of file ids.
type Run struct {
	First uint64
	N     int
}

// archive is an Archive with its inside, once somebody has looked at it.
//
// Of the file ids of an archive, that of member i is the one at 2i. The one at 2i+1 is that of the folder as which it is shown.
type archive struct {
	torrent *torrent
	source  Archive
	place   string // "12" is the archive that is file 12 of the metainfo, "12/5" is member 5 of that
	id      uint64 // of the folder
	file    Node   // what is shown as a folder
	name    string // of the folder, when it is shown beside the file; empty for one that is a torrent

	numbering sync.Mutex              // held over Numbers.Take, which writes to the local disk
	inside    atomic.Pointer[members] // nil until loaded, constant afterwards
	failed    atomic.Pointer[failure] // why it was not loaded last time, if that was not for want of time

	shown atomic.Bool  // as a folder, and not as a file
	held  atomic.Int64 // until when it is a file in any case; Unix, in nanoseconds
	there atomic.Pointer[share]
}

// failure is why an archive could not be loaded, which those are told who asked for it meanwhile.
type failure struct {
	err   error
	until time.Time // when it is tried again
}

// failurePause is for how long an archive that could not be loaded is not tried again. It is long enough for the answer of who waited for it,
// which looks once more.
const failurePause = time.Second

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

// Archives says how archives are shown.
type Archives uint8

// The ways to show archives.
const (
	ArchivesOff    Archives = iota // as files
	ArchivesFolder                 // as folders of the same name
	ArchivesBoth                   // as files, and as folders beside them
	archivesWays
)

// listings are those of a folder, for each way to show archives.
type listings struct {
	// making is held from the first look at what is shown as a folder until the listing is kept: what changes meanwhile is forgotten after that.
	making sync.Mutex
	dirs   [archivesWays]atomic.Pointer[Dir]
	turn   turn
}

func (l *listings) forget() {
	l.making.Lock()
	defer l.making.Unlock()
	for i := range l.dirs {
		l.dirs[i].Store(nil)
	}
}

const contentsSuffix = ".contents"

// contentsName returns how the folder of an archive is called beside it, where isTaken says which files there are. Of archives with names
// that differ the folders have names that differ, without a look at the others: what is cut off is told by a hash, in a place where no name
// has one that is not cut.
func contentsName(name string, isTaken func(string) bool) string {
	for i := 0; ; i++ {
		count := ""
		if i > 0 {
			count = fmt.Sprintf(" (%d)", i)
		}
		stem, suffix := name, contentsSuffix+count
		if len(name)+len(suffix) > MaxName {
			whole := sha256.Sum256([]byte(name))
			suffix = fmt.Sprintf("%s ~%x%s", contentsSuffix, whole[:8], count)
		}
		for len(stem)+len(suffix) > MaxName {
			_, n := utf8.DecodeLastRuneInString(stem)
			stem = stem[:len(stem)-n]
		}
		if !isTaken(stem + suffix) {
			return stem + suffix
		}
	}
}

// load reads the inside, if that was not done.
func (a *archive) load(ctx context.Context) (*members, error) {
	if in, err := a.loaded(); in != nil || !errors.Is(err, ErrUnread) {
		return in, err
	}
	list, err := a.source.Members(ctx)
	if err != nil {
		if errors.Is(err, ErrNotArchive) {
			a.refuse()
		}
		return nil, a.fail(ctx, "look into", err)
	}
	a.numbering.Lock()
	defer a.numbering.Unlock()
	if in := a.inside.Load(); in != nil {
		return in, nil
	}
	in, err := a.newMembers(list)
	if err != nil {
		return nil, a.fail(ctx, "show", err)
	}
	a.inside.Store(in)
	return in, nil
}

// loaded returns the inside as far as that is known: the error is ErrUnread, or that of who tried to load it a moment ago.
func (a *archive) loaded() (*members, error) {
	if in := a.inside.Load(); in != nil {
		return in, nil
	}
	if f := a.failed.Load(); f != nil && time.Now().Before(f.until) {
		return nil, f.err
	}
	return nil, &unreadError{a}
}

// fail returns the error of loading, and keeps it for those who waited for that, unless it was just given up.
func (a *archive) fail(ctx context.Context, what string, err error) error {
	givenUp := ctx.Err() != nil || errors.Is(err, context.Canceled)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New(err.Error()) // or it would look as if the name were not there that was asked for
	}
	err = fmt.Errorf("%s the archive %s of torrent %x: %w", what, a.place, a.torrent.infohash, err)
	if !givenUp && !errors.Is(err, ErrNotArchive) {
		a.failed.Store(&failure{err, time.Now().Add(failurePause)})
	}
	return err
}

// begin has the archive be what it should at first.
func (a *archive) begin() {
	a.shown.Store(true)
	if !a.source.Shown() {
		a.hide()
	}
}

func (a *archive) hide() bool {
	if !a.shown.Swap(false) {
		return false
	}
	a.torrent.hidden.Add(a.id)
	return true
}

// refuse has the archive be a file, as it turned out to be none.
func (a *archive) refuse() {
	if a.source.Shown() { // or it would be a folder again at once, and again after the next look into it
		a.held.Store(time.Now().Add(refusalPause).UnixNano())
	}
	if !a.show(false) {
		a.file.shownOtherwise() // who hid it may not have come to that
	}
}

// refusalPause is for how long an archive stays a file if its source does not know any more that it refused it.
const refusalPause = time.Minute

// turns says whether an archive that is shown as a file should be a folder now.
func (a *archive) turns() bool {
	return !a.shown.Load() && time.Now().UnixNano() >= a.held.Load() && a.source.Shown()
}

// show has the archive be a folder, or a file. It says whether that is a change.
func (a *archive) show(folder bool) bool {
	switch {
	case !folder && !a.hide(), folder && a.shown.Swap(true):
		return false
	case folder:
		a.torrent.hidden.Add(-a.id)
	}
	a.file.shownOtherwise()
	return true
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

// top is the folder as which the archive is shown.
func (a *archive) top() Node { return Node{tree: a.file.tree, torrent: a.torrent, archive: a} }

// shownName returns the name of the folder when it is shown beside the file. That of a torrent needs Tree.mu.
func (a *archive) shownName() string {
	if a.name != "" {
		return a.name
	}
	t := a.torrent
	return contentsName(t.name, func(name string) bool { return t.route.torrents[name] != nil })
}

// listing is one in the making.
type listing struct {
	entries []Entry
	hidden  []*archive // which are shown as files
}

// add adds a file that may be an archive, nil if it is none. That of a torrent needs Tree.mu.
func (l *listing) add(a *archive, file Entry, way Archives) {
	folder := Entry{Name: file.Name}
	switch {
	case a == nil || way == ArchivesOff:
		l.entries = append(l.entries, file)
		return
	case !a.shown.Load():
		l.hidden = append(l.hidden, a)
		l.entries = append(l.entries, file)
		return
	case way == ArchivesBoth:
		folder.Name = a.shownName()
		l.entries = append(l.entries, file)
	}
	folder.Node = a.top()
	l.entries = append(l.entries, folder)
}

// turn is how far those archives of a folder have been looked at that are shown as files, and may be folders later.
type turn struct {
	looked atomic.Int64  // when; Unix, in nanoseconds
	next   atomic.Uint64 // about which of them is next
}

const (
	lookPause = time.Second
	lookTime  = 2 * time.Millisecond // as a client waits for attributes meanwhile, and the next ones of it
)

// look shows those archives as folders that have become such since the listing was made, and says whether there are some. It looks once
// in a while, as long as lookTime, and goes on where it ended.
func (d *Dir) look() (changed bool) {
	if d == nil || len(d.hidden) == 0 {
		return false
	}
	now := time.Now()
	last := d.turn.looked.Load()
	if now.UnixNano()-last < int64(lookPause) || !d.turn.looked.CompareAndSwap(last, now.UnixNano()) {
		return false
	}
	for _, a := range d.hidden {
		if a.shown.Load() { // since the listing was begun
			a.file.shownOtherwise()
			changed = true
		}
	}
	for range d.hidden {
		a := d.hidden[d.turn.next.Add(1)%uint64(len(d.hidden))]
		if a.turns() && a.show(true) {
			changed = true
		}
		if time.Since(now) >= lookTime {
			break
		}
	}
	return changed
}

// look is that of the listings that are kept.
func (l *listings) look() {
	for i := range l.dirs {
		l.dirs[i].Load().look()
	}
}

// keep returns the listing that is kept for a way, or makes it.
func (l *listings) keep(way Archives, list func(l *listing)) *Dir {
	for {
		d := l.dirs[way].Load()
		if d == nil {
			d = l.make(way, list)
		}
		if !d.look() {
			return d
		}
	}
}

func (l *listings) make(way Archives, list func(l *listing)) *Dir {
	l.making.Lock()
	defer l.making.Unlock()
	if d := l.dirs[way].Load(); d != nil {
		return d
	}
	var made listing
	list(&made)
	d := newDir(made, &l.turn)
	l.dirs[way].Store(d)
	return d
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

// shownOtherwise forgets the listing of the folder in which a file is that became a folder, or a file again.
func (n Node) shownOtherwise() {
	switch above := n.Parent(); {
	case n.archive != nil:
		in, m := n.memberOf()
		in.folders[int32(m.Parent)].dirs.forget()
	case above.torrent != nil:
		n.torrent.inside.Load().nodes[above.inner].folder.dirs.forget()
	default:
		n.tree.mu.Lock()
		defer n.tree.mu.Unlock()
		n.torrent.route.changed(time.Now())
	}
}
