package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Programs and versions that the appliance speaks.
const (
	ProgramNFS   = 100003
	ProgramMount = 100005

	VersionNFS   = 3
	VersionMount = 3
)

const (
	version = 2

	messageCall  = 0
	messageReply = 1

	replyAccepted = 0
	replyDenied   = 1

	acceptSuccess      = 0
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4

	rejectMismatch = 0
	rejectAuth     = 1

	authTooWeak = 5

	// maxAuth is the longest credential or verifier (RFC 5531, section 8.2).
	maxAuth = 400
)

var (
	// ErrCall is returned for a record that is no call: there is no reply to give.
	ErrCall = errors.New("not a call")
	// ErrVersion is returned for a call of another RPC version. It is answered by Mismatch.
	ErrVersion = errors.New("other RPC version")
)

// Call is the header of a call.
type Call struct {
	XID                uint32
	Program, Ver, Proc uint32
	// Args is where the arguments begin in the record.
	Args int
}

// ParseCall reads the header of a call. With ErrVersion the XID is set.
func ParseCall(record []byte) (Call, error) {
	const fixed = 24 // xid, type, rpcvers, prog, vers, proc
	if len(record) < fixed {
		return Call{}, fmt.Errorf("%w: %d bytes", ErrCall, len(record))
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(record[4*i:]) }
	if word(1) != messageCall {
		return Call{}, fmt.Errorf("%w: message type %d", ErrCall, word(1))
	}
	c := Call{XID: word(0), Program: word(3), Ver: word(4), Proc: word(5), Args: fixed}
	if word(2) != version {
		return c, fmt.Errorf("%w: %d", ErrVersion, word(2))
	}
	for _, what := range []string{"credential", "verifier"} {
		rest := record[c.Args:]
		if len(rest) < 8 {
			return Call{}, fmt.Errorf("%w: the %s is cut off", ErrCall, what)
		}
		n := binary.BigEndian.Uint32(rest[4:])
		if n > maxAuth || Padded(int(n)) > len(rest)-8 {
			return Call{}, fmt.Errorf("%w: a %s of %d bytes", ErrCall, what, n)
		}
		c.Args += 8 + Padded(int(n))
	}
	return c, nil
}

// Padded returns n rounded up to the 4 bytes that XDR aligns to (RFC 4506, section 3).
func Padded(n int) int { return (n + 3) &^ 3 }

// AppendCall appends the header of a call without credentials.
func AppendCall(b []byte, c Call) []byte {
	return words(b, c.XID, messageCall, version, c.Program, c.Ver, c.Proc, 0, 0, 0, 0)
}

// ReplyXID returns the XID of a reply that was accepted and succeeded, whatever its result.
func ReplyXID(record []byte) (uint32, error) {
	if len(record) < 24 {
		return 0, fmt.Errorf("a reply of %d bytes", len(record))
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(record[4*i:]) }
	if word(1) != messageReply || word(2) != replyAccepted || word(5) != acceptSuccess {
		return 0, fmt.Errorf("the call was not accepted (%d, %d, %d)", word(1), word(2), word(5))
	}
	return word(0), nil
}

// Success begins a reply whose result the caller appends.
func (c Call) Success() []byte { return c.accepted(acceptSuccess) }

// ProgramUnavailable says that there is no such program here.
func (c Call) ProgramUnavailable() []byte { return c.accepted(acceptProgUnavail) }

// ProgramMismatch says that the program is here in the versions low to high only.
func (c Call) ProgramMismatch(low, high uint32) []byte {
	return words(c.accepted(acceptProgMismatch), low, high)
}

// ProcedureUnavailable says that the program has no such procedure.
func (c Call) ProcedureUnavailable() []byte { return c.accepted(acceptProcUnavail) }

// GarbageArgs says that the arguments cannot be decoded.
func (c Call) GarbageArgs() []byte { return c.accepted(acceptGarbageArgs) }

// Mismatch says that only RPC version 2 is spoken here.
func (c Call) Mismatch() []byte {
	return words(nil, c.XID, messageReply, replyDenied, rejectMismatch, version, version)
}

// TooWeak denies the call: the client may not use the program.
func (c Call) TooWeak() []byte {
	return words(nil, c.XID, messageReply, replyDenied, rejectAuth, authTooWeak)
}

// accepted begins an accepted reply, with the verifier AUTH_NONE.
func (c Call) accepted(stat uint32) []byte {
	return words(nil, c.XID, messageReply, replyAccepted, 0, 0, stat)
}

func words(b []byte, list ...uint32) []byte {
	for _, w := range list {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}
