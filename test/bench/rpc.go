//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Numbers of ONC RPC (RFC 5531), NFSv3 and MOUNT v3 (RFC 1813).
const (
	programNFS, programMount = 100003, 100005
	version3                 = 3

	procMount = 1 // of MOUNT

	procGetattr     = 1
	procLookup      = 3
	procRead        = 6
	procReaddirplus = 17
	procFsinfo      = 19

	attrSize = 84 // fattr3
)

var big = binary.BigEndian

// appendCall appends a call up to its arguments, with room for the record mark before it. The caller
// is root, as ganesha takes no one without a name.
func appendCall(b []byte, program, proc uint32) []byte {
	for _, word := range []uint32{
		0, // record mark
		0, // xid
		0, // it is a call
		2, // RPC version
		program, version3, proc,
		1,  // AUTH_SYS
		32, // its size
		0,  // stamp
		5, 'b'<<24 | 'e'<<16 | 'n'<<8 | 'c', 'h' << 24,
		0,    // uid
		0,    // gid
		1, 0, // groups
		0, 0, // AUTH_NONE
	} {
		b = big.AppendUint32(b, word)
	}
	return b
}

// seal puts the xid and the record mark into the call that is all of b.
func seal(b []byte, xid uint32) {
	big.PutUint32(b, uint32(len(b)-4)|1<<31)
	big.PutUint32(b[4:], xid)
}

// appendOpaque appends a string, handle or the like.
func appendOpaque[T string | []byte](b []byte, s T) []byte {
	b = append(big.AppendUint32(b, uint32(len(s))), s...)
	return append(b, make([]byte, padded(len(s))-len(s))...)
}

func padded(n int) int { return (n + 3) &^ 3 }

// replySize is that of an accepted reply before its results, with no verifier, as without Kerberos.
const replySize = 24

// parseReply returns what follows the head of a reply that says that the call was carried out.
func parseReply(b []byte) (xid uint32, results []byte, err error) {
	if len(b) < replySize {
		return 0, nil, fmt.Errorf("a reply of %d bytes", len(b))
	}
	xid = big.Uint32(b)
	if kind, accepted, verifier, status := big.Uint32(b[4:]), big.Uint32(b[8:]), big.Uint32(b[16:]), big.Uint32(b[20:]); kind != 1 || accepted != 0 || verifier != 0 || status != 0 {
		return xid, nil, fmt.Errorf("call %d was not carried out: %x", xid, b[4:replySize])
	}
	return xid, b[replySize:], nil
}

var errShort = errors.New("a reply is shorter than it says")

// decoder takes results apart. After the first mistake everything is zero.
type decoder struct {
	b   []byte
	err error
}

// take returns the next n bytes.
func (d *decoder) take(n int) []byte {
	if d.err != nil || n < 0 || n > len(d.b) {
		d.err = errors.Join(d.err, errShort)
		d.b = nil
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return big.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return big.Uint64(b)
	}
	return 0
}

// opaque returns a string or the like.
func (d *decoder) opaque() []byte {
	n := int(d.uint32())
	if b := d.take(padded(n)); b != nil {
		return b[:n]
	}
	return nil
}

// status takes the status of an NFS or MOUNT procedure; all but 0 are errors.
func (d *decoder) status() {
	if status := d.uint32(); d.err == nil && status != 0 {
		d.err = fmt.Errorf("status %d", status)
	}
}

// attributes takes a post_op_attr. It returns nil if there are none.
func (d *decoder) attributes() []byte {
	if d.uint32() == 0 {
		return nil
	}
	return d.take(attrSize)
}
