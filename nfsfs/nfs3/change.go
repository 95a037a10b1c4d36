package nfs3

import (
	"context"
	"slices"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// What a client may choose in CREATE and in sattr3 (RFC 1813, sections 2.6 and 3.3.8).
const (
	createUnchecked   = 0
	createGuarded     = 1
	createExclusive   = 2
	setToClientTime   = 2
	maxData           = 1 << 20 // of a WRITE, in bytes
	typeBlock         = 3
	typeCharacter     = 4
	typeSocket        = 6
	typeFifo          = 7
	exclusiveVerifier = 8
)

// changing is a call that would change something: what it is about, as far as that is still there.
type changing struct {
	nodes []tree.Node // in the order of the handles
	err   error       // why one of them is not there
	// refused says that the call is not for Options.Changes to answer.
	refused bool
}

// change checks the arguments of a call before anything else sees them, and lets Options.Changes answer
// it. Of a refusal only the status is taken: the attributes that go with it are added here.
func (s *Server) change(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	c := s.takeChange(&d, call.Proc)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case c.err != nil:
		return c.refuse(call, reply, status(c.err)), rpc.Success
	case c.refused:
		return c.refuse(call, reply, statusReadOnly), rpc.Success
	}
	// Without what may follow the arguments: whoever decodes them again sees only what was checked.
	args := call.Args[:len(call.Args)-len(d.Rest())]
	record := slices.Concat(rpc.AppendCall(nil, call.Header), args)
	var result []byte
	var err error
	client := call.Client
	wait := func(ctx context.Context) { result, err = s.opts.Changes(ctx, client, record) }
	if call.Later(wait, func(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
		rd := xdr.NewDecoder(result)
		stat := rd.Uint32()
		switch {
		case err != nil || rd.Err() != nil:
			return c.refuse(call, reply, statusJukebox), rpc.Success
		case stat != statusOK:
			return c.refuse(call, reply, stat), rpc.Success
		}
		return append(reply, result...), rpc.Success
	}) {
		return reply, rpc.Deferred
	}
	return c.refuse(call, reply, statusJukebox), rpc.Success
}

// refuse answers a call with a status and the attributes of what it is about.
func (c *changing) refuse(call *rpc.Call, reply []byte, stat uint32) []byte {
	reply = begin(call, reply, stat)
	if c.err != nil || stat == statusStale {
		c.nodes = nil // nobody says which of them is there
	}
	wcc := func(i int) {
		if i < len(c.nodes) {
			reply = appendWcc(reply, c.nodes[i])
		} else {
			reply = xdr.AppendWords(reply, 0, 0)
		}
	}
	switch call.Proc {
	case procLink:
		if len(c.nodes) > 0 {
			reply = appendPostOp(reply, c.nodes[0])
		} else {
			reply = xdr.AppendBool(reply, false)
		}
		wcc(1)
	case procRename:
		wcc(0)
		wcc(1)
	default:
		wcc(0)
	}
	return reply
}

// takeChange takes the arguments of a call, and says what is known of it without changing anything.
func (s *Server) takeChange(d *xdr.Decoder, proc uint32) *changing {
	c := &changing{}
	take := func() {
		n, err := s.takeNode(d)
		c.nodes = append(c.nodes, n)
		if c.err == nil {
			c.err = err
		}
	}
	take()
	switch proc {
	case procSetattr:
		takeAttr(d)
		if d.Bool() { // only if it has not changed since then: it is refused in any case
			d.Uint64()
			c.refused = true
		}
	case procWrite:
		d.Fixed(8 + 4 + 4) // offset, count, how
		d.Opaque(maxData)
	case procCreate:
		d.Opaque(maxName)
		switch d.Uint32() {
		case createUnchecked, createGuarded:
			takeAttr(d)
		case createExclusive:
			d.Fixed(exclusiveVerifier)
			c.refused = true // go-nfs knows no exclusive CREATE
		default:
			c.refused = true
		}
	case procMkdir:
		d.Opaque(maxName)
		takeAttr(d)
	case procSymlink:
		d.Opaque(maxName)
		takeAttr(d)
		d.Opaque(maxPath)
	case procMknod:
		d.Opaque(maxName)
		takeDevice(d)
		c.refused = true // go-nfs says that it did, and does nothing
	case procRemove, procRmdir:
		d.Opaque(maxName)
	case procRename:
		d.Opaque(maxName)
		take()
		d.Opaque(maxName)
	case procLink:
		take()
		d.Opaque(maxName)
		c.refused = true // go-nfs takes its arguments for those of another procedure
	}
	return c
}

// takeAttr takes the attributes that somebody wants to set (sattr3).
func takeAttr(d *xdr.Decoder) {
	for _, size := range []int{4, 4, 4, 8} { // mode, owner, group, size
		if d.Bool() {
			d.Fixed(size)
		}
	}
	for range 2 { // when it was read, and changed
		if d.Uint32() == setToClientTime {
			d.Uint64()
		}
	}
}

// takeDevice takes what somebody wants to make (mknoddata3).
func takeDevice(d *xdr.Decoder) {
	switch d.Uint32() {
	case typeBlock, typeCharacter:
		takeAttr(d)
		d.Uint64()
	case typeSocket, typeFifo:
		takeAttr(d)
	}
}

// commit refuses, as nothing can have been written.
func (s *Server) commit(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	n, err := s.takeNode(d)
	d.Fixed(8 + 4) // offset, count
	c := changing{nodes: []tree.Node{n}, err: err}
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case err != nil:
		return c.refuse(call, reply, status(err)), rpc.Success
	}
	return c.refuse(call, reply, statusReadOnly), rpc.Success
}
