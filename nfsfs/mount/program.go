// Package mount answers the calls of MOUNT, by which NFSv3 clients get their first handle: versions 1 to
// 3 (RFC 1094, appendix A, and RFC 1813, appendix I).
//
// Any folder of the tree can be mounted. A handle got here is no permission: each call that uses it is
// checked for itself.
package mount

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// Program is what clients ask for.
const Program = 100005

// Versions are those that are answered. In 1 and 2, which belong to NFSv2, EXPORT and DUMP are what
// clients still use.
var Versions = []uint32{1, 2, 3}

// Procedures (RFC 1813, appendix I).
const (
	procMnt      = 1
	procDump     = 2
	procUmnt     = 3
	procUmntAll  = 4
	procExport   = 5
	procExportV1 = 6 // EXPORTALL, the same as EXPORT, in versions 1 and 2
)

// Names of the procedures by number, for people.
var Names = [...]string{"NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT", "EXPORTALL"}

// mountstat3 (RFC 1813, appendix I).
const (
	statusOK     = 0
	statusNoEnt  = 2
	statusIO     = 5
	statusAccess = 13
	statusNotDir = 20
)

const (
	version3 = 3
	// maxPath is MNTPATHLEN, in bytes.
	maxPath = 1024
	// maxPacket is where a list ends that has to fit a datagram, in bytes.
	maxPacket = 48 << 10
)

// Server answers calls. It is safe for concurrent use.
type Server struct {
	tree  *tree.Tree
	table table
}

// New returns a Server for a tree.
func New(t *tree.Tree) *Server { return &Server{tree: t} }

var _ rpc.Handler = (*Server)(nil)

// Serve answers a call of the program, also to clients that are not allowed: they are told so.
func (s *Server) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	client := call.Client.Addr()
	switch {
	case call.Proc == procMnt:
		return s.mnt(call, &d, reply)
	case !call.Allowed:
		return reply, rpc.TooWeak
	case call.Proc == procDump:
		return s.dump(call, reply), rpc.Success
	case call.Proc == procUmnt:
		path := d.String(maxPath)
		if d.Err() != nil {
			return reply, rpc.GarbageArgs
		}
		s.table.remove(client, clean(path))
		return reply, rpc.Success
	case call.Proc == procUmntAll:
		s.table.removeAll(client)
		return reply, rpc.Success
	case call.Proc == procExport, call.Proc == procExportV1 && call.Version < version3:
		return s.export(call, reply)
	default:
		return reply, rpc.ProcedureUnavailable
	}
}

func (s *Server) mnt(call *rpc.Call, d *xdr.Decoder, reply []byte) ([]byte, rpc.Status) {
	path := clean(d.String(maxPath))
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	if !call.Allowed { // before the tree is asked, which may read the disk and begin to read archives
		call.Result = statusAccess
		return xdr.AppendUint32(reply, statusAccess), rpc.Success
	}
	n, err := s.tree.Walk(ended, split(path)...)
	if errors.Is(err, context.Canceled) {
		var n tree.Node
		wait := func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, archiveWait)
			defer cancel()
			n, err = s.tree.Walk(ctx, split(path)...)
		}
		if call.Later(wait, func(call *rpc.Call, reply []byte) ([]byte, rpc.Status) { return s.answer(call, path, n, err, reply) }) {
			return reply, rpc.Deferred
		}
	}
	return s.answer(call, path, n, err, reply)
}

// ended is for who does not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// archiveWait is how long a client waits for a folder in an archive that was not read yet.
const archiveWait = 20 * time.Second

// answer says whether what was found at a path can be mounted.
func (s *Server) answer(call *rpc.Call, path string, n tree.Node, err error, reply []byte) ([]byte, rpc.Status) {
	status := found(n, err)
	call.Result = status
	reply = xdr.AppendUint32(reply, status)
	if status != statusOK {
		return reply, rpc.Success
	}
	id, _ := call.Identity() // the server has checked it
	s.table.add(call.Client.Addr(), path, id.Machine, call.Began)
	handle := n.Handle()
	if call.Version < version3 {
		return append(reply, handle[:]...), rpc.Success // of just the length of a handle of NFSv2
	}
	reply = xdr.AppendOpaque(reply, handle[:])
	// BSD clients insist on AUTH_SYS, others take the first.
	return xdr.AppendWords(reply, 2, rpc.AuthSys, rpc.AuthNone), rpc.Success
}

// found says whether what was found can be mounted, or why not.
func found(n tree.Node, err error) uint32 {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return statusNoEnt
	case errors.Is(err, tree.ErrNotDir), err == nil && !n.IsDir():
		return statusNotDir
	case err != nil:
		return statusIO
	}
	return statusOK
}

// dump lists who has mounted what, as far as clients told.
func (s *Server) dump(call *rpc.Call, reply []byte) []byte {
	for _, m := range s.table.list() {
		if !call.Stream() && len(reply) > maxPacket {
			break
		}
		reply = xdr.AppendBool(reply, true)
		reply = xdr.AppendOpaque(reply, m.Client.String())
		reply = xdr.AppendOpaque(reply, m.Path)
	}
	return xdr.AppendBool(reply, false)
}

// export lists the root and the routes. The lists of groups behind them are empty: there is one list of
// networks for all.
func (s *Server) export(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	add := func(path string) {
		reply = xdr.AppendOpaque(xdr.AppendBool(reply, true), path)
		reply = xdr.AppendBool(reply, false)
	}
	add("/")
	dir, err := s.tree.Root().Dir()
	if err != nil {
		return reply, rpc.SystemError
	}
	for _, e := range dir.Entries() {
		if !call.Stream() && len(reply) > maxPacket {
			break
		}
		add("/" + e.Name)
	}
	return xdr.AppendBool(reply, false), rpc.Success
}

// Mounts lists who has mounted what, as far as clients told.
func (s *Server) Mounts() []Mount { return s.table.list() }

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// clean returns a path as it is shown.
func clean(path string) string { return "/" + strings.Join(split(path), "/") }
