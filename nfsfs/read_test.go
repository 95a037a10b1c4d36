package nfsfs

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/tree"
)

func TestReadClips(t *testing.T) {
	tr := testTree(t, newStuck())
	w := dial(t, start(t, options(t, tr)))
	h := handleOf(t, tr, "films", "a torrent", "ready.txt")
	tests := []struct {
		off   uint64
		count uint32
		want  string
		eof   uint32
	}{
		{0, 1000, readyText, 1},
		{0, uint32(len(readyText)), readyText, 1},
		{0, 4, readyText[:4], 0},
		{4, 1 << 31, readyText[4:], 1},
		{uint64(len(readyText)), 10, "", 1},
		{1 << 62, 10, "", 1},
		{1<<63 + 3, 10, "", 1},
		{1<<64 - 1, 1<<32 - 1, "", 1},
		{3, 0, "", 0},
	}
	for _, test := range tests {
		reply := w.call(100003, 3, procRead, encodeRead(h, test.off, test.count))
		if got := reply[:6]; !slices.Equal(got, accepted(0, nfsOK)) {
			t.Errorf("%d bytes at %d: %v, want success", test.count, test.off, got)
			continue
		}
		// After the status: attributes (a flag and 21 words), count, eof, length, data.
		count, eof, length := reply[28], reply[29], reply[30]
		var data []byte
		for _, word := range reply[31:] {
			data = binary.BigEndian.AppendUint32(data, word)
		}
		if got := string(data[:length]); count != length || got != test.want || eof != test.eof {
			t.Errorf("%d bytes at %d: %q (count %d, eof %d), want %q, eof %d",
				test.count, test.off, got, count, eof, test.want, test.eof)
		}
	}
}

// TestSlowReadDelaysNothing lets READs wait for data that never comes, on the connection that other
// calls use.
func TestSlowReadDelaysNothing(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	w := dial(t, start(t, options(t, tr)))
	slow := handleOf(t, tr, "films", "a torrent", "stuck.bin")
	waiting := make(map[uint32]bool)
	for range maxConnWaiting {
		waiting[w.send(100003, 3, procRead, encodeRead(slow, 0, 4096))] = true
	}
	for range maxConnWaiting {
		<-never.reads
	}
	ready := handleOf(t, tr, "films", "a torrent", "ready.txt")
	for range 100 {
		if got := w.call(100003, 3, getattr, opaque(ready)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
			t.Fatalf("GETATTR: %v", got)
		}
	}
	if got := w.call(100003, 3, procRead, encodeRead(ready, 0, 10)); !slices.Equal(got[:6], accepted(0, nfsOK)) {
		t.Errorf("a READ of what is there: %v, want success", got)
	}
	// One READ more than may wait is told to come again.
	if got, want := w.call(100003, 3, procRead, encodeRead(slow, 0, 10)), accepted(0, nfsJukebox, 1); !slices.Equal(got[:len(want)], want) {
		t.Errorf("one READ more: %v, want NFS3ERR_JUKEBOX, %v", got, want)
	}
}

func TestReadWait(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	opts := options(t, tr)
	opts.ReadWait = 20 * time.Millisecond
	w := dial(t, start(t, opts))
	slow := handleOf(t, tr, "films", "a torrent", "stuck.bin")
	if got, want := w.call(100003, 3, procRead, encodeRead(slow, 0, 10)), accepted(0, nfsJukebox, 1); !slices.Equal(got[:len(want)], want) {
		t.Errorf("a READ that takes too long: %v, want NFS3ERR_JUKEBOX, %v", got, want)
	}
	<-never.ends // nothing waits for a READ that was answered
}

// TestDisconnectEndsReads hangs up while READs wait.
func TestDisconnectEndsReads(t *testing.T) {
	never := newStuck()
	tr := testTree(t, never)
	w := dial(t, start(t, options(t, tr)))
	for range 3 {
		w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "films", "a torrent", "stuck.bin"), 0, 10))
		<-never.reads
	}
	if err := w.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-never.ends
	}
}

// TestReadsThatComeInTime has READs that are given up just as their data comes, beside others that must
// not be harmed by that.
func TestReadsThatComeInTime(t *testing.T) {
	const wait = 5 * time.Millisecond
	tr := testTree(t, newStuck())
	for i, name := range []string{"late", "quick"} {
		took := []time.Duration{wait, wait / 4}[i]
		err := tr.PutTorrent(tree.Torrent{
			Infohash: tree.Infohash{byte(10 + i)}, Route: 2, Name: name, FirstID: uint64(1000 * (i + 1)), IsFile: true, Size: 10,
			Files: func() ([]tree.File, error) { return []tree.File{{Size: 10, Content: slow(took)}}, nil },
		}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
	}
	opts := options(t, tr)
	opts.ReadWait = wait
	s := start(t, opts)
	var wg sync.WaitGroup
	for _, name := range []string{"late", "quick"} {
		h := handleOf(t, tr, "films", name)
		for range 8 {
			w := dial(t, s)
			wg.Go(func() {
				for range 50 {
					w.send(100003, 3, procRead, encodeRead(h, 0, 10))
					if _, got := w.receive(); got[5] != nfsOK && got[5] != nfsJukebox {
						t.Errorf("%s: status %d, want success or NFS3ERR_JUKEBOX", name, got[5])
					}
				}
			})
		}
	}
	wg.Wait()
}

// slow is content that takes its time, or less if it is given up.
type slow time.Duration

func (slow) Ready(int64, int) bool { return false }

func (s slow) Await(ctx context.Context, _ int64, _ int) (func(), error) {
	select {
	case <-time.After(time.Duration(s)):
		return func() {}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (slow) ReadAt(_ context.Context, p []byte, _ int64) (int, error) { return len(p), nil }

// TestCloseBesideDeafClient has a client that does not receive what it asked for.
func TestCloseBesideDeafClient(t *testing.T) {
	tr := benchTree(t)
	s := start(t, options(t, tr))
	w := dial(t, s)
	for range 64 {
		w.send(100003, 3, procRead, encodeRead(handleOf(t, tr, "r", "f"), 0, maxRead))
	}
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*closeTime {
		t.Errorf("closing took %v, want about %v", took, closeTime)
	}
}
