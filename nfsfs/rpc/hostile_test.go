package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What the server is promised to bear, all at a time, and with how much memory.
const (
	hostileRecords  = 10_000
	hostileIdle     = 500 // connections that send nothing
	hostileSlow     = 200 // that send long records without ever coming to their end
	hostileDeaf     = 50  // that receive no replies
	hostileStranger = 5   // of the addresses below, this is not allowed
	hostileMemory   = 64 << 20
)

// attackAddress is the variable that makes the test program an attacker: the memory that it takes must
// not be counted with the server's.
const attackAddress = "SHOAL_TEST_ATTACK"

// hostileStream is what a server should not like.
func hostileStream(random *rand.Rand) []byte {
	mark := func(b []byte, last bool, n uint32) []byte {
		if last {
			n |= lastFragment
		}
		return binary.BigEndian.AppendUint32(b, n)
	}
	either := func() bool { return random.IntN(2) == 0 }
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	call := append(header(random.Uint32(), 1), noise(random.IntN(100))...)
	switch random.IntN(10) {
	case 0: // the greatest lengths
		return append(mark(nil, either(), 1<<31-1), noise(random.IntN(100))...)
	case 1: // any length, and not as much data
		return append(mark(nil, either(), random.Uint32()&^lastFragment), noise(random.IntN(1000))...)
	case 2: // a little more than is allowed, or just not
		return append(mark(nil, true, uint32(maxRecord+random.IntN(3)-1)), noise(random.IntN(20_000))...)
	case 3: // cut off
		whole := record(call)
		return whole[:random.IntN(len(whole))]
	case 4: // fragments of a byte each, of which the last may be missing
		var b []byte
		for i := range call {
			b = append(mark(b, i == len(call)-1 && either(), 1), call[i])
		}
		return b
	case 5: // fragments of nothing
		return bytes.Repeat(mark(nil, false, 0), 1+random.IntN(1000))
	case 6: // no call at all
		return record(noise(random.IntN(20_000)))
	case 7: // words of a call that are other ones
		for range 1 + random.IntN(3) {
			binary.BigEndian.PutUint32(call[4*random.IntN(10):], random.Uint32())
		}
		return record(call)
	case 8: // credentials that are longer than they are
		binary.BigEndian.PutUint32(call[4*7:], 1<<uint(random.IntN(32)))
		return record(call)
	}
	return noise(1 + random.IntN(5000))
}

// hostileDial connects from 127.0.0.host. Closing resets the connection, so that no port stays occupied.
func hostileDial(addr string, host byte) (*net.TCPConn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}, Timeout: patience}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetLinger(0)
	_ = tcp.SetWriteDeadline(time.Now().Add(patience))
	return tcp, nil
}

// TestAttack is the attacker of TestHostileClients. It ends when its standard input does.
func TestAttack(t *testing.T) {
	addr := os.Getenv(attackAddress)
	if addr == "" {
		return // only TestHostileClients starts it, in a process of its own
	}
	end := make(chan struct{})
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); close(end) }()
	occupy(t, addr)
	var group sync.WaitGroup
	var count atomic.Int64
	for i := range uint64(32) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(1, i))
			for count.Add(1) <= hostileRecords {
				attack(addr, byte(2+i%4), i%8 == 0, random)
			}
		})
	}
	group.Wait()
	fmt.Println("attacked")
	<-end
}

// attack sends a hostile stream, in one go or byte by byte.
func attack(addr string, host byte, bitwise bool, random *rand.Rand) {
	conn, err := hostileDial(addr, host)
	if err != nil {
		return
	}
	defer conn.Close()
	stream := hostileStream(random)
	for bitwise && len(stream) > 0 {
		if _, err := conn.Write(stream[:1]); err != nil {
			return
		}
		stream = stream[1:]
	}
	_, _ = conn.Write(stream)
	if random.IntN(2) == 0 { // and sees what comes of it
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = conn.Read(make([]byte, 4096))
	}
}

// occupy opens connections that stay: some send nothing, some records of a megabyte without end, and
// some calls whose replies they do not receive.
func occupy(t *testing.T, addr string) {
	open := func(host byte) *net.TCPConn {
		conn, err := hostileDial(addr, host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for range hostileIdle {
		open(10)
	}
	almost := record(make([]byte, maxRecord))
	almost = almost[:len(almost)-1]
	for i := range hostileSlow {
		conn := open(11)
		at := 4 + 1000*i
		if i%2 == 0 {
			at = len(almost)
		}
		go func() {
			_, _ = conn.Write(almost[:at])
			for ; at < len(almost); at++ {
				time.Sleep(50 * time.Millisecond)
				if _, err := conn.Write(almost[at : at+1]); err != nil {
					return
				}
			}
		}()
	}
	calls := bytes.Repeat(record(header(1, 2)), 200)
	for range hostileDeaf {
		conn := open(12)
		_ = conn.SetReadBuffer(4096)
		go func() { _, _ = conn.Write(calls) }()
	}
}

// behave makes calls until its context ends, and returns how many. Each has to be answered right, and all
// but one in a hundred within a second, or a little more where the machine is slow: the time that it
// takes to do as much without a server of ours is added, and that until a datagram that was lost is sent
// again.
func behave(ctx context.Context, conn net.Conn, slowness *atomic.Int64) (calls int, longest time.Duration, err error) {
	limit, late := time.Second, 0
	if conn.LocalAddr().Network() == "udp" {
		limit += 3 * resend
	}
	random := rand.New(rand.NewPCG(3, 4))
	args := make([]byte, 4000)
	for ctx.Err() == nil {
		binary.BigEndian.PutUint64(args, random.Uint64())
		want := args[:8+4*random.IntN(900)]
		began := time.Now()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		got, err := Exchange(within, conn, echoHeader, want)
		cancel()
		took := time.Since(began)
		longest = max(longest, took)
		if err != nil || !bytes.Equal(got, want) {
			return calls, longest, fmt.Errorf("%d bytes, %w after %v", len(got), err, took)
		}
		calls++
		if took > limit+3*time.Duration(slowness.Load()) {
			late++
		}
		time.Sleep(time.Millisecond)
	}
	if late > calls/100 {
		return calls, longest, fmt.Errorf("%d of the replies came late", late)
	}
	return calls, longest, nil
}

// measureSlowness finds the longest time that a byte takes over a connection and back.
func measureSlowness(ctx context.Context, t *testing.T, longest *atomic.Int64) {
	here, there := tcpPair(t)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(there, there) }()
	defer func() { _ = here.Close(); <-done }()
	for b := make([]byte, 1); ctx.Err() == nil; time.Sleep(time.Millisecond) {
		began := time.Now()
		_, _ = here.Write(b)
		if _, err := here.Read(b); err != nil {
			t.Error(err)
			return
		}
		if took := int64(time.Since(began)); took > longest.Load() {
			longest.Store(took)
		}
	}
}

// resident is what the process has taken from the system, and not given back.
func resident() int {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// inUse is what is left of it when the garbage is gone.
func inUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

// TestHostileClients has a server attacked from all sides, while others use it as it is meant.
func TestHostileClients(t *testing.T) {
	opts := testOptions(t, procs{1: echo, 2: func(_ *Call, reply []byte) ([]byte, Status) {
		return append(reply, megabyte[:64<<10]...), Success
	}})
	opts.Logger = slog.New(slog.DiscardHandler)
	stranger := netip.AddrFrom4([4]byte{127, 0, 0, hostileStranger})
	opts.Allowed = func(addr netip.Addr) bool { return addr != stranger }
	s := start(t, "127.0.0.1:0", opts)

	debug.FreeOSMemory()
	before, residentBefore := inUse(), resident()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer func() { cancel(); group.Wait() }()
	var slowness atomic.Int64
	group.Go(func() { measureSlowness(ctx, t, &slowness) })
	for range 2 {
		for network, conn := range exchangeConns(t, s) {
			group.Go(func() {
				calls, longest, err := behave(ctx, conn, &slowness)
				if err != nil || calls < 100 {
					t.Errorf("%s: a client that behaves makes %d calls: %v", network, calls, err)
				}
				t.Logf("%s: %d calls, of which the longest took %v", network, calls, longest)
			})
		}
	}
	most := 0
	peak := make(chan struct{})
	group.Go(func() {
		defer close(peak)
		for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
			most = max(most, resident())
		}
	})
	began := time.Now()
	stop := startAttack(t, s)
	t.Logf("%d records in %v; connections: %v", hostileRecords, time.Since(began), s.Connections())
	after := inUse()
	c := dial(t, s)
	if got := c.expect(c.send(1, "still alive")); string(got) != "still alive" {
		t.Errorf("a new client gets %q", got)
	}
	cancel()
	receive(t, peak)
	t.Logf("a byte takes at most %v to another connection's end and back", time.Duration(slowness.Load()))
	stop()
	t.Logf("%d KiB were in use, and then %d KiB more; at most %d KiB more were taken from the system",
		before>>10, (after-before)>>10, (most-residentBefore)>>10)
	if grown := max(after-before, most-residentBefore); grown > hostileMemory {
		t.Errorf("the memory grows by %d MiB, want at most %d", grown>>20, hostileMemory>>20)
	}
}

// startAttack returns when all records were sent. What occupies the server goes on until stop is called.
func startAttack(t *testing.T, s *Server) (stop func()) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestAttack$")
	cmd.Env = append(os.Environ(), attackAddress+"="+s.Addr().String())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	go func() {
		b := make([]byte, 1000)
		n, _ := out.Read(b)
		said <- string(b[:n])
		_, _ = io.Copy(io.Discard, out)
	}()
	stop = sync.OnceFunc(func() {
		_ = in.Close()
		defer time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }).Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the attacker: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case got := <-said:
		if !strings.HasPrefix(got, "attacked") {
			t.Errorf("the attacker says %q", got)
		}
	case <-time.After(3 * patience):
		t.Error("the attack does not end")
	}
	return stop
}
