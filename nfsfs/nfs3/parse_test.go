package nfs3

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/tree"
)

// result is what a procedure returned, in the terms of RFC 1813.
type result struct {
	status uint32
	size   int // of all of it, in bytes

	obj, dir *fattr // attributes of the object and of the folder, if they are there
	wcc      []*fattr
	handle   []byte
	access   uint32
	count    uint32
	eof      bool
	data     []byte
	verifier uint64
	entries  []entry
	space    [6]uint64
	lasts    uint32 // invarsec
	info     fsInfo
	conf     pathConf
}

// fattr is fattr3.
type fattr struct {
	kind, mode, links, uid, gid uint32
	size, used, device          uint64
	fsid, fileID                uint64
	read, changed, status       time.Time
}

type entry struct {
	fileID uint64
	name   string
	cookie uint64
	attr   *fattr
	handle []byte
}

type fsInfo struct {
	readMax, readBest, readUnit    uint32
	writeMax, writeBest, writeUnit uint32
	list                           uint32
	file                           uint64
	exact                          uint64 // seconds and nanoseconds
	properties                     uint32
}

type pathConf struct {
	links, name                           uint32
	noTrunc, chown, insensitive, preserve bool
}

// errorsOf are the statuses that RFC 1813 has for each procedure, beside OK. SERVERFAULT and JUKEBOX,
// which may come from all, are left out, and those that nothing here has a reason for.
var errorsOf = [22][]uint32{
	procGetattr:     {5, 70, 10001},
	procSetattr:     {1, 5, 13, 22, 30, 70, 10001, 10002},
	procLookup:      {2, 5, 13, 20, 63, 70, 10001},
	procAccess:      {5, 70, 10001},
	procReadlink:    {5, 13, 22, 70, 10001, 10004},
	procRead:        {5, 13, 22, 70, 10001},
	procWrite:       {5, 13, 22, 27, 28, 30, 69, 70, 10001},
	procCreate:      {5, 13, 17, 20, 28, 30, 63, 69, 70, 10001, 10004},
	procMkdir:       {5, 13, 17, 20, 28, 30, 63, 69, 70, 10001, 10004},
	procSymlink:     {5, 13, 17, 20, 28, 30, 63, 69, 70, 10001, 10004},
	procMknod:       {5, 13, 17, 20, 28, 30, 63, 69, 70, 10001, 10004, 10007},
	procRemove:      {2, 5, 13, 20, 30, 63, 70, 10001},
	procRmdir:       {2, 5, 13, 17, 20, 22, 30, 63, 66, 70, 10001, 10004},
	procRename:      {2, 5, 13, 17, 18, 20, 21, 22, 28, 30, 31, 63, 66, 69, 70, 10001, 10004},
	procLink:        {5, 13, 17, 18, 20, 22, 28, 30, 31, 63, 69, 70, 10001, 10004},
	procReaddir:     {5, 13, 20, 70, 10001, 10003, 10005},
	procReaddirplus: {5, 13, 20, 70, 10001, 10003, 10004, 10005},
	procFsstat:      {5, 70, 10001},
	procFsinfo:      {5, 70, 10001},
	procPathconf:    {5, 70, 10001},
	procCommit:      {5, 30, 70, 10001}, // ROFS is not in its list, but what servers say
}

// strict takes a result apart, and is content with nothing that is not exactly as it should be.
type strict struct {
	rest []byte
	err  error
}

func (s *strict) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
	}
}

func (s *strict) take(n int) []byte {
	if s.err != nil || n > len(s.rest) {
		s.fail("%d bytes are left, want %d", len(s.rest), n)
		return make([]byte, max(0, min(n, 1<<20)))
	}
	b := s.rest[:n]
	s.rest = s.rest[n:]
	return b
}

func (s *strict) u32() uint32 { return binary.BigEndian.Uint32(s.take(4)) }
func (s *strict) u64() uint64 { return binary.BigEndian.Uint64(s.take(8)) }

func (s *strict) flag() bool {
	v := s.u32()
	if v > 1 {
		s.fail("%d is no bool", v)
	}
	return v == 1
}

func (s *strict) opaque(limit int) []byte {
	n := s.u32()
	if uint64(n) > uint64(limit) {
		s.fail("%d bytes where there are %d at most", n, limit)
		return nil
	}
	b := s.take(int(n))
	for _, pad := range s.take(-int(n) & 3) {
		if pad != 0 {
			s.fail("padding of %#x", pad)
		}
	}
	return b
}

func (s *strict) time() time.Time {
	sec, nsec := s.u32(), s.u32()
	if nsec >= 1e9 {
		s.fail("%d nanoseconds", nsec)
	}
	return time.Unix(int64(sec), int64(nsec))
}

func (s *strict) attr() *fattr {
	a := &fattr{
		kind: s.u32(), mode: s.u32(), links: s.u32(), uid: s.u32(), gid: s.u32(), size: s.u64(), used: s.u64(),
		device: s.u64(), fsid: s.u64(), fileID: s.u64(), read: s.time(), changed: s.time(), status: s.time(),
	}
	if a.kind < 1 || a.kind > 7 || a.mode&^0o7777 != 0 {
		s.fail("type %d, mode %#o", a.kind, a.mode)
	}
	return a
}

// postOp takes a post_op_attr.
func (s *strict) postOp() *fattr {
	if s.flag() {
		return s.attr()
	}
	return nil
}

// wcc takes a wcc_data, of which it returns the attributes after the call.
func (s *strict) wcc() *fattr {
	if s.flag() {
		s.take(8 + 8 + 8) // size, mtime, ctime
	}
	return s.postOp()
}

func (s *strict) postOpHandle() []byte {
	if s.flag() {
		return s.opaque(64)
	}
	return nil
}

// parseResult takes all of a result apart.
func parseResult(proc uint32, body []byte) (*result, error) {
	s := &strict{rest: body}
	r := &result{status: s.u32(), size: len(body)}
	if r.status == 0 {
		s.success(proc, r)
	} else {
		s.failure(proc, r)
		if !slices.Contains(errorsOf[proc], r.status) && r.status != 10006 && r.status != 10008 {
			s.fail("status %d, which this procedure does not have", r.status)
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	if len(s.rest) > 0 {
		return nil, fmt.Errorf("%d bytes too many", len(s.rest))
	}
	return r, nil
}

// failure takes the resfail of a procedure.
func (s *strict) failure(proc uint32, r *result) {
	switch proc {
	case procGetattr:
	case procLookup:
		r.dir = s.postOp()
	case procAccess, procReadlink, procRead, procFsstat, procFsinfo, procPathconf, procReaddir, procReaddirplus:
		r.obj = s.postOp()
	case procSetattr, procWrite, procCommit, procCreate, procMkdir, procSymlink, procMknod, procRemove, procRmdir:
		r.wcc = []*fattr{s.wcc()}
	case procRename:
		r.wcc = []*fattr{s.wcc(), s.wcc()}
	case procLink:
		r.obj = s.postOp()
		r.wcc = []*fattr{s.wcc()}
	default:
		s.fail("procedure %d has no result", proc)
	}
}

// success takes the resok of a procedure.
func (s *strict) success(proc uint32, r *result) {
	switch proc {
	case procGetattr:
		r.obj = s.attr()
	case procLookup:
		r.handle, r.obj, r.dir = s.opaque(64), s.postOp(), s.postOp()
	case procAccess:
		r.obj, r.access = s.postOp(), s.u32()
	case procReadlink:
		r.obj, r.data = s.postOp(), s.opaque(1024)
	case procRead:
		r.obj, r.count, r.eof, r.data = s.postOp(), s.u32(), s.flag(), s.opaque(1<<20)
		if int(r.count) != len(r.data) {
			s.fail("%d bytes, and a count of %d", len(r.data), r.count)
		}
	case procSetattr, procRemove, procRmdir:
		r.wcc = []*fattr{s.wcc()}
	case procWrite:
		r.wcc, r.count = []*fattr{s.wcc()}, s.u32()
		if how := s.u32(); how > 2 {
			s.fail("stable_how %d", how)
		}
		r.verifier = s.u64()
	case procCreate, procMkdir, procSymlink, procMknod:
		r.handle, r.obj, r.wcc = s.postOpHandle(), s.postOp(), []*fattr{s.wcc()}
	case procRename:
		r.wcc = []*fattr{s.wcc(), s.wcc()}
	case procLink:
		r.obj, r.wcc = s.postOp(), []*fattr{s.wcc()}
	case procReaddir, procReaddirplus:
		r.obj, r.verifier = s.postOp(), s.u64()
		s.list(proc == procReaddirplus, r)
	case procCommit:
		r.wcc, r.verifier = []*fattr{s.wcc()}, s.u64()
	default:
		s.about(proc, r)
	}
}

// about takes the resok of a procedure about the file system.
func (s *strict) about(proc uint32, r *result) {
	r.obj = s.postOp()
	switch proc {
	case procFsstat:
		for i := range r.space {
			r.space[i] = s.u64()
		}
		r.lasts = s.u32()
	case procFsinfo:
		r.info = fsInfo{s.u32(), s.u32(), s.u32(), s.u32(), s.u32(), s.u32(), s.u32(), s.u64(), s.u64(), s.u32()}
	case procPathconf:
		r.conf = pathConf{s.u32(), s.u32(), s.flag(), s.flag(), s.flag(), s.flag()}
	default:
		s.fail("procedure %d has no result", proc)
	}
}

func (s *strict) list(plus bool, r *result) {
	for s.err == nil && s.flag() {
		e := entry{fileID: s.u64(), name: string(s.opaque(tree.MaxName)), cookie: s.u64()}
		if plus {
			e.attr, e.handle = s.postOp(), s.postOpHandle()
			if e.attr != nil && e.attr.fileID != e.fileID {
				s.fail("%q has file id %d, and %d in its attributes", e.name, e.fileID, e.attr.fileID)
			}
		}
		r.entries = append(r.entries, e)
	}
	r.eof = s.flag()
}

// attrOf is what a node's attributes have to be.
func attrOf(n tree.Node) fattr {
	a := n.Attr()
	f := fattr{
		kind: 1, mode: 0o444, links: 1, size: uint64(a.Size), used: uint64(a.Used), fsid: fsid, fileID: a.FileID,
		read: a.ModTime, changed: a.ModTime, status: a.ModTime,
	}
	if n.IsDir() {
		f.kind, f.mode, f.links, f.size, f.used = 2, 0o555, 2, dirSize, dirSize
	} else if a.Size > 0 {
		f.used = max(f.used, 512)
	}
	return f
}

// isAttr says what is wrong with the attributes of a node, if anything.
func isAttr(got *fattr, n tree.Node) error {
	if got == nil {
		return errors.New("no attributes")
	}
	want := attrOf(n)
	for _, times := range [][2]*time.Time{{&got.read, &want.read}, {&got.changed, &want.changed}, {&got.status, &want.status}} {
		if !times[0].Equal(*times[1]) {
			return fmt.Errorf("time %v, want %v", times[0], times[1])
		}
		*times[1] = *times[0]
	}
	if *got != want {
		return fmt.Errorf("attributes %+v, want %+v", *got, want)
	}
	return nil
}
