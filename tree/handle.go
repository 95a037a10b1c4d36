package tree

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
//	2-3    zero
//	4-23   infohash; for a route its id in bytes 4-11, then zeros
//	24-27  index of the file or the folder
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
// ErrStale if what it stands for is gone, or that of loading the torrent.
func (t *Tree) Resolve(b []byte) (Node, error) {
	if len(b) != HandleSize || b[0] != handleVersion || b[2] != 0 || b[3] != 0 ||
		binary.BigEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return Node{}, fmt.Errorf("%d bytes: %w", len(b), ErrHandle)
	}
	switch kind := handleKind(b[1]); kind {
	case kindRoot:
		return t.Root(), nil
	case kindRoute:
		return t.resolveRoute(RouteID(binary.BigEndian.Uint64(b[4:])))
	case kindTorrent, kindFolder, kindFile:
		return t.resolveTorrent(kind, Infohash(b[4:24]), binary.BigEndian.Uint32(b[24:]))
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
	t.mu.RLock()
	defer t.mu.RUnlock()
	tt, ok := t.torrents[Infohash(b[4:24])]
	return !ok || tt.inside.Load() != nil
}

// Load makes a handle Loaded with its inside, as far as that is possible. It waits for the local disk.
func (t *Tree) Load(b []byte) {
	if n, err := t.Resolve(b); err == nil && n.torrent != nil {
		_, _ = n.torrent.load() // whoever looks next gets the same error
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
	if kind == kindTorrent {
		return n, nil
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
	return n, nil
}
