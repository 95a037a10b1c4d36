package torrents

import (
	"net"
	"testing"
)

// TestPeersByName: names are looked up, and one that is not known keeps nobody from the others.
func TestPeersByName(t *testing.T) {
	s := newSample(t, "x", 16<<10, map[string][]byte{"": randomBytes(1000)})
	_, port, err := net.SplitHostPort(startPeer(t, s).addr)
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecorder()
	l := mustOpen(t, testOptions(t, rec, "nobody.invalid.:1", "localhost:"+port))
	if _, err := l.AddMetainfo("r", s.metainfo); err != nil {
		t.Fatal(err)
	}
	readFiles(t, rec.await(t, s.infohash), s.files)
}
