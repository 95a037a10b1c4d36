package torrents

import (
	"net"
	"testing"
	"time"

	"github.com/anacrolix/torrent"
)

// TestRedial loses peers, and looks when they are dialed again.
func TestRedial(t *testing.T) {
	mine, other := Infohash{1}, Infohash{2}
	lost := time.Now()
	lose := func(ih Infohash) lostPeer {
		return lostPeer{infohash: ih, peer: torrent.PeerInfo{Addr: &net.TCPAddr{Port: int(ih[0])}}, at: lost}
	}
	for _, test := range []struct {
		name  string
		looks []time.Duration // after the loss
		want  []int           // peers at each
		left  int             // of both
	}{
		{"at once", []time.Duration{0, redialPause / 2}, []int{1, 0}, 2},
		{"and once more", []time.Duration{0, redialPause, 2 * redialPause}, []int{1, 1, 0}, 1},
		{"late", []time.Duration{2 * redialPause, 3 * redialPause}, []int{1, 0}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := connections{lost: []lostPeer{lose(other), lose(mine)}}
			for i, after := range test.looks {
				got := c.redial(mine, lost.Add(after))
				if len(got) != test.want[i] {
					t.Errorf("%d peers after %v, want %d", len(got), after, test.want[i])
				}
				for _, p := range got {
					if p.Addr.(*net.TCPAddr).Port != int(mine[0]) {
						t.Errorf("after %v: a peer of another torrent", after)
					}
				}
			}
			if len(c.lost) != test.left {
				t.Errorf("%d are left, want %d", len(c.lost), test.left)
			}
		})
	}
}
