//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// load is calls of one procedure that are in flight at the same time.
type load struct {
	inFlight int
	template []byte // the call, with arguments that aim may change
	// aim sets the arguments of the next call, which goes by the number of a slot.
	aim func(call []byte, slot int)
	// check looks at the results of the call in a slot, or at the head of them, and the length of all.
	check func(slot int, results []byte, length int) error
	head  int // how much of a reply is looked at; the rest is only received
	bytes int // that a call reads
}

// measured is what a load did.
type measured struct {
	Ops     int
	Bytes   int64
	Elapsed time.Duration

	ServerCPU, ClientCPU time.Duration
	P50, P99             time.Duration // of a call

	Refused int // READs that had to be sent again
}

// pipeline keeps a load in flight.
type pipeline struct {
	*conn
	*load

	sent    []time.Time // by slot
	xids    []uint32    // of the call in each slot
	pending []int       // slots whose call is not sent yet
	flying  int
	times   []time.Duration
}

// run carries out calls, for a time or, if that is longer, until there were at least so many of them.
// It ends when all of them are answered.
func (c *conn) run(l *load, atLeast int, d time.Duration, times []time.Duration) ([]time.Duration, time.Duration, error) {
	p := &pipeline{
		conn: c, load: l, times: times[:0],
		sent: make([]time.Time, l.inFlight), xids: make([]uint32, l.inFlight),
	}
	c.flushed = p.stamp
	defer func() { c.flushed = func() {} }()
	begin := time.Now()
	for slot := range l.inFlight {
		p.post(slot)
	}
	for p.flying > 0 {
		reply, length, err := c.next(l.head)
		if err != nil {
			return nil, 0, err
		}
		slot, err := p.answered(reply, length)
		if err != nil {
			return nil, 0, err
		}
		if c.arrived.Sub(begin) < d || len(p.times)+p.flying < atLeast {
			p.post(slot)
		}
	}
	return p.times, c.arrived.Sub(begin), nil
}

// post queues the next call for a slot.
func (p *pipeline) post(slot int) {
	p.conn.xid++
	p.xids[slot] = p.conn.xid
	at := len(p.out)
	p.out = append(p.out, p.template...)
	call := p.out[at:]
	// The slot is in the upper bits, so that a reply finds it at once.
	p.aim(call, slot)
	seal(call, p.xid(slot))
	p.pending = append(p.pending, slot)
	p.flying++
}

// xid is that of the call in a slot.
func (p *pipeline) xid(slot int) uint32 { return uint32(slot)<<24 | p.xids[slot]&(1<<24-1) }

// stamp notes when calls were sent.
func (p *pipeline) stamp() {
	for _, slot := range p.pending {
		p.sent[slot] = p.departed
	}
	p.pending = p.pending[:0]
}

// answered checks a reply, and returns its slot, which is free then.
func (p *pipeline) answered(reply []byte, length int) (int, error) {
	xid, results, err := parseReply(reply)
	if err != nil {
		return 0, err
	}
	slot := int(xid >> 24)
	if slot >= len(p.sent) || p.sent[slot].IsZero() || xid != p.xid(slot) {
		return 0, fmt.Errorf("a reply to call %x, which nobody made", xid)
	}
	if err := p.check(slot, results, length-replySize); err != nil {
		return 0, err
	}
	p.times = append(p.times, p.arrived.Sub(p.sent[slot]))
	p.sent[slot] = time.Time{}
	p.flying--
	return slot, nil
}

// percentile returns the time within which so many of a hundred calls were answered. It sorts them.
func percentile(times []time.Duration, percent int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(len(times)-1, len(times)*percent/100)]
}
