package nfs3

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"slices"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// The cookie of an entry is its file id, which it keeps for ever, and a little. A page goes on with the
// first entry whose cookie is above the one that the client has, whether the entry of that is still there
// or not; so a folder may change while it is read, and no verifier is needed.
const (
	cookieSelf   = 1 // "."
	cookieParent = 2 // ".."
	cookieBase   = 2 // what the file ids of others are raised by
)

const (
	// maxPage is the largest page, in bytes, and maxPacketPage the largest in a datagram.
	maxPage       = 1 << 20
	smallPage     = 16 << 10 // when there is no room for more
	maxPacketPage = 32 << 10
	// pageEnd is what is behind the entries: that there are no more here, and whether there are elsewhere.
	pageEnd = 4 + 4
)

func (s *Server) lookup(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	dir, err := s.takeNode(d)
	name := d.Opaque(maxName)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case err != nil:
		return refuse(call, reply, status(err), 1)
	}
	child, err := find(dir, string(name))
	switch {
	case err == nil:
		handle := child.Handle()
		reply = xdr.AppendOpaque(begin(call, reply, statusOK), handle[:])
		return appendPostOp(appendPostOp(reply, child), dir), rpc.Success
	case errors.Is(err, fs.ErrNotExist):
		reply = begin(call, reply, statusNoEnt)
	case errors.Is(err, errNameTooLong):
		reply = begin(call, reply, statusNameTooLong)
	default:
		reply = begin(call, reply, status(err))
	}
	return appendPostOp(reply, dir), rpc.Success
}

var errNameTooLong = errors.New("the name is too long")

func find(dir tree.Node, name string) (tree.Node, error) {
	switch {
	case !dir.IsDir():
		return tree.Node{}, tree.ErrNotDir
	case name == ".":
		return dir, nil
	case name == "..":
		return dir.Parent(), nil
	case len(name) > tree.MaxName:
		return tree.Node{}, errNameTooLong
	}
	return dir.Lookup(name)
}

// page is a part of a listing while it is made.
type page struct {
	plus  bool
	limit int // where the reply has to end
	names int // how many bytes of names and ids there may be yet (dircount, a hint)

	entries int // how many it has

	// stamp is the fattr3 of an entry of the same mode and time as like, as nearly all are.
	stamp [attrSize]byte
	like  tree.Attr
}

func (s *Server) readdir(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	dir, err := s.takeNode(d)
	cookie := d.Uint64()
	d.Uint64() // the verifier: any will do
	count := d.Uint32()
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	return s.list(call, dir, err, cookie, &page{names: maxPage}, count, reply)
}

func (s *Server) readdirplus(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	dir, err := s.takeNode(d)
	cookie := d.Uint64()
	d.Uint64() // the verifier: any will do
	names, count := d.Uint32(), d.Uint32()
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	return s.list(call, dir, err, cookie, &page{plus: true, names: int(min(names, maxPage))}, count, reply)
}

// list answers with the entries after cookie that fit count bytes.
func (s *Server) list(call *rpc.Call, dir tree.Node, err error, cookie uint64, p *page, count uint32, reply []byte) ([]byte, rpc.Status) {
	if err != nil {
		return refuse(call, reply, status(err), 1)
	}
	listing, err := dir.Dir()
	if err != nil {
		return appendPostOp(begin(call, reply, status(err)), dir), rpc.Success
	}
	most := uint32(maxPage)
	if !call.Stream() {
		most = maxPacketPage
	} else if min(count, most) > smallPage && !call.Room(int(min(count, most))) {
		most = smallPage
	}
	start := len(reply)
	p.limit = start + int(min(count, most))
	reply = appendPostOp(begin(call, reply, statusOK), dir)
	reply = xdr.AppendUint64(reply, 0) // the verifier
	reply, all := p.appendEntries(reply, dir, listing, cookie)
	if p.entries == 0 && !all || len(reply)+pageEnd > p.limit {
		return appendPostOp(begin(call, reply[:start], statusTooSmall), dir), rpc.Success
	}
	reply = xdr.AppendBool(reply, false) // no more entries in this page
	return xdr.AppendBool(reply, all), rpc.Success
}

// appendEntries appends those after cookie, and says whether these are all.
func (p *page) appendEntries(b []byte, dir tree.Node, listing *tree.Dir, cookie uint64) (_ []byte, all bool) {
	var ok bool
	if cookie < cookieSelf {
		attr := dir.Attr()
		if b, ok = p.append(b, ".", &dir, &attr, cookieSelf); !ok {
			return b, false
		}
	}
	if cookie < cookieParent {
		parent := dir.Parent()
		attr := parent.Attr()
		if b, ok = p.append(b, "..", &parent, &attr, cookieParent); !ok {
			return b, false
		}
	}
	entries := listing.After(max(cookie, cookieBase) - cookieBase)
	var attr tree.Attr
	for i := range entries {
		e := &entries[i]
		e.Node.Stat(&attr)
		if b, ok = p.append(b, e.Name, &e.Node, &attr, attr.FileID+cookieBase); !ok {
			return b, false
		}
	}
	return b, true
}

// putAttr is putAttr, quicker for one like the last.
func (p *page) putAttr(f []byte, a *tree.Attr) {
	if a.Mode != p.like.Mode || a.ModTime != p.like.ModTime || a.Mode.IsDir() {
		putAttr(p.stamp[:], a)
		p.like = *a
	}
	copy(f[:attrSize], p.stamp[:])
	if !a.Mode.IsDir() {
		putSize(f, uint64(a.Size), uint64(a.Used))
	}
	putFileID(f, a.FileID)
}

// append appends an entry if there is room for it, and for the end of the page. The first entry needs no
// room among the names, so that there is one.
func (p *page) append(b []byte, name string, n *tree.Node, attr *tree.Attr, cookie uint64) ([]byte, bool) {
	padded := xdr.Padded(len(name))
	entry := 4 + 8 + 4 + padded + 8
	size := entry
	if p.plus {
		size += 4 + attrSize + 4 + 4 + tree.HandleSize
	}
	start := len(b)
	if start+size+pageEnd > p.limit || p.names <= 0 && p.entries > 0 {
		return b, false
	}
	p.names -= entry - 4
	p.entries++
	b = slices.Grow(b, size)[:start+size]
	f := b[start:]
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put32(f, 1) // there is an entry
	put64(f[4:], attr.FileID)
	put32(f[12:], uint32(len(name)))
	put32(f[12+padded:], 0) // the padding, or the length once more if the name is empty
	copy(f[16:], name)
	put64(f[16+padded:], cookie)
	if p.plus {
		f = f[entry:]
		put32(f, 1) // there are attributes
		p.putAttr(f[4:], attr)
		f = f[4+attrSize:]
		put32(f, 1) // there is a handle
		put32(f[4:], tree.HandleSize)
		n.PutHandle(f[8:])
	}
	return b, true
}
