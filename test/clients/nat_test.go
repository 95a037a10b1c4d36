//go:build linux

package clients

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"shoal/nfsfs/mount"
	"shoal/nfsfs/rpc"
	"shoal/nfsfs/xdr"
	"shoal/test/appliance"
	"shoal/test/netns"
)

// The network that a container engine makes: the namespaces of the tests are the container, its host has the gateway, and there are two more
// machines, each in a network of its own.
const (
	containerAddr = "172.18.0.2"
	gatewayAddr   = "172.18.0.1"
	// publishedAddr is where the host publishes ports of the container, as far as the machine "tv" is concerned.
	publishedAddr = "192.168.71.1"
)

// containerNetwork makes it, until the test ends.
func containerNetwork(t *testing.T) {
	t.Helper()
	ip := func(command string) {
		t.Helper()
		succeed(t, "ip", strings.Fields(command)...)
	}
	for _, machine := range []string{"host", "tv", "laptop"} {
		ip("netns add " + machine)
		t.Cleanup(func() { remove(t, "netns", "delete", machine) })
		ip("-n " + machine + " link set lo up")
	}
	ip("link add eth0 type veth peer name container netns host")
	t.Cleanup(func() { remove(t, "link", "delete", "eth0") }) // with its other half, and before that namespace, which takes its time
	ip("address add " + containerAddr + "/16 dev eth0")
	ip("link set eth0 up")
	ip("-n host address add " + gatewayAddr + "/16 dev container")
	ip("-n host link set container up")
	ip("route add default via " + gatewayAddr)
	for machine, network := range map[string]string{"tv": "192.168.71", "laptop": "192.168.72"} {
		ip("-n host link add " + machine + " type veth peer name eth0 netns " + machine)
		ip("-n host address add " + network + ".1/24 dev " + machine)
		ip("-n host link set " + machine + " up")
		ip("-n " + machine + " address add " + network + ".2/24 dev eth0")
		ip("-n " + machine + " link set eth0 up")
		ip("-n " + machine + " route add default via " + network + ".1")
	}
	// The host routes between the networks, too, so that there is a way to the container without the proxy.
	err := within("host", func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		t.Fatal(err)
	}
}

// remove runs ip when the test's context is over.
func remove(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		t.Errorf("ip %q: %v\n%s", args, err, out)
	}
}

// within runs a function, which may not start goroutines, in the network of a machine: its sockets stay there.
func within(machine string, run func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and nobody else gets that network
		f, err := os.Open("/run/netns/" + machine)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if err == nil {
			err = run()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("in the network of %s: %w", machine, err)
	}
	return nil
}

// dialFrom connects from a machine. The connection is good for commandTime.
func dialFrom(machine, addr string, port int) (conn *net.TCPConn, err error) {
	err = within(machine, func() error {
		if conn, err = net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(addr), Port: port}); err != nil {
			return err
		}
		return conn.SetDeadline(time.Now().Add(commandTime))
	})
	return conn, err
}

// publish does what Docker's userland-proxy does on the host: it takes connections to a port there, and makes one to the container for each.
func publish(t *testing.T, port int) {
	t.Helper()
	var l *net.TCPListener
	err := within("host", func() (err error) {
		l, err = net.ListenTCP("tcp", &net.TCPAddr{Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var proxy sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		proxy.Wait()
	})
	proxy.Go(func() {
		for {
			client, err := l.AcceptTCP()
			if err != nil {
				return // closed
			}
			proxy.Go(func() { pass(client, port) })
		}
	})
}

// pass passes what a client and the container have to say to each other, until both have said all.
func pass(client *net.TCPConn, port int) {
	defer client.Close()
	server, err := dialFrom("host", containerAddr, port)
	if err != nil {
		return // the client sees that it is hung up on
	}
	defer server.Close()
	var ways sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{client, server}, {server, client}} {
		ways.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // who is at the other end sees that it ends
			_ = way[1].CloseWrite()
		})
	}
	ways.Wait()
}

// mountAs mounts the root from one machine, as the kernel of another one would that calls itself so.
func mountAs(t *testing.T, machine, name, addr string) {
	t.Helper()
	conn, err := dialFrom(machine, addr, nfsPort)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	_, err = rpc.Exchange(ctx, conn, rpc.Header{
		Program: mount.Program, Version: 3, Proc: 1, Flavor: rpc.AuthSys,
		Credential: xdr.AppendWords(xdr.AppendOpaque(xdr.AppendUint32(nil, 0), name), 0, 0, 0),
	}, xdr.AppendOpaque(nil, "/"))
	if err != nil {
		t.Fatalf("mount as %s: %v", name, err)
	}
}

const nfsPort = 2049

// list lists the root from a machine, by libnfs.
func list(t *testing.T, machine, addr string) {
	t.Helper()
	url := fmt.Sprintf("nfs://%s/?nfsport=%d&mountport=%d", addr, nfsPort, nfsPort)
	if got := succeed(t, "ip", "netns", "exec", machine, "nfs-ls", url); !strings.Contains(got, " films\n") {
		t.Errorf("nfs-ls from %s says:\n%s", machine, got)
	}
}

// seen is what the API says of clients.
type seen struct {
	Clients []struct {
		Address  string
		Machines []string
	}
	NAT *struct {
		Kind, Address string
		Machines      []string
	}
}

func seenBy(t *testing.T, a *appliance.Appliance) (s seen) {
	t.Helper()
	a.Call(t, http.MethodGet, "/clients", nil, http.StatusOK, &s)
	return s
}

// overview is the first page, as a person without scripts has it.
func overview(t *testing.T, a *appliance.Appliance) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", a.HTTPPort), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Authorization", "Bearer "+appliance.Token)
	r.Header.Set("Accept", "text/html")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the overview: %s, %v", answer.Status, err)
	}
	return string(page)
}

// look is after what time the appliance has looked at its clients again; it does so each 2 s.
const look = 3 * time.Second

// TestNAT has two machines come by addresses of their own, and then through a proxy of a container engine.
func TestNAT(t *testing.T) {
	netns.Require(t)
	containerNetwork(t)
	publish(t, nfsPort)
	a := appliance.StartDefault(t, "SHOAL_ROUTES=films")

	for _, machine := range []string{"tv", "laptop", "tv"} {
		list(t, machine, containerAddr)
		mountAs(t, machine, machine, containerAddr)
	}
	list(t, "tv", publishedAddr) // as the machine of the container would
	if got := seenBy(t, a); got.NAT != nil || len(got.Clients) != 3 {
		t.Errorf("of machines with addresses of their own is said %+v", got)
	}
	time.Sleep(look)
	if page := overview(t, a); strings.Contains(page, "NAT") || strings.Contains(a.Log(), "NAT") {
		t.Errorf("there is no NAT, and it is told of:\n%s\n%s", a.Log(), page)
	}

	a.Stop(t)
	a.Restart(t)
	list(t, "tv", publishedAddr)
	list(t, "laptop", "192.168.72.1")
	if got := seenBy(t, a); len(got.Clients) != 1 || got.NAT == nil || got.NAT.Kind != "gateway" || got.NAT.Address != gatewayAddr {
		t.Errorf("of machines behind a proxy is said %+v", got)
	}
	if page := overview(t, a); !strings.Contains(page, "All NFS clients seem to come from "+gatewayAddr) {
		t.Errorf("the overview does not tell of NAT:\n%s", page)
	}
	const warning = `msg="all NFS clients seem to come from the gateway`
	for end := time.Now().Add(commandTime); !strings.Contains(a.Log(), warning); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the log does not tell of NAT")
		}
	}

	// A browser that comes as itself shows that addresses get through: it may be the host alone that mounts.
	conn, err := dialFrom("tv", containerAddr, a.HTTPPort)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for end := time.Now().Add(commandTime); seenBy(t, a).NAT != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("although a browser comes as itself, it is said %+v", seenBy(t, a))
		}
	}
	// But by their names they are two.
	mountAs(t, "tv", "tv", publishedAddr)
	mountAs(t, "laptop", "laptop", "192.168.72.1")
	mountAs(t, "tv", "tv", publishedAddr)
	got := seenBy(t, a)
	if got.NAT == nil || got.NAT.Kind != "shared" || got.NAT.Address != gatewayAddr || !slices.Equal(got.NAT.Machines, []string{"laptop", "tv"}) {
		t.Errorf("of two machines is said %+v", got)
	}
	const sentence = "Several machines (laptop, tv) come from one address, " + gatewayAddr
	for end := time.Now().Add(commandTime); !strings.Contains(overview(t, a), sentence); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) { // a page may be as old as a second
			t.Fatalf("the overview does not tell of two machines:\n%s", overview(t, a))
		}
	}
	if n := strings.Count(a.Log(), "NAT"); n != 1 {
		t.Errorf("the log tells of NAT %d times, want once", n)
	}
}
