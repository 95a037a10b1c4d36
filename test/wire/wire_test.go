//go:build linux

// Package wire lets tshark, whose dissectors nobody here wrote, judge every kind of message that the
// appliance sends: each procedure of each program in each version, over TCP and UDP, with success and with
// every error, and each error of RPC itself.
//
// The appliance is at 127.0.0.1, and all that it says has that address; its clients are at others.
package wire

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"shoal/test/appliance"
	"shoal/test/complete"
	"shoal/test/debian"
	"shoal/test/netns"
)

const (
	server     = "127.0.0.1"
	clientAddr = "127.0.0.2" // may mount
	stranger   = "127.0.0.3" // may not
	liar       = "127.0.0.4" // is no appliance, see lie

	nfsPort     = "2049"
	portmapPort = "111"
)

var networks = []string{"tcp", "udp"}

func TestMain(m *testing.M) { os.Exit(appliance.RunApart(m, prepare)) }

func prepare() error { return debian.Ensure("tshark") }

// handles are those of the things that calls are about, as LOOKUP returns them.
type handles struct {
	root, route, album, file, empty, dead []byte
	removed                               []byte // of a file of a torrent that is there no more
}

// start runs an appliance with something to ask for.
func start(t *testing.T) (*appliance.Appliance, *handles) {
	t.Helper()
	a := appliance.Start(t, "SHOAL_ROUTES=music", "SHOAL_NFS_ADDR="+server+":"+nfsPort,
		"SHOAL_PORTMAP_ADDR="+server+":"+portmapPort, "SHOAL_NFS_ALLOW="+clientAddr+"/32", "SHOAL_NFS_READ_WAIT=1s")
	files := []complete.File{{Path: "file", Content: content()}, {Path: "empty"}}
	for i := range 300 {
		files = append(files, complete.File{Path: fmt.Sprintf("one of very many files, number %d", i)})
	}
	a.AddComplete(t, "music", "album", files...)
	a.AddDead(t, "music", "dead", complete.File{Path: "file", Content: content()})
	removed := a.AddComplete(t, "music", "removed", complete.File{Path: "file", Content: []byte("x")})

	p := dial(t, "tcp", clientAddr, nfsPort)
	h := &handles{}
	h.root = p.mount(t, "/")
	h.route = p.lookup(t, h.root, "music")
	h.album = p.lookup(t, h.route, "album")
	h.file, h.empty = p.lookup(t, h.album, "file"), p.lookup(t, h.album, "empty")
	h.dead = p.lookup(t, p.lookup(t, h.route, "dead"), "file")
	h.removed = p.lookup(t, p.lookup(t, h.route, "removed"), "file")
	a.Call(t, "DELETE", "/torrents/"+removed.Infohash, nil, 204, nil)
	return a, h
}

// content is that of the large file.
func content() []byte {
	b := make([]byte, 3<<20+7)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// TestWire says everything, and has tshark look at it.
func TestWire(t *testing.T) {
	netns.Require(t)
	_, h := start(t)
	c := capture(t)
	locks := serveLocks(t)
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			p := dial(t, network, clientAddr, nfsPort)
			callNFS(t, p, h)
			callMount(t, p)
			callStatus(t, p)
			callLocks(t, p, h, locks)
			callPortmap(t, dial(t, network, clientAddr, portmapPort))
			callRefused(t, network, h)
		})
	}
	callBatches(t, h)
	lie(t)
	c.stop(t)
	c.checkCoverage(t)
	c.checkReplies(t)
}

// deadline is for everything that a test waits for.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
