package nfsfs

import (
	"encoding/binary"
	"math"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

// Procedures (RFC 1813, section 3 and appendix I).
const (
	procNull    = 0
	procRead    = 6
	procsNFS    = 22
	procMount   = 1
	procUnmount = 3
)

// Results.
const (
	nfsJukebox  = 10008 // NFS3ERR_JUKEBOX
	mountAccess = 13    // MNT3ERR_ACCES
)

// maxHandle is NFS3_FHSIZE.
const maxHandle = 64

// screen decides about a call before go-nfs sees it: either it is to be passed on, or the reply is
// there.
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
	case call.Program == rpc.ProgramNFS && !checkHandle(record[call.Args:], call.Proc):
		return call.GarbageArgs(), false
	}
	return nil, true
}

// checkHandle says whether the arguments of an NFS call begin with a handle as they should, and
// clips those of a READ: go-nfs takes the length of a handle and the offset and count of a READ as
// they come.
func checkHandle(args []byte, proc uint32) bool {
	if len(args) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32(args)
	if n > maxHandle || n%4 != 0 || len(args) < 4+int(n) {
		return false
	}
	if proc != procRead {
		return true
	}
	read := args[4+n:]
	if len(read) < 12 {
		return false
	}
	// An offset that is negative in 64 bits is past the end of any file all the same.
	offset := min(binary.BigEndian.Uint64(read), math.MaxInt64)
	binary.BigEndian.PutUint64(read, offset)
	binary.BigEndian.PutUint32(read[8:], min(binary.BigEndian.Uint32(read[8:]), maxRead))
	return true
}

// A handle of the tree fits, and goes through go-nfs, which does not skip XDR's padding.
var _ = [1]struct{}{}[tree.HandleSize%4]

// jukebox answers a READ: the data will take a while, ask again (RFC 1813, section 2.6).
func jukebox(call rpc.Call) []byte {
	b := binary.BigEndian.AppendUint32(call.Success(), nfsJukebox)
	return binary.BigEndian.AppendUint32(b, 0) // no attributes
}
