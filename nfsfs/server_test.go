package nfsfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	client "github.com/willscott/go-nfs-client/nfs"
	nfsrpc "github.com/willscott/go-nfs-client/nfs/rpc"
	"go.uber.org/goleak"

	"shoal/nfsfs/rpc"
	"shoal/tree"
)

func TestMain(m *testing.M) {
	// The test's client never ends the goroutine that tends its cache.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/willscott/go-nfs-client/nfs.(*Target).cleanupCache"))
}

// text is content that is there at once.
type text string

func (s text) Ready(int64, int) bool { return true }

func (s text) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	return strings.NewReader(string(s)).ReadAt(p, off)
}

// stuck is content that never comes. The begin and the end of each read is announced.
type stuck struct{ reads, ends chan struct{} }

func (s stuck) Ready(int64, int) bool { return false }

func (s stuck) ReadAt(ctx context.Context, _ []byte, _ int64) (int, error) {
	s.reads <- struct{}{}
	<-ctx.Done()
	s.ends <- struct{}{}
	return 0, ctx.Err()
}

func newStuck() *stuck {
	return &stuck{reads: make(chan struct{}, 1000), ends: make(chan struct{}, 1000)}
}

// testTree has a route with a torrent of a file that is there, one that never comes, and many more.
func testTree(t testing.TB, never *stuck) *tree.Tree {
	t.Helper()
	tr := tree.New(time.Unix(1_700_000_000, 0))
	if err := tr.PutRoute(tree.Route{ID: 2, Name: "films"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	err := tr.PutTorrent(tree.Torrent{
		Infohash: tree.Infohash{1}, Route: 2, Name: "a torrent", FirstID: 10, ModTime: time.Unix(1_600_000_000, 0),
		Files: func() ([]tree.File, error) {
			files := []tree.File{
				{Path: []string{"ready.txt"}, Size: int64(len(readyText)), Index: 0, Content: text(readyText)},
				{Path: []string{"stuck.bin"}, Size: 1 << 40, Index: 1, Content: never},
			}
			for i := range 500 {
				name := fmt.Sprintf("f%03d", i)
				files = append(files, tree.File{Path: []string{"many", name}, Size: 4, Index: i + 2, Content: text(name)})
			}
			return files, nil
		},
	}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

const readyText = "verified bytes"

func options(t testing.TB, tr *tree.Tree) Options {
	return Options{
		Tree: tr, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ReadWait: time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// start serves until the test ends.
func start(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Listen("127.0.0.1:0", opts)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// wire is a client's connection, at the level of records.
type wire struct {
	t    testing.TB
	conn net.Conn
	xid  uint32
}

func dial(t testing.TB, s *Server) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, conn: conn}
}

// send sends a call, and returns its xid.
func (w *wire) send(program, version, proc uint32, args []byte) uint32 {
	w.t.Helper()
	w.xid++
	call := rpc.AppendCall(nil, rpc.Call{XID: w.xid, Program: program, Ver: version, Proc: proc})
	if err := rpc.WriteRecord(w.conn, append(call, args...)); err != nil {
		w.t.Fatal(err)
	}
	return w.xid
}

// receive returns a reply from its message type on, and its xid.
func (w *wire) receive() (uint32, []uint32) {
	w.t.Helper()
	b, err := rpc.ReadRecord(w.conn, 1<<22)
	if err != nil {
		w.t.Fatal(err)
	}
	words := make([]uint32, len(b)/4)
	for i := range words {
		words[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return words[0], words[1:]
}

func (w *wire) call(program, version, proc uint32, args []byte) []uint32 {
	w.t.Helper()
	want := w.send(program, version, proc, args)
	got, reply := w.receive()
	if got != want {
		w.t.Fatalf("a reply to call %d came instead of one to %d", got, want)
	}
	return reply
}

func opaque(b []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	return append(append(out, b...), make([]byte, rpc.Padded(len(b))-len(b))...)
}

func handleOf(t testing.TB, tr *tree.Tree, path ...string) []byte {
	t.Helper()
	n, err := tr.Walk(path...)
	if err != nil {
		t.Fatal(err)
	}
	h := n.Handle()
	return h[:]
}

func encodeRead(handle []byte, off uint64, count uint32) []byte {
	b := binary.BigEndian.AppendUint64(opaque(handle), off)
	return binary.BigEndian.AppendUint32(b, count)
}

// accepted is how the reply to a call begins that was accepted with a status.
func accepted(stat uint32, more ...uint32) []uint32 {
	return append([]uint32{1, 0, 0, 0, stat}, more...)
}

const (
	nfsOK    = 0
	nfsStale = 70
	getattr  = 1
)

func TestScreening(t *testing.T) {
	s := start(t, options(t, testTree(t, newStuck())))
	w := dial(t, s)
	tests := []struct {
		what                   string
		program, version, proc uint32
		args                   []byte
		want                   []uint32
	}{
		{"NFS NULL", 100003, 3, 0, nil, accepted(0)},
		{"MOUNT NULL", 100005, 3, 0, nil, accepted(0)},
		{"NFSv4 NULL, as mount(8) tries first", 100003, 4, 0, nil, accepted(2, 3, 3)},
		{"NFSv4 COMPOUND", 100003, 4, 1, nil, accepted(2, 3, 3)},
		{"NFSv2", 100003, 2, 1, nil, accepted(2, 3, 3)},
		{"NFSACL, which Linux asks for", 100227, 3, 0, nil, accepted(1)},
		{"NFS procedure 22", 100003, 3, 22, nil, accepted(3)},
		{"MOUNT EXPORT", 100005, 3, 5, nil, accepted(3)},
		{"GETATTR without a handle", 100003, 3, getattr, nil, accepted(4)},
		{"GETATTR of a handle of 2^32-16 bytes", 100003, 3, getattr, []byte{0xff, 0xff, 0xff, 0xf0}, accepted(4)},
		{"MNT of a path of 2^32-1 bytes", 100005, 3, procMount, []byte{0xff, 0xff, 0xff, 0xff}, accepted(4)},
		{"LOOKUP of a name of 2^31 bytes", 100003, 3, procLookup, append(opaque(make([]byte, 32)), 0x80, 0, 0, 0), accepted(4)},
		{"WRITE of 2^32-1 bytes", 100003, 3, procWrite, append(opaque(make([]byte, 32)), 0xff, 0xff, 0xff, 0xff), accepted(0, nfsReadOnly, 0, 0)},
		{"RENAME", 100003, 3, procRename, nil, accepted(0, nfsReadOnly, 0, 0, 0, 0)},
		{"LINK", 100003, 3, procLink, nil, accepted(0, nfsReadOnly, 0, 0, 0)},
		{"READ cut off", 100003, 3, procRead, opaque(make([]byte, 32)), accepted(4)},
		{"GETATTR of no handle of ours", 100003, 3, getattr, opaque(make([]byte, 32)), accepted(0, nfsStale)},
	}
	for _, test := range tests {
		got := w.call(test.program, test.version, test.proc, test.args)
		if !slices.Equal(got[:min(len(got), len(test.want))], test.want) {
			t.Errorf("%s: %v, want %v", test.what, got, test.want)
		}
	}
}

func TestAllowList(t *testing.T) {
	tr := testTree(t, newStuck())
	opts := options(t, tr)
	opts.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	w := dial(t, start(t, opts))
	if got, want := w.call(100005, 3, procMount, opaque([]byte("/"))), accepted(0, mountAccess); !slices.Equal(got, want) {
		t.Errorf("MNT: %v, want MNT3ERR_ACCES, %v", got, want)
	}
	if got, want := w.call(100003, 3, getattr, opaque(handleOf(t, tr))), []uint32{1, 1, 1, 5}; !slices.Equal(got, want) {
		t.Errorf("GETATTR: %v, want AUTH_TOOWEAK, %v", got, want)
	}
	if got := w.call(100003, 3, 0, nil); !slices.Equal(got, accepted(0)) {
		t.Errorf("NULL: %v, want success: it tells nothing", got)
	}
}

func TestAllows(t *testing.T) {
	s := &Server{opts: Options{Allow: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
	}}}
	for addr, want := range map[string]bool{
		"10.1.2.3:700": true, "11.0.0.1:1": false, "[::ffff:10.0.0.1]:1": true, "[fe80::1%eth0]:1": true,
		"[::1]:1": true, "[2001:db8::1]:1": false, "nonsense": false,
	} {
		if got := s.allows(textAddr(addr)); got != want {
			t.Errorf("%s is allowed: %v, want %v", addr, got, want)
		}
	}
}

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }

// mount mounts path with a client that nobody here wrote.
func mount(t testing.TB, s *Server, path string) (*client.Target, error) {
	t.Helper()
	c, err := nfsrpc.DialTCP("tcp", s.Addr().String(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	m := client.Mount{Client: c}
	target, err := m.Mount(path, nfsrpc.AuthNull)
	if err == nil {
		t.Cleanup(target.Close)
	}
	return target, err
}

func TestMountAndRead(t *testing.T) {
	s := start(t, options(t, testTree(t, newStuck())))
	for base, path := range map[string]string{
		"/": "films/a torrent/ready.txt", "/films": "a torrent/ready.txt", "/films/a torrent": "ready.txt", "": "films/a torrent/ready.txt",
	} {
		target, err := mount(t, s, base)
		if err != nil {
			t.Errorf("mount %q: %v", base, err)
			continue
		}
		f, err := target.Open(path)
		if err != nil {
			t.Errorf("mounted %q, open %q: %v", base, path, err)
			continue
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != readyText {
			t.Errorf("mounted %q, read %q: %q, %v", base, path, got, err)
		}
		list, err := target.ReadDirPlus(strings.TrimSuffix(path, "ready.txt") + "many")
		if err != nil {
			t.Errorf("mounted %q, list: %v", base, err)
		}
		if got := len(slices.DeleteFunc(list, func(e *client.EntryPlus) bool { return !strings.HasPrefix(e.FileName, "f") })); got != 500 {
			t.Errorf("mounted %q: %d files are listed, want 500", base, got)
		}
	}
	for _, path := range []string{"/nothing", "/films/a torrent/ready.txt", "/films/../films/x"} {
		if _, err := mount(t, s, path); err == nil {
			t.Errorf("%q was mounted", path)
		}
	}
}

func TestReadClips(t *testing.T) {
	tr := testTree(t, newStuck())
	w := dial(t, start(t, options(t, tr)))
	h := handleOf(t, tr, "films", "a torrent", "ready.txt")
	tests := []struct {
		off   uint64
		count uint32
		want  string
		eof   uint32
	}{
		{0, 1000, readyText, 1},
		{0, uint32(len(readyText)), readyText, 1},
		{0, 4, readyText[:4], 0},
		{4, 1 << 31, readyText[4:], 1},
		{uint64(len(readyText)), 10, "", 1},
		{1 << 62, 10, "", 1},
		{1<<63 + 3, 10, "", 1},
		{1<<64 - 1, 1<<32 - 1, "", 1},
		{3, 0, "", 0},
	}
	for _, test := range tests {
		reply := w.call(100003, 3, procRead, encodeRead(h, test.off, test.count))
		if got := reply[:6]; !slices.Equal(got, accepted(0, nfsOK)) {
			t.Errorf("%d bytes at %d: %v, want success", test.count, test.off, got)
			continue
		}
		// After the status: attributes (a flag and 21 words), count, eof, length, data.
		count, eof, length := reply[28], reply[29], reply[30]
		var data []byte
		for _, word := range reply[31:] {
			data = binary.BigEndian.AppendUint32(data, word)
		}
		if got := string(data[:length]); count != length || got != test.want || eof != test.eof {
			t.Errorf("%d bytes at %d: %q (count %d, eof %d), want %q, eof %d",
				test.count, test.off, got, count, eof, test.want, test.eof)
		}
	}
}

// TestSlowReadDelaysNothing lets READs wait for data that never comes, on the connection that other
// calls use.
func TestSlowReadDelaysNothing(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	w := dial(t, start(t, options(t, tr)))
	slow := handleOf(t, tr, "films", "a torrent", "stuck.bin")
	waiting := make(map[uint32]bool)
	for range maxConnReads {
		waiting[w.send(100003, 3, procRead, encodeRead(slow, 0, 4096))] = true
	}
	for range maxConnReads {
		<-never.reads
	}
	ready := handleOf(t, tr, "films", "a torrent", "ready.txt")
	for range 100 {
		if got := w.call(100003, 3, getattr, opaque(ready)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
			t.Fatalf("GETATTR: %v", got)
		}
	}
	if got := w.call(100003, 3, procRead, encodeRead(ready, 0, 10)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
		t.Errorf("a READ of what is there: %v, want success", got)
	}
	// One READ more than may wait is told to come again.
	if got, want := w.call(100003, 3, procRead, encodeRead(slow, 0, 10)), accepted(0, nfsJukebox, 0); !slices.Equal(got, want) {
		t.Errorf("one READ more: %v, want NFS3ERR_JUKEBOX, %v", got, want)
	}
}

func TestReadWait(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	opts := options(t, tr)
	opts.ReadWait = 20 * time.Millisecond
	w := dial(t, start(t, opts))
	slow := handleOf(t, tr, "films", "a torrent", "stuck.bin")
	if got, want := w.call(100003, 3, procRead, encodeRead(slow, 0, 10)), accepted(0, nfsJukebox, 0); !slices.Equal(got, want) {
		t.Errorf("a READ that takes too long: %v, want NFS3ERR_JUKEBOX, %v", got, want)
	}
	<-never.ends // nothing waits for a READ that was answered
}

// TestDisconnectEndsReads hangs up while READs wait.
func TestDisconnectEndsReads(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	w := dial(t, start(t, options(t, tr)))
	for range 3 {
		w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "stuck.bin"), 0, 10))
		<-never.reads
	}
	if err := w.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-never.ends
	}
}

// TestReadsThatComeInTime has READs that are given up just as their data comes, beside others that must
// not be harmed by that.
func TestReadsThatComeInTime(t *testing.T) {
	const wait = 5 * time.Millisecond
	tr := testTree(t, newStuck())
	for i, name := range []string{"late", "quick"} {
		took := []time.Duration{wait, wait / 4}[i]
		err := tr.PutTorrent(tree.Torrent{
			Infohash: tree.Infohash{byte(10 + i)}, Route: 2, Name: name, FirstID: uint64(1000 * (i + 1)), IsFile: true, Size: 10,
			Files: func() ([]tree.File, error) { return []tree.File{{Size: 10, Content: slow(took)}}, nil },
		}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
	}
	opts := options(t, tr)
	opts.ReadWait = wait
	s := start(t, opts)
	var wg sync.WaitGroup
	for _, name := range []string{"late", "quick"} {
		h := handleOf(t, tr, "films", name)
		for range 8 {
			w := dial(t, s)
			wg.Go(func() {
				for range 50 {
					w.send(100003, 3, procRead, encodeRead(h, 0, 10))
					if _, got := w.receive(); got[5] != nfsOK && got[5] != nfsJukebox {
						t.Errorf("%s: status %d, want success or NFS3ERR_JUKEBOX", name, got[5])
					}
				}
			})
		}
	}
	wg.Wait()
}

// slow is content that takes its time, or less if it is given up.
type slow time.Duration

func (slow) Ready(int64, int) bool { return false }

func (s slow) ReadAt(ctx context.Context, p []byte, _ int64) (int, error) {
	select {
	case <-time.After(time.Duration(s)):
		return len(p), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// TestCloseBesideDeafClient has a client that does not receive what it asked for.
func TestCloseBesideDeafClient(t *testing.T) {
	tr := benchTree(t)
	s := start(t, options(t, tr))
	w := dial(t, s)
	for range 64 {
		w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "r", "f"), 0, maxRead))
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*closeTime {
		t.Errorf("closing took %v, want about %v", took, closeTime)
	}
}

func TestCloseAnswersReads(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	s := start(t, options(t, tr))
	w := dial(t, s)
	w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "stuck.bin"), 0, 10))
	<-never.reads
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got := w.receive(); !slices.Equal(got, accepted(0, nfsJukebox, 0)) {
		t.Errorf("the READ that waited: %v, want NFS3ERR_JUKEBOX", got)
	}
	if _, err := w.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("afterwards: %v, want the end of the connection", err)
	}
}

// TestRestart uses handles of one server with the next.
func TestRestart(t *testing.T) {
	before := start(t, options(t, testTree(t, newStuck())))
	target, err := mount(t, before, "/films")
	if err != nil {
		t.Fatal(err)
	}
	_, h, err := target.Lookup("a torrent/many/f007")
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	w := dial(t, start(t, options(t, testTree(t, newStuck()))))
	if got := w.call(100003, 3, procRead, encodeRead(h, 0, 10)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
		t.Errorf("READ with a handle of before: %v", got)
	}
}

func TestNothingCanBeChanged(t *testing.T) {
	tr := testTree(t, newStuck())
	s := start(t, options(t, tr))
	target, err := mount(t, s, "/films/a torrent")
	if err != nil {
		t.Fatal(err)
	}
	_, mkdirErr := target.Mkdir("new", 0o755)
	_, createErr := target.Create("new", 0o644)
	for what, err := range map[string]error{
		"mkdir": mkdirErr, "create": createErr, "remove": target.Remove("ready.txt"), "rmdir": target.RmDir("many"),
	} {
		var nfsErr *client.Error
		if !errors.As(err, &nfsErr) || nfsErr.ErrorNum != nfsReadOnly {
			t.Errorf("%s: %v, want NFS3ERR_ROFS", what, err)
		}
	}
}

// TestHostileRecords sends what is no call. The server hangs up, and goes on serving others.
func TestHostileRecords(t *testing.T) {
	s := start(t, options(t, testTree(t, newStuck())))
	long := bytes.Repeat([]byte("x"), maxRecord+1)
	for what, b := range map[string][]byte{
		"HTTP":             []byte("GET / HTTP/1.1\r\n\r\n"),
		"a reply":          []byte("\x80\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00\x01"),
		"too long":         append(binary.BigEndian.AppendUint32(nil, 1<<31|uint32(len(long))), long...),
		"empty fragments":  make([]byte, 4000),
		"2 GiB":            []byte("\xff\xff\xff\xff"),
		"a short call":     []byte("\x80\x00\x00\x04\x00\x00\x00\x01"),
		"an empty record":  []byte("\x80\x00\x00\x00"),
		"a long verifier":  append([]byte("\x80\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02"), append(make([]byte, 24), 0xff, 0xff, 0xff, 0xff)...),
		"nothing but ones": bytes.Repeat([]byte{0xff}, 1000),
	} {
		w := dial(t, s)
		_, _ = w.conn.Write(b) // the server may hang up before all of it is sent
		// The server hangs up by itself; in the middle of what it does not want to read, with a reset.
		if got, err := io.ReadAll(w.conn); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %d bytes of answer, then %v; want the end of the connection", what, len(got), err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := Ping(ctx, s.Addr().String()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestPing(t *testing.T) {
	s := start(t, options(t, testTree(t, newStuck())))
	if err := Ping(t.Context(), s.Addr().String()); err != nil {
		t.Errorf("a server: %v", err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Ping(ctx, silent.Addr().String()); err == nil {
		t.Error("a port that does not answer passed")
	}
	_ = silent.Close()
	if err := Ping(t.Context(), silent.Addr().String()); err == nil {
		t.Error("a closed port passed")
	}
}

func FuzzScreen(f *testing.F) {
	tr := testTree(f, newStuck())
	f.Add(uint32(100003), uint32(3), uint32(6), encodeRead(handleOf(f, tr), 1<<63, 1<<31))
	f.Add(uint32(100003), uint32(3), uint32(1), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(100005), uint32(3), uint32(1), opaque([]byte("/")))
	f.Fuzz(func(t *testing.T, program, version, proc uint32, args []byte) {
		c := &connection{allowed: true}
		record := append(rpc.AppendCall(nil, rpc.Call{Program: program, Ver: version, Proc: proc}), args...)
		call, err := rpc.ParseCall(record)
		if err != nil {
			t.Fatal(err)
		}
		if reply, pass := c.screen(call, record); pass == (reply != nil) {
			t.Errorf("passed on: %v, with the reply %x", pass, reply)
		}
	})
}
