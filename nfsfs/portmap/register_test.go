package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
)

// Register and Close with a real rpcbind are tested in test/portmap. What follows is what that cannot be
// brought to do.

// nobody returns an address that nobody listens on.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// TestRegisterRefused is about servers that are there, and register nothing.
func TestRegisterRefused(t *testing.T) {
	service := func(h rpc.Handler, versions ...uint32) rpc.Service {
		return rpc.Service{Program: Program, Versions: versions, Handler: h}
	}
	for _, test := range []struct {
		name    string
		allowed bool
		service rpc.Service
		want    string
	}{
		{"a portmapper like ours", true, New(nil).Service(), "refused to register program 100003 version 3 for tcp"},
		{"one that is not for us", false, New(nil).Service(), "denied"},
		{"one without version 4", true, service(New(nil), 2, 3), "not accepted"},
		{"another program", true, rpc.Service{Program: 100003, Versions: []uint32{3}, Handler: saying(nil)}, "not accepted"},
		{"nonsense", true, service(saying("!?"), 4), "what rpcbind has registered"},
		{"no answer to SET", true, service(saying(words(0)[:4]), 4), "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			at := location{addr: listen(t, "127.0.0.1:0", test.allowed, test.service)}
			r, err := at.register(t.Context(), programs)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, ErrAbsent) {
				t.Errorf("%+v, %v; want an error with %q", r, err, test.want)
			}
		})
	}
}

func TestRegisterTaken(t *testing.T) {
	other := New([]Mapping{{100021, 4, TCP, 4045}})
	at := location{addr: listen(t, "127.0.0.1:0", true, other.Service())}
	_, err := at.register(t.Context(), programs)
	taken, ok := errors.AsType[*TakenError](err)
	if want := (TakenError{100021, 4, "tcp", 4045, owner}); !ok || *taken != want {
		t.Errorf("%v, want %+v", err, want)
	}
}

func TestRegisterAbsent(t *testing.T) {
	at := location{sockets: []string{filepath.Join(t.TempDir(), "rpcbind.sock")}, addr: nobody(t)}
	if r, err := at.register(t.Context(), programs); !errors.Is(err, ErrAbsent) {
		t.Errorf("%+v, %v; want ErrAbsent", r, err)
	}
	r := &Registration{at: at, entries: programs[0].entries()}
	for range 2 {
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("close: %v, want nil, as nothing is registered any more", err)
		}
	}
}

// TestRegisterSilence is about an rpcbind that takes connections and hangs.
func TestRegisterSilence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rpcbind.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	at := location{sockets: []string{path}, addr: nobody(t)}
	if r, err := at.register(ctx, programs); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("register: %+v, %v; want an error that the time is up", r, err)
	}
	r := &Registration{at: at, entries: programs[0].entries()}
	if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || len(r.entries) == 0 {
		t.Errorf("close: %v, want an error that the time is up, and to know what is registered", err)
	}
}
