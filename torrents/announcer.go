package torrents

import (
	"sync"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
)

// decoy is the info dictionary of a torrent that nobody has. It is private, so that nothing tells of it.
var decoy = sync.OnceValue(func() []byte {
	private := true
	b, err := bencode.Marshal(metainfo.Info{Name: "decoy", PieceLength: 1 << 14, Private: &private})
	if err != nil {
		panic(err) // the same at every start
	}
	return b
})

// wakeAnnouncer makes the engine look for trackers that it has to tell something. The timer of its one
// announcer for all torrents (v1.62.0, mytimer) loses what comes while it fires, as the trackers of a torrent
// that was added a moment before may: it sleeps then until another torrent comes or goes. Here one does.
func (s *swarm) wakeAnnouncer() {
	info := decoy()
	t, isNew := s.client.AddTorrentOpt(torrent.AddTorrentOpts{
		InfoHash: metainfo.HashBytes(info), InfoBytes: info, DeferStorageOpen: true,
	})
	if isNew {
		t.Drop()
	}
}
