package torrents

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal/torrents/cache"
)

// prefetchAhead is how many bytes a prefetch asks for at a time: as far ahead as a stream goes.
const prefetchAhead = maxReadAhead

// prefetchLook is how often a prefetch checks what could not be read, or not be evicted, since it has begun: nobody else may do so.
const prefetchLook = time.Second

// Prefetch fetches what is missing of a file or folder of a torrent, or of all of it if path is empty, in the background, until it is
// there or the torrent is paused or removed, or the library closed. It is not resumed by the next start. The error is ErrNotFound for the
// torrent or the path, ErrFailed, ErrPaused, or an *InputError if the cache cannot hold that much.
func (l *Library) Prefetch(ih Infohash, path string) error {
	e, spans, _, err := l.inside(ih, path)
	if err != nil {
		return err
	}
	rec := e.record()
	if rec.Paused {
		return fmt.Errorf("torrent %s: %w", ih, ErrPaused)
	}
	g := rec.geometry()
	var need int64
	for _, span := range spans {
		need += int64(span.Len()) * g.PieceLength
	}
	if limit := l.cache.Limit(); need > limit {
		return inputErrorf("that is %s, and the limit of the cache is %s", sizeText(need), sizeText(limit))
	}
	l.changing.Lock() // none begins after Close
	defer l.changing.Unlock()
	if isClosed(l.closing) {
		return ErrClosed
	}
	begun, err := e.beginPrefetch(path)
	if err != nil || !begun {
		return err
	}
	l.workers.Go(func() {
		defer e.endPrefetch(path)
		if err := e.prefetch(spans); err != nil && !errors.Is(err, ErrPaused) {
			_ = e.readFailed(fmt.Errorf("prefetch: %w", err)) // logged there
		}
	})
	return nil
}

// maxPrefetches is how many files and folders of a torrent are fetched ahead at a time.
const maxPrefetches = 16

// beginPrefetch notes that path is being fetched ahead, and says whether it was not already. The error is an *InputError.
func (e *entry) beginPrefetch(path string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.prefetching[path]; ok {
		return false, nil
	}
	if len(e.prefetching) >= maxPrefetches {
		return false, inputErrorf("of this torrent, %d files and folders are being fetched already; prefetch the folder above them instead", maxPrefetches)
	}
	if e.prefetching == nil {
		e.prefetching = make(map[string]struct{})
	}
	e.prefetching[path] = struct{}{}
	return true, nil
}

func (e *entry) endPrefetch(path string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.prefetching, path)
}

// prefetch fetches pieces one after the other, and asks for the next ones meanwhile.
func (e *entry) prefetch(spans []cache.Span) error {
	s, err := e.use()
	if err != nil {
		return err
	}
	defer e.release()
	ahead := max(2, int(prefetchAhead/s.meta.pieceLength))
	for _, span := range spans {
		for first := span.First; first <= span.Last; first += ahead {
			part := cache.Span{First: first, Last: min(span.Last, first+ahead-1)}
			if err := e.prefetchPart(s, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *entry) prefetchPart(s *session, part cache.Span) error {
	if err := s.pieces.Check(e.ctx, part); err != nil {
		return err
	}
	if s.pieces.Ready(part) {
		return nil
	}
	m, err := e.joinSoon(e.ctx, s)
	if err != nil {
		return err
	}
	s.pieces.Want(part, cache.Ahead, 1, 0)
	defer s.pieces.Want(part, cache.Ahead, -1, 0)
	look := time.NewTicker(prefetchLook)
	defer look.Stop()
	for piece := part.First; piece <= part.Last; {
		select {
		case <-s.pieces.Done(piece):
			piece++
		case <-look.C:
			if err := s.pieces.Check(e.ctx, part); err != nil {
				return err
			}
		case <-e.ctx.Done():
			return e.ended()
		case <-m.paused:
			return fmt.Errorf("torrent %s: %w", e.ih, ErrPaused)
		case <-m.broken:
			return fmt.Errorf("write the cache: %w", m.cause)
		}
	}
	return nil
}

// Evict frees what is in the cache of a file or folder of a torrent, or of all of it if path is empty, but for what is being read, and
// returns how many bytes that were. Pieces that are also of other files go as well, and what tenants keep of these files. The error is ErrNotFound for the torrent or the path,
// ErrPinned, ErrFailed, or one of the disk.
func (l *Library) Evict(ih Infohash, path string) (freed int64, err error) {
	e, spans, files, err := l.inside(ih, path)
	if err != nil {
		return 0, err
	}
	if e.record().Pinned {
		return 0, fmt.Errorf("torrent %s: %w", ih, ErrPinned)
	}
	s, err := e.use()
	if err != nil {
		return 0, err
	}
	defer e.release()
	for _, span := range spans {
		n, err := s.pieces.Evict(span)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed + l.cache.EvictTenants(ih.key(), files), nil
}

// inside returns the pieces of a file or folder of a torrent, and the places of these files in the metainfo, none for all of them.
func (l *Library) inside(ih Infohash, path string) (e *entry, spans []cache.Span, files []int, err error) {
	if e, err = l.entry(ih); err != nil {
		return nil, nil, nil, err
	}
	if rec := e.record(); !rec.resolved() {
		return nil, nil, nil, fmt.Errorf("the files of torrent %s are not known yet: %w", ih, ErrNotFound)
	}
	meta, err := e.metainfo()
	if err != nil {
		return nil, nil, nil, err
	}
	var names []string
	if path = strings.Trim(path, "/"); path != "" {
		names = strings.Split(path, "/")
	}
	for i := range meta.Files {
		f := &meta.Files[i]
		if len(f.Path) < len(names) || !slices.Equal(f.Path[:len(names)], names) {
			continue
		}
		files = append(files, f.Index)
		span := meta.span(f, 0, f.Size)
		if n := len(spans); n > 0 && span.Len() > 0 && span.First <= spans[n-1].Last+1 {
			spans[n-1].Last = max(spans[n-1].Last, span.Last)
		} else if span.Len() > 0 {
			spans = append(spans, span)
		}
	}
	if len(files) == 0 && path != "" {
		return nil, nil, nil, fmt.Errorf("%q in torrent %s: %w", path, ih, ErrNotFound)
	}
	if path == "" {
		files = nil
	}
	return e, spans, files, nil
}
