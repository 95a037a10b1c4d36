package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// HandleSize is the length of a handle in bytes: a multiple of 4 and below the 64 that NFSv3 allows
// (RFC 1813, section 2.4).
const HandleSize = 32

// Handle is a Node in bytes. It is computed, never stored, so it is the same after a restart, after
// loss of the cache, and on another machine with the same library. It is no secret: whoever uses
// one is to be checked like anybody else.
//
//	0      version, 1
//	1      kind
//	2-3    zero; for what is in an archive, bits 32-47 of its file id
//	4-23   infohash; for a route its id in bytes 4-11, then zeros
//	24-27  index of the file or the folder, or bits 0-31 of that id
//	28-31  CRC-32C of what precedes, to tell a damaged handle from a foreign one
//
// Numbers are big-endian.
type Handle [HandleSize]byte

type handleKind byte

const (
	handleVersion = 1

	kindRoot    handleKind = 1
	kindRoute   handleKind = 2
	kindTorrent handleKind = 3
	kindFolder  handleKind = 4
	kindFile    handleKind = 5
	kindArchive handleKind = 6 // a file as a folder
	kindMember  handleKind = 7 // in an archive; of a member that is an archive also the folder, which has an id of its own
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Handle returns the node's handle.
func (n Node) Handle() Handle {
	var h Handle
	n.PutHandle(h[:])
	return h
}

// PutHandle puts the node's handle into h, which has to have room for it.
func (n *Node) PutHandle(h []byte) {
	h = h[:HandleSize]
	clear(h)
	h[0] = handleVersion
	switch {
	case n.archive != nil && n.member == 0 && n.archive.file.archive == nil:
		h[1] = byte(kindArchive)
		copy(h[4:], n.torrent.infohash[:])
		binary.BigEndian.PutUint32(h[24:], uint32(n.archive.id-n.torrent.archiveIDs))
	case n.archive != nil:
		h[1] = byte(kindMember)
		copy(h[4:], n.torrent.infohash[:])
		id := n.FileID()
		binary.BigEndian.PutUint16(h[2:], uint16(id>>32))
		binary.BigEndian.PutUint32(h[24:], uint32(id))
	case n.torrent != nil && n.inner != 0:
		inner := &n.torrent.inside.Load().nodes[n.inner]
		h[1] = byte(kindFile)
		if inner.isDir() {
			h[1] = byte(kindFolder)
		}
		copy(h[4:], n.torrent.infohash[:])
		binary.BigEndian.PutUint32(h[24:], uint32(inner.ordinal))
	case n.torrent != nil:
		h[1] = byte(kindTorrent)
		copy(h[4:], n.torrent.infohash[:])
	case n.route != nil:
		h[1] = byte(kindRoute)
		binary.BigEndian.PutUint64(h[4:], uint64(n.route.id))
	default:
		h[1] = byte(kindRoot)
	}
	binary.BigEndian.PutUint32(h[28:], crc32.Checksum(h[:28], castagnoli))
}

// Resolve returns the node of a handle. The error is ErrHandle if b is no handle of this version,
// ErrStale if what it stands for is gone, ErrUnread, or that of loading the torrent or an archive a moment ago.
func (t *Tree) Resolve(b []byte) (Node, error) {
	if len(b) != HandleSize || b[0] != handleVersion || handleKind(b[1]) != kindMember && (b[2] != 0 || b[3] != 0) ||
		binary.BigEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return Node{}, fmt.Errorf("%d bytes: %w", len(b), ErrHandle)
	}
	switch kind := handleKind(b[1]); kind {
	case kindRoot:
		return t.Root(), nil
	case kindRoute:
		return t.resolveRoute(RouteID(binary.BigEndian.Uint64(b[4:])))
	case kindTorrent, kindFolder, kindFile, kindArchive:
		return t.resolveTorrent(kind, Infohash(b[4:24]), binary.BigEndian.Uint32(b[24:]))
	case kindMember:
		id := uint64(binary.BigEndian.Uint16(b[2:]))<<32 | uint64(binary.BigEndian.Uint32(b[24:]))
		return t.resolveMember(Infohash(b[4:24]), id)
	default:
		return Node{}, fmt.Errorf("kind %d: %w", kind, ErrHandle)
	}
}

// Loaded says whether the node of a handle, and if inside also its listing or content, can be had without
// reading a torrent's metainfo from the disk. That takes a second for a torrent of 100,000 files. For what
// is no handle, or of something gone, it can.
func (t *Tree) Loaded(b []byte, inside bool) bool {
	if len(b) != HandleSize || handleKind(b[1]) < kindTorrent || handleKind(b[1]) == kindTorrent && !inside {
		return true
	}
	if handleKind(b[1]) >= kindArchive {
		return t.read(b, inside)
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	tt, ok := t.torrents[Infohash(b[4:24])]
	return !ok || tt.inside.Load() != nil
}

// read is Loaded for an archive and what is inside one.
func (t *Tree) read(b []byte, inside bool) bool {
	t.mu.RLock()
	tt, ok := t.torrents[Infohash(b[4:24])]
	t.mu.RUnlock()
	if !ok {
		return true
	}
	if tt.inside.Load() == nil && tt.archive == nil {
		return false
	}
	n, err := t.Resolve(b)
	if err != nil {
		return !errors.Is(err, ErrUnread)
	}
	return !inside || n.member != 0 || !n.archive.shown.Load() || n.archive.inside.Load() != nil
}

// Load makes a handle Loaded with its inside, as far as that is possible. It waits for the local disk and, as long as ctx lasts, for
// what peers have of archives. The error is one of ctx or of loading an archive; those but of ctx, and others, get whoever looks next, too.
func (t *Tree) Load(ctx context.Context, b []byte) error {
	var last *archive
	for {
		n, err := t.Resolve(b)
		var unread *unreadError
		switch {
		case errors.As(err, &unread) && unread.archive != last:
			last = unread.archive
			_, err = last.load(ctx)
		case err != nil || n.torrent == nil:
			return nil
		case n.archive != nil:
			return n.Load(ctx)
		default:
			_, _ = n.torrent.load()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// unreadError says which archive was not read yet.
type unreadError struct{ archive *archive }

func (e *unreadError) Error() string { return fmt.Sprintf("%s: %v", e.archive.place, ErrUnread) }
func (e *unreadError) Unwrap() error { return ErrUnread }

// node returns the folder as which the archive is shown. The error is ErrStale if it is not any more.
func (a *archive) node() (Node, error) {
	if a != nil && a.turns() { // no listing was asked for since it is
		a.show(true)
	}
	if a == nil || !a.shown.Load() {
		return Node{}, fmt.Errorf("what is no archive: %w", ErrStale)
	}
	return a.top(), nil
}

// resolveMember finds what is in an archive, from the outermost in. The error is ErrUnread if one of them was not read.
func (t *Tree) resolveMember(ih Infohash, id uint64) (Node, error) {
	t.mu.RLock()
	tt, ok := t.torrents[ih]
	t.mu.RUnlock()
	if !ok || tt.numbers == nil {
		return Node{}, fmt.Errorf("torrent %x: %w", ih, ErrStale)
	}
	place, at, ok := tt.numbers.Find(id)
	if !ok {
		return Node{}, fmt.Errorf("torrent %x has nothing with the file id %d: %w", ih, id, ErrStale)
	}
	first, rest, _ := strings.Cut(place, "/")
	file, err := strconv.ParseUint(first, 10, 32)
	if err != nil {
		return Node{}, fmt.Errorf("place %q of file id %d: %w", place, id, ErrStale)
	}
	n, err := t.resolveTorrent(kindArchive, ih, uint32(file))
	if err != nil {
		return Node{}, err
	}
	for rest != "" {
		var member string
		member, rest, _ = strings.Cut(rest, "/")
		i, err := strconv.ParseUint(member, 10, 30) // twice that is an int everywhere
		if err != nil {
			return Node{}, fmt.Errorf("place %q of file id %d: %w", place, id, ErrStale)
		}
		if n, err = n.archive.at(2*int(i) + 1); err != nil {
			return Node{}, err
		}
	}
	return n.archive.at(at)
}

// at returns what has the file id at a place in all of them.
func (a *archive) at(place int) (Node, error) {
	in, err := a.loaded()
	switch i := place / 2; {
	case err != nil:
		return Node{}, err
	case i >= len(in.list) || in.list[i].Hidden:
		return Node{}, fmt.Errorf("archive %s has no member %d: %w", a.place, i, ErrStale)
	case place%2 == 1:
		return in.nested[int32(i)].node()
	default:
		return Node{tree: a.file.tree, torrent: a.torrent, archive: a, member: int32(i) + 1}, nil
	}
}

func (t *Tree) resolveRoute(id RouteID) (Node, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, ok := t.routes[id]
	if !ok {
		return Node{}, fmt.Errorf("route %d: %w", id, ErrStale)
	}
	return Node{tree: t, route: r}, nil
}

func (t *Tree) resolveTorrent(kind handleKind, ih Infohash, index uint32) (Node, error) {
	t.mu.RLock()
	tt, ok := t.torrents[ih]
	t.mu.RUnlock()
	if !ok {
		return Node{}, fmt.Errorf("torrent %x: %w", ih, ErrStale)
	}
	n := Node{tree: t, torrent: tt}
	switch {
	case kind == kindTorrent:
		return n, nil
	case kind == kindArchive && tt.archive != nil && index == 0:
		return tt.archive.node()
	}
	in, err := tt.load()
	if err != nil {
		return Node{}, err
	}
	nodes := in.files
	if kind == kindFolder {
		nodes = in.folders
	}
	if uint64(index) >= uint64(len(nodes)) || nodes[index] < 0 {
		return Node{}, fmt.Errorf("torrent %x has nothing at %d: %w", ih, index, ErrStale)
	}
	n.inner = nodes[index]
	if kind != kindArchive {
		return n, nil
	}
	return in.nodes[n.inner].archive.node()
}
