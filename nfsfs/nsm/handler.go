// Package nsm is the Network Status Monitor, program 100024, version 1 (X/Open XNFS version 3W, chapter
// 11), as far as a server needs it that keeps nothing over a restart: clients tell it that they have
// restarted, and have lost the locks that they held.
//
// It monitors nobody. Monitoring is a service of a host to its own lock manager, and ours has no locks
// elsewhere. A remote host that asks for it wants us to call some program of its choice later, which no
// status monitor does any more since that was abused. So STAT and MON fail, there is nothing to end for
// UNMON and UNMON_ALL, and nobody to notify for SIMU_CRASH.
package nsm

import (
	"net/netip"
	"time"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

// Program is the number of the status monitor, and Version the only version there is.
const (
	Program = 100024
	Version = 1
)

const (
	procNull      = 0
	procStat      = 1
	procMon       = 2
	procUnmon     = 3
	procUnmonAll  = 4
	procSimuCrash = 5
	procNotify    = 6
)

const (
	// maxString is the longest name of a host.
	maxString = 1024
	// privateSize is what a monitoring host is given back when it is notified.
	privateSize = 16

	// failed is STAT_FAIL.
	failed = 1
)

// Handler answers calls to the status monitor.
type Handler struct {
	notify func(client netip.Addr, name string, state uint32)
	state  uint32
}

// New returns a status monitor. notify is called when a client says that it has restarted, with the
// address that this comes from, the name that it calls itself, and the state number that it has since;
// it must not wait.
func New(notify func(client netip.Addr, name string, state uint32)) *Handler {
	// Odd numbers are those of a host that runs, and each start has a higher one, within what an int can
	// say. The time has that without a file.
	return &Handler{notify: notify, state: uint32(time.Now().Unix())&(1<<31-1) | 1}
}

// State is the state number of this run.
func (h *Handler) State() uint32 { return h.state }

// Serve answers a call. It waits for nothing.
func (h *Handler) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	d := xdr.NewDecoder(call.Args)
	switch call.Proc {
	case procNull, procSimuCrash:
		return reply, rpc.Success
	case procStat:
		d.Opaque(maxString)
		call.Result = failed
		reply = xdr.AppendWords(reply, failed, h.state)
	case procMon:
		d.Opaque(maxString)
		skipCaller(&d)
		d.Fixed(privateSize)
		call.Result = failed
		reply = xdr.AppendWords(reply, failed, h.state)
	case procUnmon:
		d.Opaque(maxString)
		skipCaller(&d)
		reply = xdr.AppendUint32(reply, h.state)
	case procUnmonAll:
		skipCaller(&d)
		reply = xdr.AppendUint32(reply, h.state)
	case procNotify:
		name, state := d.String(maxString), d.Uint32()
		if d.Err() == nil {
			h.notify(call.Client.Addr(), name, state)
		}
	default:
		return reply, rpc.ProcedureUnavailable
	}
	if d.Err() != nil {
		return reply, rpc.GarbageArgs
	}
	return reply, rpc.Success
}

// skipCaller takes what the protocol calls my_id: who is to be called when a host restarts, and how.
func skipCaller(d *xdr.Decoder) {
	d.Opaque(maxString)
	d.Fixed(12) // program, version and procedure
}
