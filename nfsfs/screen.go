package nfsfs

import (
	"encoding/binary"
	"math"

	"shoal/nfsfs/rpc"
)

// Procedures (RFC 1813, section 3 and appendix I).
const (
	procNull        = 0
	procSetattr     = 2
	procLookup      = 3
	procRead        = 6
	procWrite       = 7
	procCreate      = 8
	procRename      = 14
	procLink        = 15
	procReaddir     = 16
	procReaddirplus = 17
	procsNFS        = 22

	procMount   = 1
	procUnmount = 3
)

// Results.
const (
	nfsReadOnly = 30    // NFS3ERR_ROFS
	nfsJukebox  = 10008 // NFS3ERR_JUKEBOX
	mountAccess = 13    // MNT3ERR_ACCES
)

// Limits of the protocols, in bytes.
const (
	maxHandle = 64   // NFS3_FHSIZE
	maxName   = 255  // what any client sends as a name
	maxPath   = 1024 // MNTPATHLEN
	// maxPage bounds a page of a folder; go-nfs takes the client's word.
	maxPage = 1 << 20
)

// screen decides about a call before go-nfs sees it: either it is to be passed on, or the reply is
// there. go-nfs takes memory for whatever length it reads, so nothing passes that is longer than it
// may be.
func (c *connection) screen(call rpc.Call, record []byte) (reply []byte, pass bool) {
	var version, procs uint32
	switch call.Program {
	case rpc.ProgramNFS:
		version, procs = rpc.VersionNFS, procsNFS
	case rpc.ProgramMount:
		version, procs = rpc.VersionMount, procUnmount+1
	default:
		return call.ProgramUnavailable(), false
	}
	switch {
	case call.Ver != version:
		// mount(8) tries NFSv4 first, and goes on to version 3 after just this answer.
		return call.ProgramMismatch(version, version), false
	case call.Proc == procNull:
		return call.Success(), false
	case !c.allowed && call.Program == rpc.ProgramMount && call.Proc == procMount:
		return binary.BigEndian.AppendUint32(call.Success(), mountAccess), false
	case !c.allowed:
		return call.TooWeak(), false
	case call.Proc >= procs, call.Program == rpc.ProgramMount && call.Proc != procMount && call.Proc != procUnmount:
		return call.ProcedureUnavailable(), false
	}
	args := record[call.Args:]
	switch {
	case call.Program == rpc.ProgramMount:
		_, ok := cutOpaque(args, maxPath)
		pass = ok
	case changes(call.Proc):
		return readOnly(call), false
	default:
		pass = clip(args, call.Proc)
	}
	if !pass {
		return call.GarbageArgs(), false
	}
	return nil, true
}

// cutOpaque returns what follows a string or opaque of at most limit bytes.
func cutOpaque(args []byte, limit int) (rest []byte, ok bool) {
	if len(args) < 4 {
		return nil, false
	}
	n := binary.BigEndian.Uint32(args)
	if n > uint32(limit) || rpc.Padded(int(n)) > len(args)-4 {
		return nil, false
	}
	return args[4+rpc.Padded(int(n)):], true
}

// clip checks the arguments of a call that changes nothing, and lowers the counts in them to what
// this server gives.
func clip(args []byte, proc uint32) bool {
	rest, ok := cutOpaque(args, maxHandle)
	// go-nfs does not skip the padding of a handle; the tree's need none.
	if !ok || binary.BigEndian.Uint32(args)%4 != 0 {
		return false
	}
	lower := func(at int, limit uint32) bool {
		if len(rest) < at+4 {
			return false
		}
		binary.BigEndian.PutUint32(rest[at:], min(binary.BigEndian.Uint32(rest[at:]), limit))
		return true
	}
	switch proc {
	case procLookup:
		_, ok := cutOpaque(rest, maxName)
		return ok
	case procRead: // offset, count
		if !lower(8, maxRead) {
			return false
		}
		// An offset that is negative in 64 bits is past the end of any file all the same.
		binary.BigEndian.PutUint64(rest, min(binary.BigEndian.Uint64(rest), math.MaxInt64))
	case procReaddir: // cookie, verifier, count
		return lower(16, maxPage)
	case procReaddirplus: // cookie, verifier, count of names, count of all
		return lower(16, maxPage) && lower(20, maxPage)
	}
	return true
}

// readArgs are the arguments of a READ.
type readArgs struct {
	handle []byte
	offset int64
	count  int
}

// parseRead reads the arguments of a READ that clip has passed.
func parseRead(args []byte) readArgs {
	n := binary.BigEndian.Uint32(args)
	rest := args[4+n:]
	return readArgs{
		handle: args[4 : 4+n],
		offset: int64(binary.BigEndian.Uint64(rest)),
		count:  int(binary.BigEndian.Uint32(rest[8:])),
	}
}

// changes says whether a procedure would change something.
func changes(proc uint32) bool {
	return proc == procSetattr || proc == procWrite || proc >= procCreate && proc <= procLink
}

// readOnly refuses a call that would change something, without attributes of what it is about.
func readOnly(call rpc.Call) []byte {
	words := 2 // wcc_data: none of before, none of after
	switch call.Proc {
	case procRename:
		words = 4 // wcc_data of both folders
	case procLink:
		words = 3 // attributes of the file, and wcc_data of the folder
	}
	b := binary.BigEndian.AppendUint32(call.Success(), nfsReadOnly)
	return append(b, make([]byte, 4*words)...)
}

// jukebox answers a READ: the data will take a while, ask again (RFC 1813, section 2.6).
func jukebox(call rpc.Call) []byte {
	b := binary.BigEndian.AppendUint32(call.Success(), nfsJukebox)
	return binary.BigEndian.AppendUint32(b, 0) // no attributes
}
