//go:build linux

package swarm

import (
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"shoal/torrents"
)

// quiet is how long it is watched that nothing is sent: several ticks of the swarm, and pauses of BT_PEERS.
const quiet = 5 * time.Second

func TestInterface(t *testing.T) {
	for _, utp := range []bool{false, true} {
		name := "TCP"
		if utp {
			name = "uTP"
		}
		t.Run(name, func(t *testing.T) { testInterface(t, utp) })
	}
}

func testInterface(t *testing.T, utp bool) {
	newWorld(t)
	s := newSample(t, 12<<20, false, "http://"+worldAddr+":1", "udp://"+worldAddr+":1", "udp://tracker.example:1", "http://tracker.example/announce")
	var addr string
	inWorld(t, func() { addr, _ = startPeer(t, worldAddr, utp, s) })
	lan := watchWorld(t, "lan1")
	l := open(t, func(o *torrents.SwarmOptions) {
		o.Interface, o.Peers, o.UTP, o.TCP = "vpn0", []string{addr, "peer.example:1"}, utp, !utp
		o.DownLimit = 1 << 20 // so that something can happen in mid-download
	})
	if _, err := l.AddMagnet("r", "magnet:?xt=urn:btih:00112233445566778899aabbccddeeff00112233&x.pe="+addr); err != nil {
		t.Fatal(err)
	}
	reading := read(t, l.add(t, s), s)
	says := func(words string) func() bool {
		return func() bool { return strings.Contains(l.describe(t, s).Reason, words) }
	}
	cached := func() int64 { return l.describe(t, s).Cached }

	await(t, "the torrent says that vpn0 is not there", says("the interface vpn0 is not there: nothing is sent"))
	time.Sleep(quiet)
	lan.none(t, "vpn0 was never there")

	addVPN(t, "10.2.0.1") // comes up late
	await(t, "data comes through vpn0", func() bool { return cached() > 1<<20 })
	if reason := l.describe(t, s).Reason; reason != "" {
		t.Errorf("with data coming, the torrent says %q", reason)
	}
	lan.none(t, "vpn0 is there")

	ip(t, "link del vpn0") // goes away in mid-download
	await(t, "the torrent says that vpn0 is gone", says("the interface vpn0 is not there: nothing is sent"))
	before := cached()
	time.Sleep(quiet)
	lan.none(t, "vpn0 was taken away")
	if now := cached(); now > before+128<<10 {
		t.Errorf("%d bytes came without an interface", now-before)
	}

	addVPN(t, "10.2.0.77") // returns with another address
	await(t, "data comes again", func() bool { return cached() > before+1<<20 })
	lan.none(t, "vpn0 has another address")

	ip(t, "addr flush dev vpn0")
	await(t, "the torrent says that vpn0 has no address", says("the interface vpn0 has no address: nothing is sent"))
	time.Sleep(quiet / 2)
	lan.none(t, "vpn0 has no address")
	ip(t, "link set vpn0 down")
	await(t, "the torrent says that vpn0 is down", says("the interface vpn0 is down: nothing is sent"))
	ip(t, "addr add 10.2.0.78/24 dev vpn0")
	ip(t, "link set vpn0 up")
	ip(t, "route add default via 10.2.0.200 metric 1000")
	l.SetRateLimits(0, 0)
	reading.wait(t)
	lan.none(t, "vpn0 is back")
}

// TestTrackers: trackers are asked as soon as the interface is there, from its address.
func TestTrackers(t *testing.T) {
	newWorld(t)
	tracker := startTracker(t)
	lan := watchWorld(t, "lan1")
	s := newSample(t, 1<<16, false, tracker.url)
	l := open(t, func(o *torrents.SwarmOptions) { o.Interface, o.DHT = "vpn0", false })
	_ = read(t, l.add(t, s), s) // nobody has it
	time.Sleep(time.Second)
	addVPN(t, "10.2.0.1")
	tracker.from(t, "10.2.0.1:")
	lan.none(t, "a tracker was asked")
}

// TestNoInterface proves that the test above could fail: without the setting, the same library uses the
// other interface.
func TestNoInterface(t *testing.T) {
	newWorld(t)
	addVPN(t, "10.2.0.1")
	s := newSample(t, 1<<20, false)
	var addr string
	inWorld(t, func() { addr, _ = startPeer(t, worldAddr, false, s) })
	lan, vpn := watchWorld(t, "lan1"), watchWorld(t, "vpn1")
	l := open(t, func(o *torrents.SwarmOptions) { o.Peers, o.DHT, o.LSD = []string{addr}, false, false })
	read(t, l.add(t, s), s).wait(t)
	if lan.packets.Load() == 0 {
		t.Error("no packet went through the interface of the default route")
	}
	vpn.none(t, "nobody asked for vpn0")
}

// TestListenOnInterface: peers get in through the interface, and not through another.
func TestListenOnInterface(t *testing.T) {
	newWorld(t)
	addVPN(t, "10.2.0.1")
	s := newSample(t, 1<<20, false)
	l := open(t, func(o *torrents.SwarmOptions) { o.Interface, o.Addr, o.DHT = "vpn0", ":42069", false })
	f := l.add(t, s)
	reading := read(t, f, s)
	for addr, want := range map[string]bool{"10.2.0.1:42069": true, "10.1.0.1:42069": false, "127.0.0.1:42069": false} {
		var c net.Conn
		var err error
		dial := func() { c, err = net.DialTimeout("tcp", addr, time.Second) }
		if strings.HasPrefix(addr, "127.") {
			dial()
		} else {
			inWorld(t, dial)
		}
		if (err == nil) != want {
			t.Errorf("a peer that connects to %s: %v, want success: %t", addr, err, want)
		}
		if err == nil {
			c.Close()
		}
	}
	_ = reading // ends with the test: nobody has it
}

// TestNames: with the interface, names are asked for through it only.
func TestNames(t *testing.T) {
	newWorld(t)
	addVPN(t, "10.2.0.1")
	lan, vpn := watchWorld(t, "lan1"), watchWorld(t, "vpn1")
	useNameServer(t, worldAddr)
	s := newSample(t, 1<<16, false, "udp://tracker.example:1", "http://tracker.example/announce")
	l := open(t, func(o *torrents.SwarmOptions) { o.Interface, o.Peers = "vpn0", []string{"peer.example:1"} })
	_ = read(t, l.add(t, s), s) // nobody has it
	for _, name := range []string{"\x07tracker\x07example", "\x04peer\x07example"} {
		await(t, "a question for "+name, func() bool { return vpn.saw([]byte(name)) })
	}
	lan.none(t, "names were looked up")
}

// useNameServer makes the server the one to ask, in this namespace of mounts.
func useNameServer(t testing.TB, server string) {
	t.Helper()
	file := t.TempDir() + "/resolv.conf"
	if err := os.WriteFile(file, []byte("nameserver "+server+"\noptions timeout:1 attempts:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mount(t, file, "/etc/resolv.conf")
}

// tracker notes who asks it.
type tracker struct {
	url   string
	asked chan string
}

func startTracker(t testing.TB) *tracker {
	t.Helper()
	tr := &tracker{asked: make(chan string, 100)}
	var l net.Listener
	var err error
	inWorld(t, func() { l, err = net.Listen("tcp", worldAddr+":0") })
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case tr.asked <- r.RemoteAddr:
		default:
		}
		_, _ = io.WriteString(w, "d8:intervali1800e5:peers0:e")
	}), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { server.Close() })
	tr.url = "http://" + l.Addr().String() + "/announce"
	return tr
}

// from checks where it was asked from first.
func (tr *tracker) from(t testing.TB, want string) {
	t.Helper()
	select {
	case got := <-tr.asked:
		if !strings.HasPrefix(got, want) {
			t.Errorf("the tracker was asked from %s, want %s", got, want)
		}
	case <-time.After(time.Minute):
		t.Error("the tracker was not asked in a minute")
	}
}
