package rpc

import (
	"context"
	"net/netip"
	"os"
	"time"
)

// Call is a call that a client made. It is good until its handler returns.
type Call struct {
	Header
	Args    []byte         // as XDR; of a record that is used again
	Client  netip.AddrPort // where it came from
	Local   netip.AddrPort // where it came to; the address may be that of all interfaces
	Allowed bool           // whether the client is one of those that the server is for
	Began   time.Time      // when it was taken off the connection

	// Result is what the program's own protocol calls the status, for Options.Observe.
	Result uint32
	// Waited is how long the call waited in Later.
	Waited time.Duration

	link link
	tail tail
}

// Handler answers the calls of a program, but NULL, which the server answers itself.
type Handler interface {
	// Serve appends the result of a call to reply and returns it with Success, or returns why there is
	// no result. It is called by many goroutines at a time. It may wait for the local disk, and for
	// nothing else: other calls of the client wait behind it. What takes longer goes to Call.Later.
	Serve(call *Call, reply []byte) ([]byte, Status)
}

// link is how a call came, and how its reply goes.
type link interface {
	// later does what Call.Later says.
	later(call *Call, wait func(context.Context), answer Answer) bool
	// stream says whether replies of any size can be sent, and files as part of them.
	stream() bool
	// reserve does what Call.Room says.
	reserve(n int) bool
}

// Answer appends the result of a call to reply, like Handler.Serve. The call has no Args.
type Answer func(call *Call, reply []byte) ([]byte, Status)

// Later lets a call be answered when wait returns. wait runs on a goroutine of its own, which holds up
// nobody, with a context that ends when the client hangs up, with the cause ErrClosing when the
// server closes, and in any case when the call is over. answer is called after wait unless the client is gone;
// it must not wait.
//
// Later returns false if too many calls wait already. Otherwise Serve has to return Deferred.
func (c *Call) Later(wait func(context.Context), answer Answer) bool {
	return c.link.later(c, wait, answer)
}

// Stream says whether the call came over a connection. If not, the reply has to fit a datagram.
func (c *Call) Stream() bool { return c.link.stream() }

// Room says whether the result may have n bytes, beside a tail. All clients share what there is of this, so
// that those who do not receive what they ask for cannot make it as much as they like; a reply of some
// kilobytes need not ask.
func (c *Call) Room(n int) bool { return c.link.reserve(n) }

// tail is the part of a result that lies in a file.
type tail struct {
	file   *os.File
	offset int64
	length int
	done   func(error)
}

// Tail ends the result with length bytes of a file, which are sent without being copied. It is for
// calls over a connection only. done is called once they are sent, or why they were not: the
// connection has to end then, as what follows would be taken for the file.
func (c *Call) Tail(file *os.File, offset int64, length int, done func(error)) {
	c.tail = tail{file, offset, length, done}
}

// abandon gives up the tail of a result that is not going to be sent.
func (c *Call) abandon(why error) {
	if t := c.tail; t.done != nil {
		c.tail = tail{}
		t.done(why)
	}
}

// detach returns a copy of a call that outlives its record.
func (c *Call) detach() *Call {
	d := *c
	d.Args, d.Credential, d.tail = nil, nil, tail{}
	return &d
}
