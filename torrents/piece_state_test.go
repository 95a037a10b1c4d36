package torrents

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPieceStates(t *testing.T) {
	const piece = 256 << 10
	s := newSample(t, "big.bin", piece, map[string][]byte{"": randomBytes(20*piece + 1)})
	rec := newRecorder()
	opts := testOptions(t, rec, startPeer(t, s).addr)
	opts.Swarm.DownLimit = 1 << 20 // the engine's burst, and then four pieces a second
	l := mustOpen(t, opts)
	mustAdd(t, l, "r", s.metainfo)
	f := mustLoad(t, rec.await(t, s.infohash))[0]
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 8*piece)
		_, err := f.ReadAt(t.Context(), b, 0)
		if err == nil {
			_, err = f.ReadAt(t.Context(), b, int64(len(b)))
		}
		done <- err
	}()
	seen := make(map[PieceState]bool)
	await(t, "pieces in every state but unchecked", func() bool {
		states, length, err := l.PieceStates(s.infohash)
		if err != nil || length != piece || len(states) != 21 {
			t.Fatalf("%d states of pieces of %d bytes, %v", len(states), length, err)
		}
		for _, state := range states {
			seen[state] = true
		}
		return len(seen) >= 5
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if states, _, _ := l.PieceStates(s.infohash); states[15] != PieceCached || states[0] != PieceCached {
		t.Errorf("after reading 16 pieces they are %d", states)
	}
	if seen[PieceUnchecked] {
		t.Error("a piece of a new cache is unchecked")
	}
	// It was closed, and then, as after a crash, it was not.
	for _, want := range []PieceState{PieceCached, PieceUnchecked} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if want == PieceUnchecked {
			path := filepath.Join(opts.CacheDir, s.infohash.String()+".pieces")
			st, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, st.Size()-1)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		opts.Watcher = newRecorder()
		l = mustOpen(t, opts)
		got, _, err := l.PieceStates(s.infohash)
		if err != nil || got[3] != want {
			t.Errorf("reopened they are %d, %v; want piece 3 to be %d", got, err, want)
		}
	}
}
