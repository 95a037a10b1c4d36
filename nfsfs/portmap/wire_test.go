package portmap

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// replyTime is how long a reply may take before a test fails.
const replyTime = 10 * time.Second

// programs are those that tests register. NFS is not served over UDP.
var programs = []Mapping{
	{100003, 3, TCP, 2049},
	{100005, 1, TCP, 20048},
	{100005, 1, UDP, 20049},
	{100005, 3, TCP, 20048},
	{100005, 3, UDP, 20049},
	{100021, 4, UDP, 2049},
}

// listen serves at an address until the end of the test.
func listen(tb testing.TB, addr string, allowed bool, services ...rpc.Service) netip.AddrPort {
	tb.Helper()
	s, err := rpc.Listen(addr, rpc.Options{
		Services: services,
		Allowed:  func(netip.Addr) bool { return allowed },
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close the server: %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return s.Addr().AddrPort()
}

// connect returns a connection to addr, until the end of the test.
func connect(tb testing.TB, network string, addr netip.AddrPort) net.Conn {
	tb.Helper()
	conn, err := net.Dial(network, addr.String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(replyTime)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// exchange makes a call and returns how it ended: Dropped if a NULL that was sent behind it is answered
// first.
func exchange(tb testing.TB, conn net.Conn, h rpc.Header, args []byte) (rpc.Status, []byte) {
	tb.Helper()
	const first, second = 1, 2
	h.XID = first
	send(tb, conn, append(rpc.AppendCall(nil, h), args...))
	send(tb, conn, rpc.AppendCall(nil, rpc.Header{XID: second, Program: Program, Version: version2}))
	status, result := rpc.Dropped, []byte(nil)
	for {
		reply := receive(tb, conn)
		switch xid := binary.BigEndian.Uint32(reply); xid {
		case first:
			status, result = parseReply(tb, reply)
		case second:
			return status, result
		default:
			tb.Fatalf("a reply to call %d, which was not made", xid)
		}
	}
}

func send(tb testing.TB, conn net.Conn, call []byte) {
	tb.Helper()
	var err error
	if _, packets := conn.(net.PacketConn); packets {
		_, err = conn.Write(call)
	} else {
		err = rpc.WriteRecord(conn, call)
	}
	if err != nil {
		tb.Fatalf("send a call: %v", err)
	}
}

func receive(tb testing.TB, conn net.Conn) []byte {
	tb.Helper()
	if _, packets := conn.(net.PacketConn); !packets {
		reply, err := rpc.ReadRecord(conn, 1<<16)
		if err != nil {
			tb.Fatalf("receive a reply: %v", err)
		}
		return reply
	}
	b := make([]byte, 1<<16)
	n, err := conn.Read(b)
	if err != nil {
		tb.Fatalf("receive a reply: %v", err)
	}
	return b[:n]
}

// parseReply returns what is behind the XID.
func parseReply(tb testing.TB, reply []byte) (rpc.Status, []byte) {
	tb.Helper()
	d := xdr.NewDecoder(reply)
	d.Uint64()
	if denied := d.Uint32(); denied != 0 {
		if reason, auth := d.Uint32(), d.Uint32(); reason != 1 || auth != 5 {
			tb.Fatalf("the call was denied for %d, %d; want 1, 5 (AUTH_TOOWEAK) if at all", reason, auth)
		}
		return rpc.TooWeak, nil
	}
	d.Uint64()
	status := rpc.Status(d.Uint32())
	if err := d.Err(); err != nil {
		tb.Fatalf("a reply of %x: %v", reply, err)
	}
	return status, d.Rest()
}

// words and str are XDR.
func words(w ...uint32) []byte { return xdr.AppendWords(nil, w...) }

func str(s string) []byte { return xdr.AppendOpaque(nil, s) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// at is the universal address of a port of the server that a test talks to.
type at uint16

// wireTest is a call and what comes back: status, and result unless it is nil. One that is an at stands
// for a universal address.
type wireTest struct {
	name          string
	version, proc uint32
	args          []byte
	status        rpc.Status
	result        any // []byte or at
}

// over runs tests over the networks of the list.
func over(t *testing.T, tests []wireTest, networks ...string) {
	t.Helper()
	handler := New(programs)
	addrs := map[bool]netip.AddrPort{
		false: listen(t, "127.0.0.1:0", true, handler.Service()),
		true:  listen(t, "[::1]:0", true, handler.Service()),
	}
	for _, network := range networks {
		addr := addrs[network[3] == '6']
		for _, test := range tests {
			t.Run(network+"/"+test.name, func(t *testing.T) {
				conn := connect(t, network, addr)
				header := rpc.Header{Program: Program, Version: test.version, Proc: test.proc}
				status, result := exchange(t, conn, header, test.args)
				if status != test.status {
					t.Fatalf("status %d, want %d", status, test.status)
				}
				want, ok := test.result.([]byte)
				if port, is := test.result.(at); is {
					want, ok = str(universal(netip.AddrPortFrom(addr.Addr(), uint16(port)))), true
				}
				if ok && !bytes.Equal(result, want) {
					t.Errorf("result\n%q, want\n%q", result, want)
				}
			})
		}
	}
}

func TestPortmapper(t *testing.T) {
	var nothing []byte
	over(t, []wireTest{
		{"NULL", 2, 0, nil, rpc.Success, nothing},
		{"SET", 2, 1, words(100099, 1, 6, 80), rpc.Success, words(0)},
		{"UNSET", 2, 2, words(100003, 3, 6, 0), rpc.Success, words(0)},
		{"GETPORT", 2, 3, words(100005, 3, 17, 0), rpc.Success, words(20049)},
		{"GETPORT of the other protocol", 2, 3, words(100005, 3, 6, 0), rpc.Success, words(20048)},
		{"GETPORT of an unknown version", 2, 3, words(100005, 7, 6, 0), rpc.Success, words(20048)},
		{"GETPORT of a protocol it is not served over", 2, 3, words(100003, 3, 17, 0), rpc.Success, words(0)},
		{"GETPORT of an unknown program", 2, 3, words(100099, 1, 6, 0), rpc.Success, words(0)},
		{"GETPORT of an unknown protocol", 2, 3, words(100003, 3, 132, 0), rpc.Success, words(0)},
		{"GETPORT cut off", 2, 3, words(100003, 3, 6), rpc.GarbageArgs, nil},
		{"CALLIT of MOUNT", 2, 5, words(100005, 1, 0, 0), rpc.Success, words(20049, 0)},
		{"CALLIT of MOUNT with arguments", 2, 5, words(100005, 1, 0, 4, 9), rpc.Success, words(20049, 0)},
		{"CALLIT of a version that is not served", 2, 5, words(100005, 2, 0, 0), rpc.Dropped, nil},
		{"CALLIT of a program that is not served over UDP", 2, 5, words(100003, 3, 0, 0), rpc.Dropped, nil},
		{"CALLIT of another program", 2, 5, words(100021, 4, 0, 0), rpc.Dropped, nil},
		{"CALLIT of the portmapper", 2, 5, words(100000, 2, 0, 0), rpc.Dropped, nil},
		{"CALLIT of another procedure", 2, 5, words(100005, 3, 1, 0), rpc.Dropped, nil},
		{"CALLIT cut off", 2, 5, words(100005, 3, 0), rpc.Dropped, nil},
		{"CALLIT of a length that is not there", 2, 5, words(100005, 3, 0, 1<<31), rpc.Dropped, nil},
		{"CALLIT with too much", 2, 5, append(words(100005, 3, 0, 8804), make([]byte, 8804)...), rpc.Dropped, nil},
		{"no procedure", 2, 6, nil, rpc.ProcedureUnavailable, nil},
		{"no version", 5, 3, nil, rpc.ProgramMismatch, words(2, 4)},
	}, "tcp4", "udp4", "tcp6", "udp6")
}

func TestPortmapperDump(t *testing.T) {
	addr := listen(t, "127.0.0.1:0", true, New(programs).Service())
	_, result := exchange(t, connect(t, "udp", addr), rpc.Header{Program: Program, Version: version2, Proc: procDump}, nil)
	want := []Mapping{
		{100000, 4, TCP, addr.Port()},
		{100000, 3, TCP, addr.Port()},
		{100000, 2, TCP, addr.Port()},
		{100000, 4, UDP, addr.Port()},
		{100000, 3, UDP, addr.Port()},
		{100000, 2, UDP, addr.Port()},
	}
	var b []byte
	for _, m := range append(want, programs...) {
		b = xdr.AppendWords(b, 1, m.Program, m.Version, uint32(m.Protocol), uint32(m.Port))
	}
	if b = xdr.AppendUint32(b, 0); !bytes.Equal(result, b) {
		t.Errorf("result\n%x, want\n%x", result, b)
	}
}

// TestStrangers is about clients that the server is not for: they learn that the program is there.
func TestStrangers(t *testing.T) {
	addr := listen(t, "127.0.0.1:0", false, New(programs).Service())
	for _, network := range []string{"tcp", "udp"} {
		for version := uint32(version2); version <= version4; version++ {
			for proc := range uint32(13) {
				want := rpc.TooWeak
				switch proc {
				case 0:
					want = rpc.Success
				case procCallIt:
					want = rpc.Dropped
				}
				header := rpc.Header{Program: Program, Version: version, Proc: proc}
				if got, _ := exchange(t, connect(t, network, addr), header, words(100005, 3, 0, 0)); got != want {
					t.Errorf("%s, version %d, procedure %d: status %d, want %d", network, version, proc, got, want)
				}
			}
		}
	}
}
