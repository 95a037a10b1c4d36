package nfs3

import (
	"encoding/binary"
	"io/fs"
	"math"
	"slices"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

const (
	typeFile = 1 // NF3REG
	typeDir  = 2 // NF3DIR
	typeLink = 5 // NF3LNK

	// fsid tells what we export from what a client mounts of others.
	fsid = 0x53686f616c // "Shoal"
	// dirSize is that of a folder: some clients take one of 0 bytes for empty.
	dirSize = 4096

	// leastUsed is what a file with data takes at least, in bytes: GNU tar does not read one that takes nothing, and
	// keeps zeros instead (--sparse).
	leastUsed = 512

	attrSize = 84 // of fattr3, in bytes
)

// appendAttr appends a node's fattr3.
func appendAttr(b []byte, n tree.Node) []byte {
	start := len(b)
	b = slices.Grow(b, attrSize)[:start+attrSize]
	a := n.Attr()
	putAttr(b[start:], &a)
	return b
}

// putAttr puts a node's fattr3 (RFC 1813, section 2.6) into f.
func putAttr(f []byte, a *tree.Attr) {
	_ = f[attrSize-1]
	kind, links, size, used := uint32(typeFile), uint32(1), uint64(a.Size), uint64(a.Used)
	switch {
	case a.Mode.IsDir():
		kind, links, size, used = typeDir, 2, dirSize, dirSize
	case a.Mode&fs.ModeSymlink != 0:
		kind = typeLink
	}
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put32(f[0:], kind)
	put32(f[4:], uint32(a.Mode.Perm()))
	put32(f[8:], links)
	put64(f[12:], 0) // owner and group: root
	putSize(f, size, used)
	put64(f[36:], 0) // no device
	put64(f[44:], fsid)
	putFileID(f, a.FileID)
	// When it was read, when its data changed, and its attributes.
	changed := uint64(max(0, min(a.ModTime.Unix(), math.MaxUint32)))<<32 | uint64(a.ModTime.Nanosecond())
	put64(f[60:], changed)
	put64(f[68:], changed)
	put64(f[76:], changed)
}

func putSize(f []byte, size, used uint64) {
	if size > 0 {
		used = max(used, leastUsed)
	}
	binary.BigEndian.PutUint64(f[20:], size)
	binary.BigEndian.PutUint64(f[28:], used)
}

func putFileID(f []byte, id uint64) { binary.BigEndian.PutUint64(f[52:], id) }

// appendPostOp appends a node's attributes where they may be left out (post_op_attr).
func appendPostOp(b []byte, n tree.Node) []byte {
	return appendAttr(xdr.AppendBool(b, true), n)
}

// appendWcc appends a node's wcc_data: nothing of before, and what it is now.
func appendWcc(b []byte, n tree.Node) []byte {
	return appendPostOp(xdr.AppendBool(b, false), n)
}

// takeNode takes a handle, and resolves it.
func (s *Server) takeNode(d *xdr.Decoder) (tree.Node, error) {
	handle := d.Opaque(maxHandle)
	if d.Err() != nil {
		return tree.Node{}, tree.ErrHandle
	}
	return s.opts.Tree.Resolve(handle)
}

func (s *Server) getattr(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	n, err := s.takeNode(d)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case err != nil:
		return refuse(call, reply, status(err), 0)
	}
	return appendAttr(begin(call, reply, statusOK), n), rpc.Success
}

// Bits of ACCESS (RFC 1813, section 3.3.4).
const (
	accessRead    = 0x01
	accessLookup  = 0x02
	accessExecute = 0x20
)

// access grants what the mode bits do, to everybody.
func (s *Server) access(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	n, err := s.takeNode(d)
	wanted := d.Uint32()
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case err != nil:
		return refuse(call, reply, status(err), 1)
	}
	granted := uint32(accessRead)
	switch {
	case n.IsDir():
		granted |= accessLookup
	case n.Attr().Mode&0o111 != 0:
		granted |= accessExecute
	}
	reply = appendPostOp(begin(call, reply, statusOK), n)
	return xdr.AppendUint32(reply, wanted&granted), rpc.Success
}

// readlink says where a symbolic link in an archive leads.
func (s *Server) readlink(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	n, err := s.takeNode(d)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case err != nil:
		return refuse(call, reply, status(err), 1)
	}
	link, err := n.Link()
	if err != nil {
		return appendPostOp(begin(call, reply, statusInval), n), rpc.Success
	}
	return xdr.AppendOpaque(appendPostOp(begin(call, reply, statusOK), n), link), rpc.Success
}
