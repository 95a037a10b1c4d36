package rpc

import (
	"errors"
	"fmt"

	"shoal/nfsfs/xdr"
)

const (
	version = 2

	messageCall  = 0
	messageReply = 1

	replyAccepted = 0
	replyDenied   = 1

	rejectMismatch = 0
	rejectAuth     = 1

	// maxAuth is the longest credential or verifier (RFC 5531, section 8.2).
	maxAuth = 400
)

// Flavors of credentials (RFC 5531, section 8.2; AUTH_SYS was AUTH_UNIX).
const (
	AuthNone = 0
	AuthSys  = 1
)

// Status says how a call ended: with a result, or why there is none.
type Status uint32

// What a reply says in accept_stat (RFC 5531, section 9).
const (
	Success              Status = 0
	ProgramUnavailable   Status = 1
	ProgramMismatch      Status = 2
	ProcedureUnavailable Status = 3
	GarbageArgs          Status = 4
	SystemError          Status = 5
)

// What is no accept_stat: no reply yet or at all, and replies that deny a call.
const (
	// Deferred says that the reply comes later (Call.Later).
	Deferred Status = 1<<16 + iota
	// Dropped says that there is none.
	Dropped
	// TooWeak denies the call to a client that may not make it (AUTH_TOOWEAK).
	TooWeak
	// BadCredential denies it for a credential that is malformed or of another flavor (AUTH_BADCRED).
	BadCredential
	// otherVersion denies it for its RPC version (RPC_MISMATCH).
	otherVersion
)

// authStatus is the auth_stat of statuses that deny (RFC 5531, section 9).
var authStatus = map[Status]uint32{BadCredential: 1, TooWeak: 5}

var (
	// ErrCall is returned for a record that is no call: there is no reply to give.
	ErrCall = errors.New("not a call")
	// errVersion is returned for a call of another RPC version.
	errVersion = errors.New("other RPC version")
)

// Header is how a call begins.
type Header struct {
	XID                    uint32
	Program, Version, Proc uint32
	Flavor                 uint32
	Credential             []byte // its body; points into the record
}

// headerSize is that of the words of fixed length at the front of a call.
const headerSize = 24

// parseCall takes the header off a record, and returns the arguments behind it. With errVersion the
// XID is set.
func parseCall(record []byte) (h Header, args []byte, err error) {
	d := xdr.NewDecoder(record)
	if len(record) < headerSize {
		return h, nil, fmt.Errorf("%w: %d bytes", ErrCall, len(record))
	}
	h.XID = d.Uint32()
	if kind := d.Uint32(); kind != messageCall {
		return h, nil, fmt.Errorf("%w: message type %d", ErrCall, kind)
	}
	if v := d.Uint32(); v != version {
		return h, nil, fmt.Errorf("%w: %d", errVersion, v)
	}
	h.Program, h.Version, h.Proc = d.Uint32(), d.Uint32(), d.Uint32()
	h.Flavor, h.Credential = d.Uint32(), d.Opaque(maxAuth)
	d.Uint32() // the verifier: AUTH_NONE and AUTH_SYS have none
	d.Opaque(maxAuth)
	if d.Err() != nil {
		return h, nil, fmt.Errorf("%w: a credential or verifier that is cut off or too long", ErrCall)
	}
	return h, d.Rest(), nil
}

// AppendCall appends a call without its arguments. The credential is that of nobody in particular.
func AppendCall(b []byte, h Header) []byte {
	b = xdr.AppendWords(b, h.XID, messageCall, version, h.Program, h.Version, h.Proc)
	b = xdr.AppendOpaque(xdr.AppendUint32(b, h.Flavor), h.Credential)
	return xdr.AppendWords(b, AuthNone, 0)
}

// ParseReply returns the XID of a reply and its result, or an error if the call did not succeed.
func ParseReply(record []byte) (xid uint32, result []byte, err error) {
	d := xdr.NewDecoder(record)
	xid = d.Uint32()
	kind, stat := d.Uint32(), d.Uint32()
	switch {
	case d.Err() != nil || kind != messageReply:
		return 0, nil, fmt.Errorf("%d bytes are no reply", len(record))
	case stat != replyAccepted:
		return xid, nil, fmt.Errorf("the call was denied (%d, %d)", d.Uint32(), d.Uint32())
	}
	d.Uint32()
	d.Opaque(maxAuth)
	if stat := Status(d.Uint32()); d.Err() != nil || stat != Success {
		return xid, nil, fmt.Errorf("the call was not accepted (%d)", stat)
	}
	return xid, d.Rest(), nil
}

// appendReply appends a reply as far as the result. The versions are for ProgramMismatch.
func appendReply(b []byte, xid uint32, s Status, low, high uint32) []byte {
	b = xdr.AppendWords(b, xid, messageReply)
	switch s {
	case otherVersion:
		return xdr.AppendWords(b, replyDenied, rejectMismatch, version, version)
	case TooWeak, BadCredential:
		return xdr.AppendWords(b, replyDenied, rejectAuth, authStatus[s])
	}
	b = xdr.AppendWords(b, replyAccepted, AuthNone, 0, uint32(s))
	if s == ProgramMismatch {
		b = xdr.AppendWords(b, low, high)
	}
	return b
}

// Identity is who a client says it acts for (AUTH_SYS; RFC 5531, appendix A). Nothing proves it.
type Identity struct {
	Machine  string
	UID, GID uint32
}

// Limits of AUTH_SYS.
const (
	maxMachine = 255
	maxGroups  = 16
)

// Identity returns who the call claims to be of; nobody (RFC 1813's -2) for AUTH_NONE.
func (h *Header) Identity() (Identity, error) {
	if h.Flavor == AuthNone {
		return Identity{UID: ^uint32(1), GID: ^uint32(1)}, nil
	}
	d := xdr.NewDecoder(h.Credential)
	d.Uint32() // a stamp
	id := Identity{Machine: d.String(maxMachine), UID: d.Uint32(), GID: d.Uint32()}
	return id, d.Err()
}

// Machine returns what the client calls itself, without a copy: it is good as long as the call. It is nil for who does not say.
func (h *Header) Machine() []byte {
	if h.Flavor != AuthSys {
		return nil
	}
	d := xdr.NewDecoder(h.Credential)
	d.Uint32() // a stamp
	return d.Opaque(maxMachine)
}

// checkCredential says whether the credential is of a flavor that is spoken here, and well-formed.
func (h *Header) checkCredential() bool {
	if h.Flavor != AuthSys {
		return h.Flavor == AuthNone
	}
	d := xdr.NewDecoder(h.Credential)
	d.Uint32()
	d.Opaque(maxMachine)
	d.Uint64() // user and group
	n := d.Uint32()
	if n > maxGroups {
		return false
	}
	d.Fixed(4 * int(n))
	return d.Err() == nil && len(d.Rest()) == 0
}
