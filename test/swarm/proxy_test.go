//go:build linux

package swarm

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"

	"shoal/torrents"
)

const (
	proxyHost = "10.1.0.200" // the world's end of lan0
	proxyPort = 1080
)

// proxies are programs that nobody here wrote: how they are started, for a user "me" with the password "pass".
var proxies = map[string]func(t testing.TB) string{
	"socks5": func(testing.TB) string {
		return fmt.Sprintf("exec microsocks -i %s -p %d -u me -P pass", proxyHost, proxyPort)
	},
	"http": func(t testing.TB) string {
		file := filepath.Join(t.TempDir(), "tinyproxy.conf")
		conf := fmt.Sprintf("Listen %s\nPort %d\nTimeout 600\nMaxClients 100\nBasicAuth me pass\nLogLevel Warning\n", proxyHost, proxyPort)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		return "exec tinyproxy -d -c " + file
	},
}

// startProxy runs a proxy in the world, for which tracker.example and seed.example are there too, and returns
// what ends it.
func startProxy(t testing.TB, command string) (stop func()) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte(worldAddr+" tracker.example seed.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// ip makes a namespace of mounts as well.
	cmd := exec.Command("ip", "netns", "exec", world, "sh", "-c", "mount --bind "+hosts+" /etc/hosts && "+command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// Pdeathsig is about the thread that starts the child: it must live as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-ended
	}
	t.Cleanup(stop)
	await(t, "the proxy listens", func() (listens bool) {
		inWorld(t, func() {
			c, err := net.Dial("tcp", net.JoinHostPort(proxyHost, strconv.Itoa(proxyPort)))
			if listens = err == nil; listens {
				c.Close()
			}
		})
		return listens
	})
	return stop
}

// toProxy says whether a packet goes to the proxy, or is no IP packet.
func toProxy(frame []byte) bool {
	const ethernet, tcp = 14, 6
	if len(frame) < ethernet+20 || binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return len(frame) < ethernet || binary.BigEndian.Uint16(frame[12:]) != 0x86dd
	}
	ip := frame[ethernet:]
	header := int(ip[0]&15) * 4
	to, _ := netip.AddrFromSlice(ip[16:20])
	return ip[9] == tcp && len(ip) >= header+4 && to == netip.MustParseAddr(proxyHost) &&
		binary.BigEndian.Uint16(ip[header+2:]) == proxyPort
}

func TestProxy(t *testing.T) {
	for scheme, command := range proxies {
		t.Run(scheme, func(t *testing.T) { testProxy(t, scheme, command(t)) })
	}
}

func testProxy(t *testing.T, scheme, command string) {
	newWorld(t)
	fromTracker := newSample(t, 8<<20, false, "http://tracker.example:8000/announce", "udp://tracker.example:8000", "udp://"+worldAddr+":8000")
	seeded := newSample(t, 1<<20, false)
	seeded.addWebSeed(t, "http://seed.example:8000/seed/")
	var addr string
	inWorld(t, func() { addr, _ = startPeer(t, worldAddr, false, fromTracker) })
	announced := serveWorld(t, addr, seeded.dir)
	var direct *capture
	inWorld(t, func() { direct = watch(t, "lan1", false, toProxy) })
	stop := startProxy(t, command)
	l := open(t, func(o *torrents.SwarmOptions) {
		o.Proxy = fmt.Sprintf("%s://me:pass@%s:%d", scheme, proxyHost, proxyPort)
		o.DownLimit = 1 << 20 // so that something can happen in mid-download
		o.Peers = []string{"peer.example:1", worldAddr + ":1", addr}
	})
	read(t, l.add(t, seeded), seeded).wait(t)
	direct.none(t, "a web seed was read through the proxy")
	reading := read(t, l.add(t, fromTracker), fromTracker)
	cached := func() int64 { return l.describe(t, fromTracker).Cached }
	await(t, "data comes through the proxy", func() bool { return cached() > 1<<20 })
	await(t, "the tracker is asked by its name", func() bool { return announced.Load() > 0 })
	direct.none(t, "a peer and a tracker were reached through the proxy")

	stop() // in mid-download
	time.Sleep(time.Second)
	before := cached()
	time.Sleep(quiet)
	direct.none(t, "the proxy is down")
	if now := cached(); now > before {
		t.Errorf("%d bytes came without the proxy", now-before)
	}
	startProxy(t, command)
	l.SetRateLimits(0, 0)
	reading.wait(t)
	direct.none(t, "the proxy is back")
}

// addWebSeed makes a URL a source of the sample (BEP 19).
func (s *sample) addWebSeed(t testing.TB, url string) {
	t.Helper()
	var mi metainfo.MetaInfo
	if err := bencode.Unmarshal(s.metainfo, &mi); err != nil {
		t.Fatal(err)
	}
	mi.UrlList = []string{url}
	s.metainfo = bencode.MustMarshal(mi)
}

// serveWorld is a tracker that knows one peer and counts announces, and a web seed of a folder.
func serveWorld(t testing.TB, peer, dir string) *atomic.Int64 {
	t.Helper()
	announced := new(atomic.Int64)
	addr := netip.MustParseAddrPort(peer)
	compact := binary.BigEndian.AppendUint16(addr.Addr().AsSlice(), addr.Port())
	mux := http.NewServeMux()
	mux.HandleFunc("/announce", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("port") == "0" {
			t.Error("the tracker was told port 0, which some refuse")
		}
		announced.Add(1)
		_, _ = fmt.Fprintf(w, "d8:intervali1800e5:peers6:%se", compact)
	})
	mux.Handle("/seed/", http.StripPrefix("/seed/", http.FileServer(http.Dir(dir))))
	var l net.Listener
	var err error
	inWorld(t, func() { l, err = net.Listen("tcp", worldAddr+":8000") })
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { server.Close() })
	return announced
}

// TestWrongPassword: the proxy's refusal is no reason to go around it.
func TestWrongPassword(t *testing.T) {
	newWorld(t)
	s := newSample(t, 1<<16, false)
	var addr string
	var direct *capture
	inWorld(t, func() {
		addr, _ = startPeer(t, worldAddr, false, s)
		direct = watch(t, "lan1", false, toProxy)
	})
	for scheme, command := range proxies {
		stop := startProxy(t, command(t))
		l := open(t, func(o *torrents.SwarmOptions) {
			o.Proxy, o.Peers = fmt.Sprintf("%s://me:wrong@%s:%d", scheme, proxyHost, proxyPort), []string{addr}
		})
		_ = read(t, l.add(t, s), s) // nothing comes
		time.Sleep(quiet)
		direct.none(t, "the proxy refuses the password")
		if got := l.describe(t, s).Cached; got > 0 {
			t.Errorf("%d bytes came through a proxy that refuses", got)
		}
		stop()
	}
}
