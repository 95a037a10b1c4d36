//go:build linux

// Package mdns tests that programs which nobody here wrote find the appliance on the local network: python3-zeroconf, in network
// namespaces of its own. No packet leaves these.
package mdns

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/debian"
	"shoal/test/netns"
)

func TestMain(m *testing.M) {
	os.Exit(appliance.RunApart(m, func() error { return debian.Ensure("iproute2", "python3-zeroconf") }))
}

const (
	// lan and vpn are the namespaces of clients, which the appliance's has links to.
	lan = "lan"
	vpn = "vpn"

	lanAddr, lanClient = "10.1.0.1", "10.1.0.200"
	vpnAddr, vpnClient = "10.2.0.1", "10.2.0.200"

	// findLimit is how long it may take until a client knows; normal is 2 s, and 12 s after a change of addresses.
	findLimit = time.Minute
)

//go:embed find.py
var findScript string

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// newWorld makes the namespaces, with a machine called NAS in this one.
func newWorld(t *testing.T) {
	t.Helper()
	netns.Require(t)
	if err := syscall.Sethostname([]byte("NAS")); err != nil { // in a namespace of these tests
		t.Fatal(err)
	}
	for net, addrs := range map[string][2]string{lan: {lanAddr, lanClient}, vpn: {vpnAddr, vpnClient}} {
		ip(t, "netns add "+net)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", net).Run() })
		t.Cleanup(func() { _ = exec.Command("ip", "link", "del", net+"0").Run() })
		ip(t, "link add "+net+"0 type veth peer name "+net+"1 netns "+net)
		ip(t, "addr add "+addrs[0]+"/24 dev "+net+"0")
		ip(t, "link set "+net+"0 up")
		ip(t, "-n "+net+" addr add "+addrs[1]+"/24 dev "+net+"1")
		ip(t, "-n "+net+" link set "+net+"1 up")
		ip(t, "-n "+net+" link set lo up")
	}
}

// service is what a client knows of one.
type service struct {
	Event, Name, Host string
	Port              int
	Addresses         []string
	Text              map[string]string
}

// client is a program that looks for services, or has one itself.
type client struct {
	end func()

	mu    sync.Mutex
	known map[string]service // by name
	all   []service          // in the order in which they came and went
	more  chan struct{}      // closed when something is added
}

// newClient runs find.py in a namespace until the test ends, and returns when it has begun.
func newClient(t *testing.T, net string, args ...string) *client {
	t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", net, "/usr/bin/python3", "-c", findScript}, args...)...)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &client{known: make(map[string]service), more: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.read(out)
		_ = cmd.Wait() // that it failed is seen by what it did not tell
	}()
	c.end = sync.OnceFunc(func() {
		in.Close()
		select {
		case <-ended:
		case <-time.After(findLimit):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(c.end)
	c.await(t, "the client begins", func() bool { return len(c.all) > 0 })
	return c
}

func (c *client) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var s service
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			continue
		}
		c.mu.Lock()
		c.all = append(c.all, s)
		delete(c.known, s.Name)
		if s.Event == "there" {
			slices.Sort(s.Addresses)
			c.known[s.Name] = s
		}
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
}

// await waits until something is so.
func (c *client) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(findLimit)
	for {
		c.mu.Lock()
		done, more, all := is(), c.more, c.all
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%s: not within %v; seen was %+v", what, findLimit, all)
		}
	}
}

// awaitNames waits until the client knows these services, and no others.
func (c *client) awaitNames(t *testing.T, what string, names ...string) {
	t.Helper()
	slices.Sort(names)
	c.await(t, what, func() bool { return slices.Equal(slices.Sorted(maps.Keys(c.known)), names) })
}

const (
	nfs  = "._nfs._tcp.local."
	http = "._http._tcp.local."
)

func TestFind(t *testing.T) {
	newWorld(t)
	near := newClient(t, lan, lanClient, "_nfs._tcp.local.", "_http._tcp.local.")
	far := newClient(t, vpn, vpnClient, "_nfs._tcp.local.", "_http._tcp.local.")
	taken := newClient(t, lan, lanClient, "-take", "Shoal on NAS"+http, "80")
	taken.end() // and says goodbye: the name is free again
	near.awaitNames(t, "nothing is there to begin with")

	a := appliance.StartDefault(t, "SHOAL_MDNS=true", "SHOAL_BT_INTERFACE=vpn0", "SHOAL_BT_ADDR=:0")
	near.awaitNames(t, "the appliance is there", "Shoal on NAS"+nfs, "Shoal on NAS"+http)
	check := func(name, host string, port int, addrs ...string) {
		t.Helper()
		near.await(t, name+" is as it should be", func() bool {
			s := near.known[name]
			v4 := slices.DeleteFunc(slices.Clone(s.Addresses), func(a string) bool { return strings.Contains(a, ":") })
			return s.Host == host && s.Port == port && slices.Equal(v4, addrs) && maps.Equal(s.Text, map[string]string{"path": "/"})
		})
	}
	check("Shoal on NAS"+nfs, "shoal-nas.local.", 2049, lanAddr)
	check("Shoal on NAS"+http, "shoal-nas.local.", 4444, lanAddr)

	// Another one on a machine with the same name, whose site is for itself.
	b := appliance.Start(t, "SHOAL_MDNS=true", "SHOAL_NFS_ADDR=:2050", "SHOAL_BT_INTERFACE=vpn0", "SHOAL_BT_ADDR=:0")
	near.awaitNames(t, "the other one, too", "Shoal on NAS"+nfs, "Shoal on NAS"+http, "Shoal on NAS (2)"+nfs)
	check("Shoal on NAS (2)"+nfs, "shoal-nas-2.local.", 2050, lanAddr)

	if code, took := a.Stop(t); code != 0 {
		t.Errorf("it ends with %d after %v", code, took)
	}
	near.awaitNames(t, "only the other one is left", "Shoal on NAS (2)"+nfs)
	a.Restart(t)
	near.awaitNames(t, "it is back", "Shoal on NAS"+nfs, "Shoal on NAS"+http, "Shoal on NAS (2)"+nfs)

	ip(t, "addr add 10.1.0.7/24 dev lan0")
	check("Shoal on NAS"+nfs, "shoal-nas.local.", 2049, lanAddr, "10.1.0.7")

	// The VPN, at last without the setting, so that it is seen that it would have been told.
	far.awaitNames(t, "nothing is told to the VPN")
	if len(far.all) != 1 {
		t.Errorf("seen by the VPN was %+v", far.all)
	}
	a.Stop(t)
	b.Stop(t)
	b.Restart(t, "SHOAL_BT_INTERFACE=")
	far.awaitNames(t, "on an ordinary interface it is", "Shoal on NAS"+nfs)
}

// TestTaken: a name that something else has is left to it.
func TestTaken(t *testing.T) {
	newWorld(t)
	newClient(t, lan, lanClient, "-take", "Shoal on NAS"+nfs, "2049")
	near := newClient(t, lan, lanClient, "_nfs._tcp.local.")
	near.awaitNames(t, "the name is taken", "Shoal on NAS"+nfs)
	appliance.StartDefault(t, "SHOAL_MDNS=true")
	near.awaitNames(t, "the appliance has another", "Shoal on NAS"+nfs, "Shoal on NAS (2)"+nfs)
}
