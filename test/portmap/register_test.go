//go:build linux

package portmap_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"shoal/nfsfs/portmap"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
)

const socket = "/run/rpcbind.sock"

// startRpcbind starts the rpcbind of Debian, until the function that it returns is called.
func startRpcbind(t *testing.T) (stop func()) {
	t.Helper()
	if err := os.MkdirAll("/run/rpcbind", 0o755); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, "rpcbind", "-f")
	eventually(t, "rpcbind", func() bool {
		_, err := try(t, "rpcinfo", "-p", "127.0.0.1")
		_, missing := os.Stat(socket)
		return err == nil && missing == nil
	})
	return stop
}

// registered returns what rpcinfo says is registered in versions 2 and 4.
func registered(t *testing.T) (version2, version4 []string) {
	t.Helper()
	return table(run(t, "rpcinfo", "-p", "127.0.0.1"), 4), table(run(t, "rpcinfo", "127.0.0.1"), 4)
}

// with returns rows and more, sorted.
func with(rows []string, more ...string) []string {
	return slices.Sorted(slices.Values(append(slices.Clone(rows), more...)))
}

// set registers a program in the way of old, as some other server.
func set(t *testing.T, m portmap.Mapping) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	args := xdr.AppendWords(nil, m.Program, m.Version, uint32(m.Protocol), uint32(m.Port))
	result, err := rpc.Exchange(t.Context(), conn, rpc.Header{Program: portmap.Program, Version: 2, Proc: 1}, args)
	if d := xdr.NewDecoder(result); err != nil || !d.Bool() {
		t.Fatalf("SET: %v, %x", err, result)
	}
}

func register(t *testing.T, mappings []portmap.Mapping) *portmap.Registration {
	t.Helper()
	r, err := portmap.Register(t.Context(), mappings)
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	return r
}

func unregister(t *testing.T, r *portmap.Registration) {
	t.Helper()
	if err := r.Close(t.Context()); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// TestRegister registers with the rpcbind of Debian, over its socket and without.
func TestRegister(t *testing.T) {
	if !inside(t) {
		return
	}
	if r, err := portmap.Register(t.Context(), mappings); !errors.Is(err, portmap.ErrAbsent) {
		t.Errorf("without rpcbind: %v, %v; want ErrAbsent", r, err)
	}
	stop := startRpcbind(t)
	servePrograms(t)
	before2, before4 := registered(t)
	for _, way := range []string{"socket", "loopback"} {
		if way == "loopback" {
			if err := os.Remove(socket); err != nil {
				t.Fatal(err)
			}
		}
		r := register(t, mappings)
		got2, got4 := registered(t)
		compare(t, way+": rpcinfo -p", got2, with(before2, inVersion2(mappings)...))
		compare(t, way+": rpcinfo", got4, with(before4, inVersion4(mappings)...))
		for _, args := range [][]string{
			{"-T", "udp", "127.0.0.1", "100005", "3"},
			{"-T", "tcp", "127.0.0.1", "100003", "3"},
			{"-T", "udp6", "::1", "100005", "3"},
			{"-T", "tcp6", "::1", "100003", "3"},
		} {
			run(t, "rpcinfo", args...)
		}
		unregister(t, r)
		unregister(t, r) // there is nothing left to do
		got2, got4 = registered(t)
		compare(t, way+": rpcinfo -p afterwards", got2, before2)
		compare(t, way+": rpcinfo afterwards", got4, before4)
	}
	r := register(t, mappings)
	stop()
	unregister(t, r) // rpcbind has forgotten it
}

// TestRegisterOthers is about other servers, which keep what they have.
func TestRegisterOthers(t *testing.T) {
	if !inside(t) {
		return
	}
	stop := startRpcbind(t)
	servePrograms(t)
	other := portmap.Mapping{Program: 100021, Version: 4, Protocol: portmap.UDP, Port: 4045}
	set(t, other)
	before2, before4 := registered(t)

	// Over TCP it would be free.
	lock := portmap.Mapping{Program: 100021, Version: 4, Protocol: portmap.TCP, Port: 2049}
	r, err := portmap.Register(t.Context(), append(slices.Clone(mappings), lock))
	want := portmap.TakenError{Program: 100021, Version: 4, Netid: "udp", Port: 4045, Owner: "superuser"}
	if taken, ok := errors.AsType[*portmap.TakenError](err); !ok || *taken != want {
		t.Errorf("%v, %v; want %+v", r, err, want)
	}
	got2, got4 := registered(t)
	compare(t, "rpcinfo -p", got2, before2)
	compare(t, "rpcinfo", got4, before4)

	// One that is refused in the middle: for UDP there is the port that we want for TCP.
	set(t, portmap.Mapping{Program: 100024, Version: 1, Protocol: portmap.UDP, Port: 2049})
	before2, before4 = registered(t)
	r, err = portmap.Register(t.Context(), append(slices.Clone(mappings),
		portmap.Mapping{Program: 100024, Version: 1, Protocol: portmap.TCP, Port: 2049},
		portmap.Mapping{Program: 100024, Version: 1, Protocol: portmap.UDP, Port: 2050}))
	if err == nil {
		t.Errorf("%v, want an error", r)
	}
	got2, got4 = registered(t)
	compare(t, "rpcinfo -p after it was refused", got2, before2)
	compare(t, "rpcinfo after it was refused", got4, before4)

	// What an earlier run has left is taken over.
	register(t, mappings)
	unregister(t, register(t, mappings))
	got2, _ = registered(t)
	compare(t, "rpcinfo -p after a second run", got2, before2)

	// What somebody has registered since is his: rpcbind was started anew in between.
	r = register(t, mappings)
	stop()
	startRpcbind(t)
	set(t, portmap.Mapping{Program: 100003, Version: 3, Protocol: portmap.TCP, Port: 4045})
	before2, before4 = registered(t)
	unregister(t, r)
	got2, got4 = registered(t)
	compare(t, "rpcinfo -p with another server", got2, before2)
	compare(t, "rpcinfo with another server", got4, before4)
}

// registerUntilEnd is a program for TestRegisterUser.
func registerUntilEnd() int {
	r, err := portmap.Register(context.Background(), mappings)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("registered")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := r.Close(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestRegisterUser registers as a user who may have no reserved port, which is what Shoal runs as.
func TestRegisterUser(t *testing.T) {
	if !inside(t) {
		return
	}
	startRpcbind(t)
	servePrograms(t)
	before2, before4 := registered(t)
	// Where the test itself lies, a user may not look.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "/run/registers"
	run(t, "cp", self, program)
	for _, way := range []string{"socket", "loopback"} {
		if way == "loopback" {
			if err := os.Remove(socket); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), registerVariable+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
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
		said, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || said != "registered\n" {
			t.Errorf("%s: it said %q, %v", way, said, err)
		}
		got2, got4 := registered(t)
		compare(t, way+": rpcinfo -p", got2, with(before2, inVersion2(mappings)...))
		compare(t, way+": rpcinfo", got4, with(before4, inVersion4(mappings)...))
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: close: %v", way, err)
		}
		got2, got4 = registered(t)
		compare(t, way+": rpcinfo -p afterwards", got2, before2)
		compare(t, way+": rpcinfo afterwards", got4, before4)
	}
}

// TestRegisterCanceled is about a start that is given up.
func TestRegisterCanceled(t *testing.T) {
	if !inside(t) {
		return
	}
	startRpcbind(t)
	servePrograms(t)
	before2, _ := registered(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := portmap.Register(ctx, mappings); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v; want an error that it was canceled", r, err)
	}
	got2, _ := registered(t)
	compare(t, "rpcinfo -p", got2, before2)
}

// TestLookup asks the rpcbind of Debian.
func TestLookup(t *testing.T) {
	if !inside(t) {
		return
	}
	if port, err := portmap.Lookup(t.Context(), netip.IPv6Loopback(), 100005, 3, "tcp"); err == nil {
		t.Errorf("without rpcbind: port %d, want an error", port)
	}
	startRpcbind(t)
	servePrograms(t)
	defer unregister(t, register(t, mappings))
	for _, addr := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		for _, test := range []struct {
			program uint32
			network string
			want    uint16
		}{
			{100005, "udp", 2049},
			{100005, "tcp", 2049},
			{100003, "tcp", 2049},
			{100003, "udp", 0},
			{100021, "tcp", 0},
			{portmap.Program, "udp", 111},
		} {
			port, err := portmap.Lookup(t.Context(), netip.MustParseAddr(addr), test.program, 3, test.network)
			if port != test.want || (err == nil) != (test.want != 0) {
				t.Errorf("%s, program %d, %s: %d, %v; want %d, and an error if that is 0",
					addr, test.program, test.network, port, err, test.want)
			}
		}
	}
}
