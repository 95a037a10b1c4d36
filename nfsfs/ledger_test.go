package nfsfs

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/nat"
	"shoal/nfsfs/nfs3"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/tree"
)

// dialFrom connects from an address of this machine.
func dialFrom(t testing.TB, addr string, s *Server) *wire {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	conn, err := d.DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, conn: conn}
}

// callAs makes a call with the credential of a machine.
func (w *wire) callAs(machine string, program, proc uint32, args []byte) {
	w.t.Helper()
	credential := xdr.AppendOpaque(xdr.AppendUint32(nil, 1), machine)
	call := rpc.AppendCall(nil, rpc.Header{
		Program: program, Version: 3, Proc: proc, Flavor: rpc.AuthSys, Credential: xdr.AppendWords(credential, 0, 0, 0),
	})
	if err := rpc.WriteRecord(w.conn, append(call, args...)); err != nil {
		w.t.Fatal(err)
	}
	w.receive()
}

func TestClients(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	ready := handleOf(t, tr, "films", "a torrent", "ready.txt")
	if got := s.Clients(); len(got) != 0 {
		t.Errorf("before anybody calls, the clients are %+v", got)
	}
	before := time.Now()
	one, two := dialFrom(t, "127.0.0.1", s), dialFrom(t, "127.0.0.2", s)
	one.call(nfs3.Program, 3, 0, nil)
	for range 3 {
		one.callAs("first", nfs3.Program, getattr, opaque(ready))
	}
	one.callAs("second", nfs3.Program, getattr, opaque(ready))
	two.callAs("tv", mount.Program, procMount, opaque([]byte("films//")))
	two.callAs("tv", mount.Program, procMount, opaque([]byte("/nothing")))
	two.callAs("tv", nfs3.Program, procRead, encodeRead(ready, 0, 5))
	two.callAs("tv", nfs3.Program, procRead, encodeRead(ready, 5, 5))

	got := s.Clients()
	for i, want := range []Client{
		{Addr: netip.MustParseAddr("127.0.0.2"), Machine: "tv", Machines: []nat.Machine{{Name: "tv"}}, Connections: 1, Calls: 4, BytesRead: 10},
		{Addr: netip.MustParseAddr("127.0.0.1"), Machine: "first", Machines: []nat.Machine{{Name: "first"}, {Name: "second"}}, Connections: 1, Calls: 5},
	} {
		c := got[i]
		for i := range c.Machines {
			if m := &c.Machines[i]; m.First.Before(c.First.Round(0)) || m.Last.Before(m.First) || c.Last.Before(m.Last) {
				t.Errorf("%s was seen from %v to %v, and %v from %v to %v", m.Name, m.First, m.Last, c.Addr, c.First, c.Last)
			} else {
				m.First, m.Last = time.Time{}, time.Time{}
			}
		}
		if c.First.Before(before) || c.Last.Before(c.First.Round(0)) || c.Last.After(time.Now()) {
			t.Errorf("%v was seen from %v to %v, and it is %v", c.Addr, c.First, c.Last, time.Now())
		}
		if c.First, c.Last = (time.Time{}), (time.Time{}); !reflect.DeepEqual(c, want) {
			t.Errorf("client %d is %+v, want %+v", i, c, want)
		}
	}
	mounts := s.Mounts()
	if len(mounts) != 1 || mounts[0].Path != "/films" || mounts[0].Client != got[0].Addr || mounts[0].Machine != "tv" {
		t.Errorf("the mounts are %+v, want /films by the tv", mounts)
	}

	// An address may be that of another machine one day.
	two.callAs("phone", mount.Program, procMount, opaque([]byte("/")))
	if got := s.Clients()[0].Machine; got != "phone" {
		t.Errorf("who mounts is called %q, want phone", got)
	}
	_ = one.conn.Close()
	for s.Clients()[1].Connections > 0 {
		time.Sleep(time.Millisecond)
	}
}

// TestStrangersAreNoClients: they must not make us forget who is.
func TestStrangersAreNoClients(t *testing.T) {
	opts := options(t, testTree(t, newStuck()))
	opts.Allow = nil
	s := start(t, opts)
	began := time.Now()
	w := dial(t, s)
	w.call(nfs3.Program, 3, 0, nil)
	w.call(mount.Program, 3, procMount, opaque([]byte("/")))
	if got := s.Clients(); len(got) > 0 {
		t.Errorf("the clients are %+v, want none", got)
	}
	refused := s.Refused()
	if len(refused) != 1 || refused[0].Addr != netip.MustParseAddr("127.0.0.1") || refused[0].Calls != 2 ||
		refused[0].First.Before(began) || refused[0].Last.Before(refused[0].First) {
		t.Errorf("refused are %+v, want 127.0.0.1 with 2 calls", refused)
	}
}

// namedCall is a call of a machine with the name, at the address of the client by number.
func namedCall(client int, machine string, at time.Time) *rpc.Call {
	call := ledgerCall(client, getattr)
	call.Flavor, call.Began = rpc.AuthSys, at
	call.Credential = xdr.AppendWords(xdr.AppendOpaque(xdr.AppendUint32(nil, 1), machine), 0, 0, 0)
	return call
}

// TestMachinesAreBounded: of names that are made up those that were silent longest are forgotten, and a known one is noted without a copy.
func TestMachinesAreBounded(t *testing.T) {
	l, began := newLedger(), time.Now()
	for i := range 10 * maxMachines {
		at := began.Add(time.Duration(i) * time.Second)
		l.observe(namedCall(1, "stays", at), rpc.Success)
		l.observe(namedCall(1, fmt.Sprint("machine ", i), at), rpc.Success)
	}
	var names []string
	for _, m := range *l.clients[netip.MustParseAddr("10.0.0.1")].machines.Load() {
		names = append(names, m.name)
	}
	if len(names) != maxMachines || names[0] != "stays" || names[maxMachines-1] != fmt.Sprint("machine ", 10*maxMachines-1) {
		t.Errorf("the machines are %q, want the one that stays and the last ones", names)
	}
	c, call := l.client(ledgerCall(1, getattr)), namedCall(1, "stays", began)
	if n := testing.AllocsPerRun(100, func() { l.named(c, call.Machine(), 1) }); n != 0 {
		t.Errorf("a call of a known machine makes %v allocations", n)
	}
	for _, flavor := range []uint32{rpc.AuthNone, 6} {
		call.Flavor = flavor
		if name := call.Machine(); name != nil {
			t.Errorf("a credential of the flavor %d has the name %q", flavor, name)
		}
	}
}

// TestRefusedIsBounded: who makes up addresses is not remembered without end, and the last ones are.
func TestRefusedIsBounded(t *testing.T) {
	s := &Server{ledger: newLedger()}
	call := ledgerCall(0, procRead)
	began := call.Began
	for i := range 10 * maxRefused {
		call = ledgerCall(i, procRead)
		call.Allowed, call.Began = false, began.Add(time.Duration(i)*time.Second)
		s.ledger.observe(call, rpc.TooWeak)
	}
	list := s.Refused()
	if len(list) > maxRefused || len(list) < maxRefused/2 || list[0].Addr != call.Client.Addr() {
		t.Errorf("%d are remembered, and %+v was refused last; want up to %d, and %s", len(list), list[0], maxRefused, call.Client.Addr())
	}
	if len(s.ledger.clients) > 0 {
		t.Errorf("there are %d clients, and all were refused", len(s.ledger.clients))
	}
}

func TestReaders(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	ready, small := handleOf(t, tr, "films", "a torrent", "ready.txt"), handleOf(t, tr, "films", "a torrent", "many", "f007")
	one, two := dialFrom(t, "127.0.0.1", s), dialFrom(t, "127.0.0.2", s)
	for _, read := range []struct {
		by     *wire
		handle []byte
		offset uint64
	}{{one, small, 0}, {one, ready, 3}, {one, ready, 0}, {one, ready, uint64(len(readyText))}, {one, small[:5], 0}, {two, ready, 6}} {
		read.by.call(nfs3.Program, 3, procRead, encodeRead(read.handle, read.offset, 4))
	}
	check := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, r := range s.Readers() {
			if r.First.IsZero() || r.Last.Before(r.First.Round(0)) {
				t.Errorf("%v reads from %v to %v", r.Client, r.First, r.Last)
			}
			got = append(got, fmt.Sprintf("%v /%s %d bytes to %d", r.Client, path.Join(r.Node.Path()...), r.BytesRead, r.Offset))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s the readers are %q, want %q", what, got, want)
		}
	}
	check("at first",
		"127.0.0.2 /films/a torrent/ready.txt 4 bytes to 10",
		"127.0.0.1 /films/a torrent/ready.txt 8 bytes to 4",
		"127.0.0.1 /films/a torrent/many/f007 4 bytes to 4")
	if err := tr.PutRoute(tree.Route{ID: 2, Name: "movies"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	check("after a rename",
		"127.0.0.2 /movies/a torrent/ready.txt 4 bytes to 10",
		"127.0.0.1 /movies/a torrent/ready.txt 8 bytes to 4",
		"127.0.0.1 /movies/a torrent/many/f007 4 bytes to 4")
	tr.RemoveTorrent(tree.Infohash{1}, time.Now())
	check("after the removal")
}

// ledgerCall is a call of a client by number.
func ledgerCall(client int, proc uint32) *rpc.Call {
	addr := netip.AddrFrom4([4]byte{10, byte(client >> 16), byte(client >> 8), byte(client)})
	return &rpc.Call{
		Header: rpc.Header{Program: nfs3.Program, Version: 3, Proc: proc}, Allowed: true,
		Client: netip.AddrPortFrom(addr, uint16(700+client%300)), Began: time.Now(),
	}
}

// TestReadersAreForgotten has readers stop while nobody asks for them, as their nodes keep torrents in
// memory that may be removed.
func TestReadersAreForgotten(t *testing.T) {
	tr := testTree(t, newStuck())
	node, err := tr.Walk(t.Context(), "films", "a torrent", "ready.txt")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		begin := time.Now()
		for range 3 { // the sweep starts anew each time
			l.read(ledgerCall(1, procRead), node, 0, 1)
			for range 10 {
				time.Sleep(readerTime / 2)
				l.read(ledgerCall(2, procRead), node, 0, 1)
			}
			l.read(ledgerCall(1, procRead), node, 0, 1)
			for _, r := range l.list(time.Now()) {
				if r.Client.As4()[3] == 1 && (r.BytesRead != 1 || !r.First.Equal(time.Now())) {
					t.Errorf("who comes back is %+v", r)
				}
			}
			time.Sleep(2*readerTime + time.Second)
			l.mu.Lock()
			if len(l.readers) > 0 || l.sweeping {
				t.Errorf("after %v there still are %d readers", time.Since(begin), len(l.readers))
			}
			l.mu.Unlock()
			for i := range l.recent {
				if l.recent[i].reader.Load() != nil {
					t.Errorf("after %v, a node is still kept", time.Since(begin))
				}
			}
		}
	})
}

// TestReaderThatWaited counts from when it got its data.
func TestReaderThatWaited(t *testing.T) {
	l := newLedger()
	call := ledgerCall(1, procRead)
	call.Waited = 2 * readerTime
	l.read(call, tree.Node{}, 0, 1)
	l.observe(call, rpc.Success)
	if got := l.list(call.Began.Add(call.Waited)); len(got) != 1 || !got[0].Last.Equal(call.Began.Add(call.Waited)) {
		t.Errorf("a READ at %v that waited for %v makes the readers %+v", call.Began, call.Waited, got)
	}
}

// TestLedgerIsBounded has more clients read more files than are kept account of.
func TestLedgerIsBounded(t *testing.T) {
	l := newLedger()
	tr := testTree(t, newStuck())
	dir, err := must(t, tr, "films", "a torrent", "many").Dir()
	if err != nil {
		t.Fatal(err)
	}
	files := dir.Entries()
	faithful := ledgerCall(0, procRead)
	const clients, each = 4 * maxClients, 5
	began := time.Now()
	for i := range clients {
		for j := range each {
			call := ledgerCall(i+1, procRead)
			call.Began = began.Add(time.Duration(i*each+j) * time.Microsecond)
			l.read(call, files[(i+j)%len(files)].Node, 0, 1)
			l.observe(call, rpc.Success)
		}
		faithful.Began = began.Add(time.Duration(i*each+each) * time.Microsecond)
		l.read(faithful, files[0].Node, 0, 1)
		l.observe(faithful, rpc.Success)
		if len(l.clients) > maxClients || len(l.readers) > maxReaders {
			t.Fatalf("%d clients and %d readers are kept", len(l.clients), len(l.readers))
		}
	}
	if len(l.clients) < maxClients/2 || len(l.readers) < maxReaders/2 {
		t.Errorf("%d clients and %d readers are kept, want more", len(l.clients), len(l.readers))
	}
	if got := l.clients[faithful.Client.Addr()]; got == nil || got.calls.Load() != clients || got.read.Load() != clients {
		t.Errorf("of the client that never stopped, this is kept: %+v", got)
	}
	for i := range l.recent {
		c, r := l.recent[i].client.Load(), l.recent[i].reader.Load()
		if c != nil && l.clients[c.addr] != c || r != nil && l.readers[r.readerKey] != r {
			t.Errorf("an account that was forgotten is still used")
		}
	}
}

func must(t testing.TB, tr *tree.Tree, path ...string) tree.Node {
	t.Helper()
	n, err := tr.Walk(t.Context(), path...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLedgerAtOnce has clients with the same port call while others ask who they are.
func TestLedgerAtOnce(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	node := must(t, tr, "films", "a torrent", "ready.txt")
	const clients, calls = 8, 500
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			call := ledgerCall(i*300, procRead)
			for range calls {
				s.ledger.read(call, node, 0, 2)
				s.ledger.observe(call, rpc.Success)
			}
		})
	}
	for range 2 {
		group.Go(func() {
			for range 50 {
				s.Clients()
				s.Readers()
			}
		})
	}
	group.Wait()
	list, readers := s.Clients(), s.Readers()
	if len(list) != clients || len(readers) != clients {
		t.Fatalf("there are %d clients and %d readers, want %d", len(list), len(readers), clients)
	}
	for i := range clients {
		if list[i].Calls != calls || list[i].BytesRead != 2*calls || readers[i].BytesRead != 2*calls {
			t.Errorf("client %+v, reader %+v; want %d calls", list[i], readers[i], calls)
		}
	}
}

// BenchmarkLedger measures what keeping account costs a call.
func BenchmarkLedger(b *testing.B) {
	tr := testTree(b, newStuck())
	node := must(b, tr, "films", "a torrent", "ready.txt")
	dir, err := must(b, tr, "films", "a torrent", "many").Dir()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("GETATTR", func(b *testing.B) {
		l, call := newLedger(), ledgerCall(1, getattr)
		for b.Loop() {
			l.observe(call, rpc.Success)
		}
	})
	b.Run("READ", func(b *testing.B) {
		l, call := newLedger(), ledgerCall(1, procRead)
		for b.Loop() {
			l.read(call, node, 0, 1)
			l.observe(call, rpc.Success)
		}
	})
	b.Run("READ of another file each time", func(b *testing.B) {
		l, i := newLedger(), 0
		for b.Loop() {
			call := ledgerCall(i/len(dir.Entries()), procRead)
			l.read(call, dir.Entries()[i%len(dir.Entries())].Node, 0, 1)
			l.observe(call, rpc.Success)
			i++
		}
	})
	b.Run("another client each time", func(b *testing.B) {
		l, i := newLedger(), 0
		for b.Loop() {
			l.observe(ledgerCall(i, getattr), rpc.Success)
			i++
		}
	})
}
