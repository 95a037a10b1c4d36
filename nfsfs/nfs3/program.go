// Package nfs3 answers the calls of NFS version 3 (RFC 1813) about a tree.
//
// What only looks is answered here, from memory and from complete pieces on the local disk; a READ that
// has to wait for the swarm waits beside the others (rpc.Call.Later). What would change something is
// checked here, and answered by Options.Changes.
package nfs3

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// Program and Version are what clients ask for (RFC 1813, section 3).
const (
	Program = 100003
	Version = 3
)

// Procedures (RFC 1813, section 3.3).
const (
	procGetattr     = 1
	procSetattr     = 2
	procLookup      = 3
	procAccess      = 4
	procReadlink    = 5
	procRead        = 6
	procWrite       = 7
	procCreate      = 8
	procMkdir       = 9
	procSymlink     = 10
	procMknod       = 11
	procRemove      = 12
	procRmdir       = 13
	procRename      = 14
	procLink        = 15
	procReaddir     = 16
	procReaddirplus = 17
	procFsstat      = 18
	procFsinfo      = 19
	procPathconf    = 20
	procCommit      = 21
)

// Names of the procedures by number, for people.
var Names = [...]string{
	"NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR", "SYMLINK",
	"MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
}

// nfsstat3 (RFC 1813, section 2.6).
const (
	statusOK          = 0
	statusIO          = 5
	statusNoEnt       = 2
	statusNotDir      = 20
	statusInval       = 22
	statusReadOnly    = 30
	statusNameTooLong = 63
	statusStale       = 70
	statusTooSmall    = 10005
	statusJukebox     = 10008
)

var statusNames = map[uint32]string{
	statusOK: "OK", statusIO: "IO", statusNoEnt: "NOENT", statusNotDir: "NOTDIR", statusInval: "INVAL",
	statusReadOnly: "ROFS", statusNameTooLong: "NAMETOOLONG", statusStale: "STALE", statusTooSmall: "TOOSMALL",
	statusJukebox: "JUKEBOX",
}

// StatusName names an nfsstat3 that this package answers with, or returns "".
func StatusName(status uint32) string { return statusNames[status] }

// Limits of what clients send, in bytes.
const (
	maxHandle = 64   // NFS3_FHSIZE
	maxPath   = 4096 // of a symbolic link that somebody wants to make
	// maxName is above what a name may have, so that one which is too long is told so.
	maxName = 4096
)

// Options say what is exported, and how.
type Options struct {
	Tree *tree.Tree
	// ReadWait is how long a READ waits for data at most; then the client is told to ask again.
	ReadWait time.Duration
	// Space is that of the disk with the cache. It may wait for that disk, and for nothing else.
	Space func() Space
	// Changes returns the result of a call that would change something: a record, whose arguments were
	// checked. It waits as long as that takes, or until ctx ends.
	Changes func(ctx context.Context, client netip.AddrPort, record []byte) ([]byte, error)
	// Read is told of each READ that returned data.
	Read func(call *rpc.Call, node tree.Node, offset int64, n int)
	// Wait is told of each READ that begins to wait for its data, and over is called when that ends.
	Wait func(client netip.Addr, node tree.Node) (over func())
	// Logger is told, once in a while, why something cannot be listed.
	Logger *slog.Logger
}

// Space is how much there is on a disk.
type Space struct {
	Bytes, FreeBytes uint64
	Files, FreeFiles uint64
}

// Server answers calls. It is safe for concurrent use.
type Server struct {
	opts    Options
	failure atomic.Int64 // when one was logged; Unix, in nanoseconds
}

// New returns a Server.
func New(opts Options) *Server { return &Server{opts: opts} }

var _ rpc.Handler = (*Server)(nil)

// Serve answers a call of the program.
func (s *Server) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	inside := call.Proc == procLookup || call.Proc == procRead || call.Proc == procReaddir || call.Proc == procReaddirplus
	if handle := d.Opaque(maxHandle); d.Err() == nil && !s.opts.Tree.Loaded(handle, inside) && s.load(call, handle) {
		return reply, rpc.Deferred
	}
	return s.serve(call, reply)
}

// maxLoadArgs is above any arguments but those of WRITE and SYMLINK, which many calls that wait must not
// keep.
const maxLoadArgs = 4 << 10

// load answers a call after the torrent or archive was loaded that it is about, beside other calls of the client. It
// returns false if too many wait already.
func (s *Server) load(call *rpc.Call, handle []byte) bool {
	if len(call.Args) > maxLoadArgs {
		return false
	}
	handle, args, credential := slices.Clone(handle), slices.Clone(call.Args), slices.Clone(call.Credential)
	wait := func(ctx context.Context) {
		if ctx.Err() == nil {
			ctx, cancel := context.WithTimeout(ctx, s.opts.ReadWait)
			defer cancel()
			// The tree keeps the error until the answer, unless it is one of ctx.
			if err := s.opts.Tree.Load(ctx, handle); err != nil && ctx.Err() == nil {
				s.logFailure(err)
			}
		}
	}
	return call.Later(wait, func(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
		call.Args, call.Credential = args, credential
		return s.serve(call, reply)
	})
}

// logFailure says why something could not be loaded. Clients may ask for thousands of such things, and again.
func (s *Server) logFailure(err error) {
	if errors.Is(err, tree.ErrNotArchive) {
		return // whoever found that out tells people
	}
	now, last := time.Now().UnixNano(), s.failure.Load()
	if now-last >= int64(failurePause) && s.failure.CompareAndSwap(last, now) {
		s.opts.Logger.Warn("what a client looks for cannot be listed", "err", err)
	}
}

// failurePause is how long no further failure is logged.
const failurePause = 10 * time.Second

func (s *Server) serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	switch call.Proc {
	case procGetattr:
		return s.getattr(call, &d, reply)
	case procLookup:
		return s.lookup(call, &d, reply)
	case procAccess:
		return s.access(call, &d, reply)
	case procReadlink:
		return s.readlink(call, &d, reply)
	case procRead:
		return s.read(call, &d, reply)
	case procReaddir:
		return s.readdir(call, &d, reply)
	case procReaddirplus:
		return s.readdirplus(call, &d, reply)
	case procFsstat:
		return s.fsstat(call, &d, reply)
	case procFsinfo:
		return s.fsinfo(call, &d, reply)
	case procPathconf:
		return s.pathconf(call, &d, reply)
	case procCommit:
		return s.commit(call, &d, reply)
	case procSetattr, procWrite, procCreate, procMkdir, procSymlink, procMknod, procRemove, procRmdir, procRename, procLink:
		return s.change(call, reply)
	default:
		return reply, rpc.ProcedureUnavailable
	}
}

// begin begins a result with its status.
func begin(call *rpc.Call, reply []byte, status uint32) []byte {
	call.Result = status
	return xdr.AppendUint32(reply, status)
}

// refuse is a result without anything but its status and the attributes that may be left out, each of
// which takes a word.
func refuse(call *rpc.Call, reply []byte, status uint32, absent int) ([]byte, rpc.Status) {
	reply = begin(call, reply, status)
	for range absent {
		reply = xdr.AppendBool(reply, false)
	}
	return reply, rpc.Success
}

// status says what a client is told of an error of the tree. What cannot be found by name is not among
// them.
func status(err error) uint32 {
	switch {
	case errors.Is(err, tree.ErrStale), errors.Is(err, tree.ErrHandle):
		return statusStale
	case errors.Is(err, tree.ErrNotDir):
		return statusNotDir
	case errors.Is(err, tree.ErrIsDir):
		return statusInval
	case errors.Is(err, tree.ErrUnread), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return statusJukebox // that passes
	default:
		return statusIO
	}
}
