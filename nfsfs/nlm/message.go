package nlm

import (
	"math"

	"shoal/nfsfs/xdr"
)

// Program is the number of the lock manager.
const Program = 100021

// Versions are those that are spoken. Version 3 is 1 with shares. Version 2 is something that lock
// managers of long ago used on their own machine.
var Versions = []uint32{1, 3, 4}

// version4 has 64 bits where those before have 32.
const version4 = 4

// Procedures. Those called _MSG and _RES are the asynchronous forms of the first ones: question and
// answer are calls of their own.
const (
	procNull       = 0
	procTest       = 1
	procLock       = 2
	procCancel     = 3
	procUnlock     = 4
	procGranted    = 5
	procTestMsg    = 6
	procGrantedMsg = 10
	procTestRes    = 11
	procGrantedRes = 15
	procShare      = 20
	procUnshare    = 21
	procNmLock     = 22
	procFreeAll    = 23

	// toMsg and toRes are how far the asynchronous forms of a procedure are from itself.
	toMsg = procTestMsg - procTest
	toRes = procTestRes - procTest
)

// status is what the protocol calls nlm4_stats (RFC 1813, section 6.3).
type status uint32

const (
	granted     status = 0
	denied      status = 1
	noLocks     status = 2
	blocked     status = 3
	gracePeriod status = 4
	deadlock    status = 5
	stale       status = 7
	tooBig      status = 8
)

// in returns how a version says it. Those before 4 know nothing from deadlock on, and their clients take
// it for a malformed reply.
func (s status) in(version uint32) status {
	switch {
	case version >= version4 || s < deadlock:
		return s
	case s == deadlock:
		return denied
	}
	return noLocks
}

const (
	// maxNetobj is the longest opaque object, and maxString the longest name (XNFS, chapter 10).
	maxNetobj = 1024
	maxString = 1024
	// maxHandle is the longest file handle (RFC 1813, section 2.4).
	maxHandle = 64
)

// target is what the protocol calls nlm_lock, or nlm4_lock: who, what and where.
type target struct {
	caller         string
	fh, oh         []byte
	svid           uint32
	offset, length uint64
}

func decodeTarget(d *xdr.Decoder, version uint32) target {
	g := target{caller: d.String(maxString), fh: d.Opaque(maxNetobj), oh: d.Opaque(maxNetobj), svid: d.Uint32()}
	if version < version4 {
		g.offset, g.length = uint64(d.Uint32()), uint64(d.Uint32())
	} else {
		g.offset, g.length = d.Uint64(), d.Uint64()
	}
	return g
}

func appendTarget(b []byte, g target, version uint32) []byte {
	b = xdr.AppendOpaque(b, g.caller)
	b = xdr.AppendOpaque(xdr.AppendOpaque(b, g.fh), g.oh)
	b = xdr.AppendUint32(b, g.svid)
	return appendRange(b, g.offset, g.length, version)
}

// span is false for a range beyond 64 bits. Some clients say "to the end" with a length of all ones.
func (g *target) span(version uint32) (span, bool) {
	if g.length == math.MaxUint64 || version < version4 && g.length == math.MaxUint32 {
		return newSpan(g.offset, 0)
	}
	return newSpan(g.offset, g.length)
}

func appendRange(b []byte, offset, length uint64, version uint32) []byte {
	if version >= version4 {
		return xdr.AppendUint64(xdr.AppendUint64(b, offset), length)
	}
	return xdr.AppendWords(b, uint32(offset), uint32(length))
}

// arguments are those of all procedures on locks: none uses all of them.
type arguments struct {
	cookie           []byte
	block, exclusive bool
	target
	state uint32 // of the client's status monitor
}

// decodeArguments takes those of TEST, LOCK, CANCEL, UNLOCK, GRANTED or NM_LOCK. They point into the call.
func decodeArguments(b []byte, proc, version uint32) (arguments, error) {
	d := xdr.NewDecoder(b)
	a := arguments{cookie: d.Opaque(maxNetobj)}
	if proc == procLock || proc == procNmLock || proc == procCancel {
		a.block = d.Bool()
	}
	if proc != procUnlock {
		a.exclusive = d.Bool()
	}
	a.target = decodeTarget(&d, version)
	if proc == procLock || proc == procNmLock {
		d.Bool() // whether a lock is claimed again after a restart of the server
		a.state = d.Uint32()
	}
	return a, d.Err()
}

// appendGranted appends the arguments of GRANTED, which are those of TEST.
func appendGranted(b []byte, cookie []byte, exclusive bool, g target, version uint32) []byte {
	b = xdr.AppendBool(xdr.AppendOpaque(b, cookie), exclusive)
	return appendTarget(b, g, version)
}

// appendResult appends what the protocol calls nlm_res.
func appendResult(b []byte, cookie []byte, s status, version uint32) []byte {
	return xdr.AppendUint32(xdr.AppendOpaque(b, cookie), uint32(s.in(version)))
}

func decodeResult(b []byte) (cookie []byte, s status, err error) {
	d := xdr.NewDecoder(b)
	cookie, s = d.Opaque(maxNetobj), status(d.Uint32())
	return cookie, s, d.Err()
}

// appendHolder appends what follows a denied status in the result of TEST. A range beyond 32 bits is cut
// off for the versions that cannot say it.
func appendHolder(b []byte, l *lock, version uint32) []byte {
	b = xdr.AppendUint32(xdr.AppendBool(b, l.exclusive), l.svid)
	b = xdr.AppendOpaque(b, l.oh)
	offset, length := l.first, l.length()
	if version < version4 {
		offset = min(offset, math.MaxUint32)
		if length > math.MaxUint32-offset {
			length = 0
		}
	}
	return appendRange(b, offset, length, version)
}

// decodeShare takes the arguments of SHARE and UNSHARE.
func decodeShare(b []byte) (cookie []byte, fh string, s share, err error) {
	d := xdr.NewDecoder(b)
	cookie = d.Opaque(maxNetobj)
	s.name = d.String(maxString)
	fh = d.String(maxNetobj)
	s.oh = d.String(maxNetobj)
	s.deny, s.access = d.Uint32(), d.Uint32()
	d.Bool() // whether it is claimed again after a restart of the server
	if err := d.Err(); err != nil {
		return nil, "", share{}, err
	}
	if s.deny > shareAll || s.access > shareAll {
		return nil, "", share{}, errShareBits
	}
	return cookie, fh, s, nil
}
