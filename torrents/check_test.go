package torrents

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"shoal/torrents/cache"
)

// openSlow lets a torrent, complete in the cache, be what an earlier run has left. begun gets something for each check, which ends
// when goOn is closed.
func openSlow(t *testing.T) (l *Library, s *session, file *File, begun, goOn chan struct{}) {
	t.Helper()
	sample := newSample(t, "slow", 16<<10, map[string][]byte{"x": randomBytes(10_000)})
	rec := newRecorder()
	l = mustOpen(t, testOptions(t, rec, startPeer(t, sample).addr))
	mustAdd(t, l, "r", sample.metainfo)
	readFiles(t, rec.await(t, sample.infohash), sample.files)
	e := l.entries[sample.infohash]
	if err := e.rest(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	meta, err := e.loadMetainfo()
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn = make(chan struct{}, 8), make(chan struct{})
	verify := func(_ int, r io.Reader) (bool, error) {
		begun <- struct{}{}
		<-goOn
		_, err := io.Copy(io.Discard, r)
		return true, err
	}
	p, err := l.cache.Open(e.ih.key(), meta.geometry(), verify)
	if err != nil {
		t.Fatal(err)
	}
	p.Distrust(cache.Span{First: 0, Last: 0})
	s = &session{meta: meta, pieces: p, streams: make(map[int]*streams), stop: make(chan struct{})}
	e.mu.Lock()
	e.session = s
	e.mu.Unlock()
	return l, s, &mustLoad(t, rec.await(t, sample.infohash))[0], begun, goOn
}

// TestLeaveWhileChecked has a reader who goes while somebody else hashes the piece: that is no damage to the cache.
func TestLeaveWhileChecked(t *testing.T) {
	_, s, file, begun, goOn := openSlow(t)
	first := make(chan error)
	go func() {
		_, err := file.ReadAt(t.Context(), make([]byte, 10), 0)
		first <- err
	}()
	<-begun
	gone := errors.New("gone")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, gone)
	defer cancel()
	if _, err := file.ReadAt(ctx, make([]byte, 10), 0); !errors.Is(err, gone) {
		t.Errorf("who has gone gets %v", err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Errorf("who stayed gets %v", err)
	}
	if s.damaged.Load() {
		t.Error("the cache is taken for damaged")
	}
	if got, err := file.entry.lib.Torrent(file.entry.ih); err != nil || got.Reason != "" {
		t.Errorf("the torrent has the reason %q, %v", got.Reason, err)
	}
}

// TestRemoveWhileChecked removes a torrent while a read hashes what an earlier run has left.
func TestRemoveWhileChecked(t *testing.T) {
	l, _, file, begun, goOn := openSlow(t)
	result := make(chan error)
	go func() {
		_, err := file.ReadAt(t.Context(), make([]byte, 10), 0)
		result <- err
	}()
	<-begun
	if err := l.Remove(file.entry.ih); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-result; !errors.Is(err, ErrNotFound) {
		t.Errorf("read: %v, want %v", err, ErrNotFound)
	}
}
