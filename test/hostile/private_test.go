//go:build linux

package hostile

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/torrent/metainfo"
	"golang.org/x/sys/unix"

	"shoal/test/appliance"
	"shoal/test/netns"
)

// capture keeps what was sent by UDP on all interfaces of the namespace.
type capture struct {
	mu      sync.Mutex
	packets [][]byte
}

func startCapture(t testing.TB) *capture {
	t.Helper()
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &capture{}
	var done atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		b := make([]byte, 70_000)
		for !done.Load() {
			n, _, err := unix.Recvfrom(fd, b, 0)
			const udp = 17
			if err != nil || n < 20 {
				continue
			}
			if protocol := b[map[byte]int{4: 9, 6: 6}[b[0]>>4]]; protocol != udp {
				continue
			}
			c.mu.Lock()
			c.packets = append(c.packets, bytes.Clone(b[:n]))
			c.mu.Unlock()
		}
		_ = unix.Close(fd)
	})
	t.Cleanup(func() { done.Store(true); running.Wait() })
	return c
}

// count returns how many packets have the infohash of a film as the DHT writes it (BEP 5), and how many as local service
// discovery does (BEP 14).
func (c *capture) count(f *film) (dht, lsd int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	digits := []byte(hex.EncodeToString(f.infohash[:]))
	for _, p := range c.packets {
		if bytes.Contains(p, f.infohash[:]) {
			dht++
		}
		if bytes.Contains(bytes.ToLower(p), digits) {
			lsd++
		}
	}
	return dht, lsd
}

// TestPrivate reads a private torrent (BEP 27) and a public one with everything on by which peers are found: of the
// private one nothing is told to anybody.
func TestPrivate(t *testing.T) {
	netns.Require(t)
	for _, arguments := range []string{
		"link add lan0 type veth peer name lan1", "addr add 10.9.0.1/24 dev lan0", "link set lan0 up", "link set lan1 up",
		"route add default via 10.9.0.2",
	} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", arguments, err, out)
		}
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "lan0").Run() })
	packets := startCapture(t)

	conn, err := net.ListenPacket("udp4", "127.0.0.7:0")
	if err != nil {
		t.Fatal(err)
	}
	config := dht.NewDefaultServerConfig()
	config.Conn, config.NoSecurity = conn, true
	config.StartingNodes = func() ([]dht.Addr, error) { return nil, nil }
	node, err := dht.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Close)

	public := newFilm(t, "public.bin", 8<<20, 64<<10)
	private := newFilm(t, "private.bin", 8<<20, 64<<10, func(info *metainfo.Info, _ *metainfo.MetaInfo) {
		yes := true
		info.Private = &yes
	})
	var addrs []string
	sources := make(map[*film][]*source)
	for _, f := range []*film{public, private} {
		for _, ip := range []string{"127.0.0.7", "127.0.0.8"} { // a node is where its peer is
			s := startSource(t, f, ip)
			s.dhtPort = conn.LocalAddr().(*net.UDPAddr).Port
			sources[f] = append(sources[f], s)
			addrs = append(addrs, s.addr)
		}
	}
	a := appliance.Start(t, "SHOAL_ROUTES=r", "SHOAL_BT_ADDR=0.0.0.0:0", "SHOAL_BT_PEERS="+strings.Join(addrs, ","),
		"SHOAL_BT_DHT=true", "SHOAL_BT_PEX=true", "SHOAL_BT_LSD=true", "SHOAL_BT_UTP=true")
	for _, f := range []*film{public, private} {
		a.Upload(t, "r", f.metainfo, http.StatusCreated)
		if err := readFilm(t, a, f, 0, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	told := func(f *film) (n int64) {
		for _, s := range sources[f] {
			n += s.pex.Load()
		}
		return n
	}
	eventually(t, "the public torrent is told of by DHT, LSD and PEX", func() bool {
		dht, lsd := packets.count(public)
		return dht > 0 && lsd > 0 && told(public) > 0
	})
	// What happens to the public one happens to a private one soon after, if it does.
	for i := range 10 {
		if err := readFilm(t, a, private, int64(i)<<19, 64<<10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
	}
	report := func(f *film) string {
		dht, lsd := packets.count(f)
		return fmt.Sprintf("%d packets of the DHT, %d of LSD, %d messages of PEX", dht, lsd, told(f))
	}
	t.Logf("the public torrent: %s", report(public))
	if got := report(private); got != "0 packets of the DHT, 0 of LSD, 0 messages of PEX" {
		t.Errorf("of the private torrent: %s", got)
	}
}
