// Package portmap tells clients the ports of programs: it is the portmapper (program 100000 version 2)
// and rpcbind (versions 3 and 4), both of RFC 1833, for programs that are known from the start. Where
// the machine has an rpcbind, it registers the programs there instead. And it asks the portmappers of
// others.
package portmap

import (
	"cmp"
	"slices"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

const (
	// Program is the number of the portmapper, and of rpcbind.
	Program = 100000
	// Port is where everybody looks for it, over TCP and UDP.
	Port = 111
)

// The versions of the program.
const (
	version2 = 2 // the portmapper
	version3 = 3 // rpcbind
	version4 = 4
)

// The procedures of version 2 (RFC 1833, section 3.2). The numbers mean much the same in the others.
const (
	procSet     = 1
	procUnset   = 2
	procGetPort = 3
	procDump    = 4
	procCallIt  = 5
)

// What can be called through the portmapper.
const (
	programNFS   = 100003
	programMount = 100005
)

// maxCallArgs is the most that a call made through the portmapper may carry, in bytes: what other
// rpcbinds take in one datagram.
const maxCallArgs = 8800

// Protocol is what carries the calls of a program, by its number in IP.
type Protocol uint32

// The protocols that programs are served over.
const (
	TCP Protocol = 6
	UDP Protocol = 17
)

// Mapping says where a version of a program is served: on a port of all addresses of this machine.
type Mapping struct {
	Program, Version uint32
	Protocol         Protocol
	Port             uint16
}

// Handler is the portmapper. It knows the mappings given to New, and itself, and takes no others.
type Handler struct {
	mappings []Mapping
}

// New returns the portmapper for programs of this machine.
func New(mappings []Mapping) *Handler { return &Handler{slices.Clone(mappings)} }

// Service returns the program for an rpc.Server.
func (h *Handler) Service() rpc.Service {
	return rpc.Service{Program: Program, Versions: []uint32{version2, version3, version4}, Handler: h, Screens: true}
}

// Serve answers a call, of any of the versions, also of clients that are not allowed: they are told so,
// unless they may have broadcast it. It does not wait.
func (h *Handler) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	switch {
	case !call.Allowed && call.Proc == procCallIt:
		return reply, rpc.Dropped // who broadcasts wants to hear of success only
	case !call.Allowed:
		return reply, rpc.TooWeak
	case call.Version != version2:
		return h.serveRpcbind(call, reply)
	}
	switch call.Proc {
	case procSet, procUnset:
		return xdr.AppendBool(reply, false), rpc.Success
	case procGetPort:
		return h.getPort(call, reply)
	case procDump:
		for _, m := range h.known(call) {
			reply = xdr.AppendBool(reply, true)
			reply = xdr.AppendWords(reply, m.Program, m.Version, uint32(m.Protocol), uint32(m.Port))
		}
		return xdr.AppendBool(reply, false), rpc.Success
	case procCallIt:
		return silent(h.callIt(call, reply))
	}
	return reply, rpc.ProcedureUnavailable
}

func (h *Handler) getPort(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	program, version, protocol := d.Uint32(), d.Uint32(), Protocol(d.Uint32())
	d.Uint32() // a port, which is for SET
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	m, _ := h.find(call, program, version, protocol)
	return xdr.AppendUint32(reply, uint32(m.Port)), rpc.Success
}

// known returns all mappings, first those of the portmapper itself, which is where the call came to.
func (h *Handler) known(call *rpc.Call) []Mapping {
	var own []Mapping
	port := cmp.Or(call.Local.Port(), Port)
	for _, protocol := range []Protocol{TCP, UDP} {
		for version := uint32(version4); version >= version2; version-- {
			own = append(own, Mapping{Program, version, protocol, port})
		}
	}
	return append(own, h.mappings...)
}

// find returns the mapping of a program, if there is one. It may be of another version if there is none
// of that: the program itself then tells the client which it has, as it does behind any rpcbind.
func (h *Handler) find(call *rpc.Call, program, version uint32, protocol Protocol) (found Mapping, ok bool) {
	for _, m := range h.known(call) {
		if m.Program != program || m.Protocol != protocol {
			continue
		}
		found, ok = m, true
		if m.Version == version {
			break
		}
	}
	return found, ok
}

// callIt answers CALLIT, BCAST and INDIRECT: a call of another program that is made through the
// portmapper, so that its client can broadcast it to find servers. The one call that there is a use for
// is NULL, which takes and returns nothing. So nobody needs to be called for its result, and nobody can
// be made to call anything here in the name of this machine.
func (h *Handler) callIt(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	program, version, proc := d.Uint32(), d.Uint32(), d.Uint32()
	d.Opaque(maxCallArgs)
	protocol := carrier(call).protocol
	if call.Version == version2 {
		protocol = UDP // whatever the call came over (RFC 1833, section 3.2)
	}
	m, ok := h.find(call, program, version, protocol)
	switch {
	case d.Err() != nil:
		return reply, rpc.GarbageArgs
	case program != programNFS && program != programMount, !ok, m.Version != version:
		return reply, rpc.ProgramUnavailable
	case proc != 0:
		return reply, rpc.ProcedureUnavailable
	}
	if call.Version == version2 {
		reply = xdr.AppendUint32(reply, uint32(m.Port))
	} else {
		reply = xdr.AppendOpaque(reply, address(call, m.Port))
	}
	return xdr.AppendOpaque(reply, ""), rpc.Success
}

// silent turns an error into no reply. A broadcast reaches all machines of a network, and those that
// are not meant must not all tell the client so (RFC 1833, sections 2.2.1 and 3.2).
func silent(reply []byte, status rpc.Status) ([]byte, rpc.Status) {
	if status != rpc.Success {
		status = rpc.Dropped
	}
	return reply, status
}
