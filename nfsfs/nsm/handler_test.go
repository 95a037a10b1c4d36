package nsm

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type restart struct {
	client netip.Addr
	name   string
	state  uint32
}

// serve starts a status monitor on a loopback address. Restarts that it is told of go to told.
func serve(t *testing.T, told chan<- restart) (h *Handler, addr string) {
	t.Helper()
	h = New(func(client netip.Addr, name string, state uint32) { told <- restart{client, name, state} })
	s, err := rpc.Listen("127.0.0.1:0", rpc.Options{
		Services: []rpc.Service{{Program: Program, Versions: []uint32{Version}, Handler: h}},
		Allowed:  func(netip.Addr) bool { return true },
		Logger:   slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return h, s.Addr().String()
}

func TestProcedures(t *testing.T) {
	told := make(chan restart, 10)
	h, addr := serve(t, told)
	if h.State()%2 != 1 || int32(h.State()) < 1 {
		t.Errorf("state %d, want one that is odd and positive", h.State())
	}
	words := func(v ...uint32) []byte { return xdr.AppendWords(nil, v...) }
	text := func(s string) []byte { return xdr.AppendOpaque(nil, s) }
	join := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	me := join(text("tv"), words(100021, 4, 16))
	tests := []struct {
		proc uint32
		args []byte
		want []byte // nil: the arguments are malformed, or there is no such procedure
	}{
		{procNull, nil, []byte{}},
		{procStat, text("nas"), words(failed, h.State())},
		{procStat, nil, nil},
		{procStat, text(strings.Repeat("x", maxString+1)), nil},
		{procMon, join(text("nas"), me, make([]byte, privateSize)), words(failed, h.State())},
		{procMon, join(text("nas"), me), nil},
		{procUnmon, join(text("nas"), me), words(h.State())},
		{procUnmon, text("nas"), nil},
		{procUnmonAll, me, words(h.State())},
		{procUnmonAll, text("nas"), nil},
		{procSimuCrash, nil, []byte{}},
		{procNotify, join(text("tv"), words(7)), []byte{}},
		{procNotify, text("tv"), nil},
		{7, nil, nil},
	}
	for _, network := range []string{"tcp", "udp"} {
		conn, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, test := range tests {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			header := rpc.Header{Program: Program, Version: Version, Proc: test.proc}
			got, err := rpc.Exchange(ctx, conn, header, test.args)
			cancel()
			if (err == nil) != (test.want != nil) || !bytes.Equal(got, test.want) {
				t.Errorf("%s, procedure %d: %x, %v; want %x", network, test.proc, got, err, test.want)
			}
		}
		select {
		case got := <-told:
			if want := (restart{netip.MustParseAddr("127.0.0.1"), "tv", 7}); got != want {
				t.Errorf("%s: told of %v, want %v", network, got, want)
			}
		default:
			t.Errorf("%s: not told of a restart", network)
		}
		if len(told) > 0 {
			t.Errorf("%s: told of %d restarts more", network, len(told))
		}
	}
}

func FuzzServe(f *testing.F) {
	for proc := range uint32(8) {
		f.Add(proc, []byte("\x00\x00\x00\x02tv\x00\x00\x00\x00\x00\x02tv\x00\x00\x00\x01\x86\xb5\x00\x00\x00\x04\x00\x00\x00\x10"))
	}
	f.Fuzz(func(t *testing.T, proc uint32, args []byte) {
		h := New(func(_ netip.Addr, name string, _ uint32) {
			if !bytes.Contains(args, []byte(name)) {
				t.Errorf("told of %q", name)
			}
		})
		call := rpc.Call{Header: rpc.Header{Program: Program, Version: Version, Proc: proc}, Args: args}
		reply, status := h.Serve(&call, nil)
		if status == rpc.Success && len(reply) > 8 {
			t.Errorf("a result of %d bytes", len(reply))
		}
	})
}
