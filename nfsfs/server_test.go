package nfsfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/willscott/go-nfs-client/nfs"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The test's client never ends the goroutine that tends its cache.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/willscott/go-nfs-client/nfs.(*Target).cleanupCache"))
}

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
		{"MOUNT EXPORT", 100005, 3, 5, nil, accepted(0, 1, 1, 0x2f000000, 0, 1, 6, 0x2f66696c, 0x6d730000, 0, 0)},
		{"MOUNT procedure 6", 100005, 3, 6, nil, accepted(3)},
		{"GETATTR without a handle", 100003, 3, getattr, nil, accepted(4)},
		{"GETATTR of a handle of 2^32-16 bytes", 100003, 3, getattr, []byte{0xff, 0xff, 0xff, 0xf0}, accepted(4)},
		{"MNT of a path of 2^32-1 bytes", 100005, 3, procMount, []byte{0xff, 0xff, 0xff, 0xff}, accepted(4)},
		{"LOOKUP of a name of 2^31 bytes", 100003, 3, procLookup, append(opaque(make([]byte, 32)), 0x80, 0, 0, 0), accepted(4)},
		{"WRITE of 2^32-1 bytes", 100003, 3, procWrite, append(opaque(make([]byte, 32)), 0xff, 0xff, 0xff, 0xff), accepted(4)},
		{"RENAME of nothing", 100003, 3, procRename, nil, accepted(4)},
		{"LINK of nothing", 100003, 3, procLink, nil, accepted(4)},
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
		"10.1.2.3": true, "11.0.0.1": false, "::ffff:10.0.0.1": true, "fe80::1%eth0": true,
		"::1": true, "2001:db8::1": false,
	} {
		if got := s.allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is allowed: %v, want %v", addr, got, want)
		}
	}
}

func TestMountAndRead(t *testing.T) {
	s := start(t, options(t, testTree(t, newStuck())))
	for base, path := range map[string]string{
		"/": "films/a torrent/ready.txt", "/films": "a torrent/ready.txt", "/films/a torrent": "ready.txt", "": "films/a torrent/ready.txt",
	} {
		target, err := mountPath(t, s, base)
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
		if _, err := mountPath(t, s, path); err == nil {
			t.Errorf("%q was mounted", path)
		}
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
	if _, got := w.receive(); !slices.Equal(got[:7], accepted(0, nfsJukebox, 1)) {
		t.Errorf("the READ that waited: %v, want NFS3ERR_JUKEBOX", got)
	}
	if _, err := w.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("afterwards: %v, want the end of the connection", err)
	}
}

// TestRestart uses handles of one server with the next.
func TestRestart(t *testing.T) {
	before := start(t, options(t, testTree(t, newStuck())))
	target, err := mountPath(t, before, "/films")
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
	target, err := mountPath(t, s, "/films/a torrent")
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
	long := bytes.Repeat([]byte("x"), maxRead+64<<10+1)
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
