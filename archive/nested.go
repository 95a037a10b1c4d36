package archive

import (
	"context"
	"fmt"
)

// nest returns a member as an archive, if it may be one.
func (a *Archive) nest(entry int, name string, f File) *Archive {
	if f == nil {
		return nil
	}
	return a.store.archive(a.memberKey(entry), name, f, nil, a.depth+1)
}

// countNested counts an archive in another one, as it is about to be listed. The error is ErrLimit if its torrent has too many of them: it
// need not come again after a restart, as that depends on which ones were looked into.
func (s *Store) countNested(a *Archive) error {
	if a.depth == 1 {
		return nil
	}
	torrent := folderOf(a.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.counted {
		return nil
	}
	if limit := s.opts.Limits.Nested; s.nested[torrent] >= limit {
		return fmt.Errorf("%w: %d archives inside archives of the torrent are folders already", ErrLimit, limit)
	}
	s.nested[torrent]++
	a.counted = true
	return nil
}

// weigh returns how many members a list takes the memory of: one with many holes takes that of several.
func weigh(list []Member) int {
	const partsOfOne = 10
	all := len(list)
	weighed := make(map[*extents]struct{})
	for i := range list {
		x, ok := list[i].File.(*extents)
		if !ok || len(x.list) < partsOfOne {
			continue
		}
		if _, isLink := weighed[x]; !isLink {
			weighed[x] = struct{}{}
			all += len(x.list) / partsOfOne
		}
	}
	return all
}

// countMembers counts those of an archive that is about to be known, once: who gave up reading it may end beside the next one. The error is
// ErrCrowded.
func (s *Store) countMembers(a *Archive, members int) error {
	torrent := folderOf(a.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.known {
		return nil
	}
	all := 0
	for _, n := range s.members {
		all += n
	}
	if limit := s.opts.Limits.Known; all+members > limit {
		return fmt.Errorf("%w: %d, and %d more are above the limit of %d", ErrCrowded, all, members, limit)
	}
	s.members[torrent] += members
	a.known = true
	return nil
}

// checkNested says, for an archive in another one, whether listing it may decode too much.
func (a *Archive) checkNested(ctx context.Context) error {
	limit := a.store.opts.Limits.NestedSize
	if a.depth == 1 || a.file.Size() <= limit {
		return nil
	}
	f, err := a.file, error(nil)
	switch member := f.(type) {
	case *lazy:
		clock := workClockOf(ctx)
		clock.pause() // that may have been begun by others, with their clock
		f, err = member.file(ctx)
		clock.goOn()
	case *rarFile:
		f, err = member.open()
	}
	if err != nil {
		return err
	}
	switch f.(type) {
	case *deflated, *spooled:
		return fmt.Errorf("%w: it is compressed inside another archive and has %d bytes, more than the %d that may be decoded to list it",
			ErrLimit, f.Size(), limit)
	}
	return nil
}
