package nfsfs

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"shoal/nfsfs/nfs3"
	"shoal/tree"
)

// TestLatencyBesideDeadTorrent makes calls on a connection on which 64 READs wait for data that never
// comes, and hangs up.
func TestLatencyBesideDeadTorrent(t *testing.T) {
	const dead, most = 64, 5 * time.Millisecond
	never := newStuck()
	tr := testTree(t, never)
	s := start(t, options(t, tr))
	w := dial(t, s)
	slow := handleOf(t, tr, "films", "a torrent", "stuck.bin")
	for range dead {
		w.send(nfs3.Program, 3, procRead, encodeRead(slow, 0, 1<<20))
	}
	for range dead {
		<-never.reads
	}
	// Other tests run beside this one and take the processors away, but hardly three times in a row.
	slowest := measureLatency(t, w, tr)
	for range 2 {
		if slowest > most {
			slowest = measureLatency(t, w, tr)
		}
	}
	if slowest > most {
		t.Errorf("99 of 100 calls are answered within %v, want %v", slowest, most)
	}
	if got := s.rpc.Waiting(); got != dead {
		t.Errorf("%d calls wait, want %d", got, dead)
	}
	if err := w.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Second); s.rpc.Waiting() > 0 || len(s.rpc.Connections()) > 0; {
		if time.Now().After(end) {
			t.Fatalf("a second after the client has hung up, %d calls wait, and there are the connections %v",
				s.rpc.Waiting(), s.rpc.Connections())
		}
		time.Sleep(time.Millisecond)
	}
	for range dead {
		<-never.ends
	}
}

// measureLatency makes calls that need not wait, of several kinds, and returns the time within which 99 of
// 100 of the slowest kind are answered.
func measureLatency(t *testing.T, w *wire, tr *tree.Tree) (slowest time.Duration) {
	const rounds = 500
	folder, ready := handleOf(t, tr, "films", "a torrent"), handleOf(t, tr, "films", "a torrent", "ready.txt")
	page := binary.BigEndian.AppendUint32(append(opaque(folder), make([]byte, 16)...), 8192)
	for _, call := range []struct {
		what string
		proc uint32
		args []byte
	}{
		{"GETATTR", getattr, opaque(ready)},
		{"LOOKUP", procLookup, append(opaque(folder), opaque([]byte("ready.txt"))...)},
		{"READDIR", procReaddir, page},
		{"READ", procRead, encodeRead(ready, 0, 4096)},
	} {
		took := make([]time.Duration, rounds)
		for i := range took {
			began := time.Now()
			if got := w.call(nfs3.Program, 3, call.proc, call.args); !slices.Equal(got[:6], accepted(0, nfsOK)) {
				t.Fatalf("%s: %v", call.what, got[:6])
			}
			took[i] = time.Since(began)
		}
		slices.Sort(took)
		t.Logf("%s: half within %v, 99 of 100 within %v", call.what, took[rounds/2], took[rounds*99/100])
		slowest = max(slowest, took[rounds*99/100])
	}
	return slowest
}
