package nfsfs

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nat"
	"shoal/nfsfs/rpc"
	"shoal/tree"
)

const (
	// maxClients and maxReaders are how many are kept account of; beyond that those that were silent
	// longest are forgotten.
	maxClients = 1024
	maxReaders = 4096
	// maxMachines is how many names are remembered of an address, as any number of machines may be behind it.
	maxMachines = 8
	// readerTime is how long somebody who reads nothing counts as a reader.
	readerTime = time.Minute
)

// Client is a machine that has made calls, and may.
type Client struct {
	Addr    netip.Addr
	Machine string // what it calls itself; empty if it never did
	// Machines are the names that calls from this address had, by when they came: the last few. Where addresses are translated these are
	// several machines.
	Machines    []nat.Machine
	Connections int
	Calls       uint64
	BytesRead   uint64
	First, Last time.Time // when it made a call
}

// Reader is a client that reads a file.
type Reader struct {
	Client      netip.Addr
	Node        tree.Node
	Offset      int64  // behind the last byte it got
	BytesRead   uint64 // of this file
	First, Last time.Time
}

// ledger keeps account of calls, of the clients that make them, and of what they read.
type ledger struct {
	metrics  *metrics
	bytes    atomic.Uint64 // of files, that clients were sent
	waits    waits
	refusals refusals

	// recent has the accounts that were looked up last for connections from a port: most calls are for
	// those, and wait for nobody. It has none that the maps do not have, as both change with mu only.
	recent [64]struct {
		client atomic.Pointer[clientAccount]
		reader atomic.Pointer[readerAccount]
	}

	mu       sync.Mutex
	clients  map[netip.Addr]*clientAccount
	readers  map[readerKey]*readerAccount
	routes   map[tree.RouteID]*routeAccount
	sweeping bool // sweep is going to run
}

type clientAccount struct {
	addr        netip.Addr
	machine     atomic.Pointer[string]
	machines    atomic.Pointer[[]*machineAccount] // by when they came; replaced as a whole, with ledger.mu
	first       time.Time
	last        atomic.Int64 // Unix time, in nanoseconds
	calls, read atomic.Uint64
}

func (c *clientAccount) lastTime() int64 { return c.last.Load() }

// machineAccount is a name that calls from an address had. Times are Unix times, in nanoseconds.
type machineAccount struct {
	name  string
	first int64
	last  atomic.Int64
}

type readerKey struct {
	client netip.Addr
	node   tree.Node
}

type readerAccount struct {
	readerKey
	first  time.Time
	last   atomic.Int64 // Unix time, in nanoseconds
	offset atomic.Int64
	read   atomic.Uint64
	route  atomic.Pointer[routeAccount] // where the file was when it was last read
}

func (r *readerAccount) lastTime() int64 { return r.last.Load() }

// over says whether the client has read nothing for so long that it is no reader any more.
func (r *readerAccount) over(now time.Time) bool {
	return now.UnixNano()-r.last.Load() > int64(readerTime)
}

func newLedger() *ledger {
	return &ledger{
		metrics: newMetrics(),
		clients: make(map[netip.Addr]*clientAccount), readers: make(map[readerKey]*readerAccount),
		routes: make(map[tree.RouteID]*routeAccount), waits: waits{all: make(map[*wait]struct{})},
	}
}

// observe is told of each call that was answered.
func (l *ledger) observe(call *rpc.Call, status rpc.Status) {
	l.metrics.observe(call, status)
	if !call.Allowed {
		l.refusals.observe(call) // apart, as they must not make us forget those that are allowed
		return
	}
	c := l.client(call)
	c.calls.Add(1)
	c.last.Store(answered(call).UnixNano())
	// Few tell it with each call, and a client that mounts may be another one than before.
	if c.machine.Load() == nil || call.Program == mount.Program {
		if id, err := call.Identity(); err == nil && id.Machine != "" {
			name := id.Machine
			c.machine.Store(&name)
		}
	}
	if name := call.Machine(); len(name) > 0 {
		l.named(c, name, call.Began.UnixNano())
	}
}

// named notes that a call of a client had a name. Nearly always that name is known, and nobody waits.
func (l *ledger) named(c *clientAccount, name []byte, now int64) {
	if m := machineOf(c.machines.Load(), name); m != nil {
		m.last.Store(now)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := c.machines.Load()
	if m := machineOf(before, name); m != nil { // another call was quicker
		m.last.Store(now)
		return
	}
	var all []*machineAccount
	if before != nil {
		all = slices.Clone(*before)
	}
	if len(all) >= maxMachines {
		silent := 0
		for i, m := range all {
			if m.last.Load() < all[silent].last.Load() {
				silent = i
			}
		}
		all = slices.Delete(all, silent, silent+1)
	}
	m := &machineAccount{name: string(name), first: now}
	m.last.Store(now)
	all = append(all, m)
	c.machines.Store(&all)
}

// machineOf finds a name in a list that may be nil.
func machineOf(list *[]*machineAccount, name []byte) *machineAccount {
	if list == nil {
		return nil
	}
	for _, m := range *list {
		if m.name == string(name) { // makes no copy
			return m
		}
	}
	return nil
}

// read is told of each READ that returned data.
func (l *ledger) read(call *rpc.Call, node tree.Node, offset int64, n int) {
	l.bytes.Add(uint64(n))
	l.client(call).read.Add(uint64(n))
	r := l.reader(call, node)
	r.read.Add(uint64(n))
	r.offset.Store(offset + int64(n))
	r.last.Store(answered(call).UnixNano())
	l.routeRead(r, &node, n)
}

// answered is about when a call is answered, without asking the clock.
func answered(call *rpc.Call) time.Time { return call.Began.Add(call.Waited) }

func (l *ledger) client(call *rpc.Call) *clientAccount {
	addr := call.Client.Addr()
	recent := &l.recent[int(call.Client.Port())%len(l.recent)].client
	if c := recent.Load(); c != nil && c.addr == addr {
		return c
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.clients[addr]
	if !ok {
		if len(l.clients) >= maxClients {
			forgetOldest(l.clients)
			l.forgetRecent()
		}
		c = &clientAccount{addr: addr, first: call.Began}
		c.last.Store(call.Began.UnixNano())
		l.clients[addr] = c
	}
	recent.Store(c)
	return c
}

func (l *ledger) reader(call *rpc.Call, node tree.Node) *readerAccount {
	key, now := readerKey{call.Client.Addr(), node}, answered(call)
	recent := &l.recent[int(call.Client.Port())%len(l.recent)].reader
	if r := recent.Load(); r != nil && r.readerKey == key && !r.over(now) {
		return r
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.readers[key]
	if ok && r.over(now) {
		l.forgetOver(now)
		ok = false
	}
	if !ok {
		if len(l.readers) >= maxReaders {
			forgetOldest(l.readers)
			l.forgetRecent()
		}
		r = &readerAccount{readerKey: key, first: now}
		r.last.Store(now.UnixNano())
		l.readers[key] = r
		if !l.sweeping {
			l.sweeping = true
			time.AfterFunc(readerTime, l.sweep)
		}
	}
	recent.Store(r)
	return r
}

// sweep forgets readers that are over although nobody asks for them, as a node keeps its torrent in
// memory. It runs while there are any.
func (l *ledger) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetOver(time.Now())
	if l.sweeping = len(l.readers) > 0; l.sweeping {
		time.AfterFunc(readerTime, l.sweep)
	}
}

// forgetOver forgets the readers that are over. It needs l.mu.
func (l *ledger) forgetOver(now time.Time) {
	before := len(l.readers)
	maps.DeleteFunc(l.readers, func(_ readerKey, r *readerAccount) bool { return r.over(now) })
	if len(l.readers) < before {
		l.forgetRecent()
	}
}

// forgetRecent has all accounts be looked up again, after some were forgotten. It needs l.mu.
func (l *ledger) forgetRecent() {
	for i := range l.recent {
		l.recent[i].client.Store(nil)
		l.recent[i].reader.Store(nil)
	}
}

// forgetOldest makes room in a full table: a quarter of it, as finding out who was silent longest takes
// a look at everybody, and somebody who copies a million small files must not wait for that each time.
func forgetOldest[K comparable, V interface{ lastTime() int64 }](m map[K]V) {
	type entry struct {
		key  K
		last int64
	}
	all := make([]entry, 0, len(m))
	for k, v := range m {
		all = append(all, entry{k, v.lastTime()})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.last, b.last) })
	for _, e := range all[:len(all)/4] {
		delete(m, e.key)
	}
}

// Clients lists the machines that have made calls, those that made one last first.
func (s *Server) Clients() []Client {
	connections := s.rpc.Connections()
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	list := make([]Client, 0, len(s.ledger.clients))
	for addr, c := range s.ledger.clients {
		client := Client{
			Addr: addr, Connections: connections[addr], Calls: c.calls.Load(), BytesRead: c.read.Load(),
			First: c.first, Last: time.Unix(0, c.last.Load()),
		}
		if name := c.machine.Load(); name != nil {
			client.Machine = *name
		}
		if machines := c.machines.Load(); machines != nil {
			for _, m := range *machines {
				client.Machines = append(client.Machines, nat.Machine{Name: m.name, First: time.Unix(0, m.first), Last: time.Unix(0, m.last.Load())})
			}
		}
		list = append(list, client)
	}
	slices.SortFunc(list, func(a, b Client) int { return cmp.Or(b.Last.Compare(a.Last), a.Addr.Compare(b.Addr)) })
	return list
}

// Readers lists who has read what within the last minute, the latest first. What has been removed since
// is not among them.
func (s *Server) Readers() []Reader {
	var list []Reader
	for _, r := range s.ledger.list(time.Now()) {
		handle := r.Node.Handle()
		if n, err := s.opts.Tree.Resolve(handle[:]); err == nil {
			r.Node = n // another one, if its torrent was removed and added again
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Reader) int { return cmp.Or(b.Last.Compare(a.Last), a.Client.Compare(b.Client)) })
	return list
}

// list lists the readers that are not over, in no order.
func (l *ledger) list(now time.Time) []Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetOver(now)
	list := make([]Reader, 0, len(l.readers))
	for key, r := range l.readers {
		list = append(list, Reader{
			Client: key.client, Node: key.node, Offset: r.offset.Load(), BytesRead: r.read.Load(),
			First: r.first, Last: time.Unix(0, r.last.Load()),
		})
	}
	return list
}

// Mounts lists who has mounted what, as far as clients told.
func (s *Server) Mounts() []mount.Mount { return s.mounts.Mounts() }
