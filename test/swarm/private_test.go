//go:build linux

package swarm

import (
	"encoding/hex"
	"testing"
	"time"

	"shoal/test/netns"
	"shoal/test/seeder"
	"shoal/torrents"
)

// TestLocalDiscovery: two libraries on one network, which know of each other by nothing else, feed each other.
// A private torrent (BEP 27) is told to nobody.
func TestLocalDiscovery(t *testing.T) {
	newWorld(t)
	public, private := newSample(t, 1<<20, false), newSample(t, 1<<20, true)
	publicAddr, _ := startPeer(t, "127.0.0.1", false, public)
	privateAddr, _ := startPeer(t, "127.0.0.1", false, private)
	// Connections to peers begin with the infohash. These are over TCP.
	wires := []*capture{watch(t, "lan0", true, isTCP), watch(t, "lo", true, isTCP)}

	has := open(t, func(o *torrents.SwarmOptions) {
		o.Addr, o.UTP, o.Peers = "0.0.0.0:0", false, []string{publicAddr, privateAddr}
	})
	read(t, has.add(t, public), public).wait(t)
	read(t, has.add(t, private), private).wait(t)
	// It has what it wants, and stays in the swarm.
	wants := open(t, func(o *torrents.SwarmOptions) { o.Addr, o.UTP = "0.0.0.0:0", false })
	reading := read(t, wants.add(t, private), private) // in vain
	read(t, wants.add(t, public), public).wait(t)
	time.Sleep(15 * time.Second) // announcements are made every ten
	for _, wire := range wires {
		if wire.saw(private.infohash[:]) {
			t.Errorf("the private torrent %v was told", private.infohash)
		}
	}
	for how, packet := range map[string][]byte{"local discovery": []byte("BT-SEARCH"), "the DHT": []byte("get_peers")} {
		if !wires[0].sawBoth(packet, public.infohash[:]) && !wires[1].sawBoth(packet, public.infohash[:]) {
			t.Errorf("the public torrent was not told to %s, so that the private one proves nothing", how)
		}
	}
	select {
	case err := <-reading:
		t.Errorf("the private torrent was found (%v)", err)
	default:
	}
}

// isTCP says whether a packet is one of TCP over IPv4.
func isTCP(frame []byte) bool {
	return len(frame) > 23 && frame[12] == 8 && frame[13] == 0 && frame[23] == 6
}

// TestTransmissionRequiresEncryption: Debian's client feeds us when it takes encrypted connections only.
func TestTransmissionRequiresEncryption(t *testing.T) {
	netns.Require(t)
	seeder.Require(t)
	for _, kind := range []torrents.Encryption{torrents.EncryptionAllow, torrents.EncryptionPrefer, torrents.EncryptionRequire} {
		s := newSample(t, 1<<20, false)
		d := seeder.Start(t, s.dir)
		d.RequireEncryption(t)
		d.Eager(t)
		if got := d.Add(t, s.metainfo); got != hex.EncodeToString(s.infohash[:]) {
			t.Fatalf("the infohash is %s, want %v", got, s.infohash)
		}
		l := open(t, func(o *torrents.SwarmOptions) {
			o.Addr, o.DHT, o.LSD, o.Encryption, o.Peers = "127.0.0.1:0", false, false, kind, []string{d.Addr()}
		})
		read(t, l.add(t, s), s).wait(t)
	}
}
