package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/admin"
	"shoal/archive"
	"shoal/archive/spool"
	"shoal/torrents"
)

// The admin site is told of archives, and looks into them.

var _ admin.Archives = (*archives)(nil)

const (
	// lookWait is how long whoever asks for a look waits for its end.
	lookWait = 5 * time.Second
	// maxLooks is how many looks may be under way that were asked for: each may wait for peers.
	maxLooks = 32
)

// look is one into an archive that was asked for.
type look struct {
	done chan struct{} // closed when it has ended
	err  error         // set before
}

// listedArchive is an archive of a torrent, or in another one.
type listedArchive struct {
	set     *archiveSet
	place   string
	path    []string
	archive *archive.Archive
}

// all lists the files of the torrent that are archives, in the order of the metainfo.
func (s *archiveSet) all() ([]listedArchive, error) {
	s.mu.Lock()
	listed := s.listed
	s.mu.Unlock()
	if !listed {
		if err := s.load(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	s.listed = true
	files := make([]*shownArchive, 0, len(s.files))
	for _, index := range slices.Sorted(maps.Keys(s.files)) {
		files = append(files, s.files[index])
	}
	s.mu.Unlock()
	list := make([]listedArchive, len(files))
	for i, f := range files {
		a, err := f.open()
		if err != nil {
			return nil, err
		}
		list[i] = listedArchive{s, f.place, f.path, a}
	}
	return list, nil
}

// within appends an archive and those in it that somebody has looked into.
func (l listedArchive) within(list []listedArchive) []listedArchive {
	list = append(list, l)
	members, _ := l.archive.Known()
	for _, i := range l.archive.Nested() {
		list = l.member(members, i).within(list)
	}
	return list
}

// member returns the archive that is a member.
func (l listedArchive) member(members []archive.Member, i int) listedArchive {
	path := slices.Concat(l.path, pathInside(members, i))
	return listedArchive{l.set, l.place + placeSeparator + strconv.Itoa(i), path, members[i].Archive}
}

// List lists archives of a torrent by place.
func (a *archives) List(ih torrents.Infohash, query admin.ArchiveQuery) (admin.ArchivePage, error) {
	page := admin.ArchivePage{Archives: []admin.Archive{}}
	set := a.set(ih)
	if set == nil {
		return page, nil // its metadata is unknown
	}
	files, err := set.all()
	if err != nil {
		return page, err
	}
	var list []listedArchive
	for _, f := range files {
		list = f.within(list)
	}
	page.Total = len(list)
	if query.State != "" {
		list = slices.DeleteFunc(list, func(l listedArchive) bool { return a.describe(l).State != query.State })
		page.Total = len(list)
	}
	if query.After != "" {
		after := placeNumbers(query.After)
		first := slices.IndexFunc(list, func(l listedArchive) bool { return slices.Compare(placeNumbers(l.place), after) > 0 })
		if first < 0 {
			first = len(list)
		}
		list = list[first:]
	}
	page.More = len(list) > query.Limit
	for _, l := range list[:min(len(list), query.Limit)] {
		page.Archives = append(page.Archives, a.describe(l))
	}
	return page, nil
}

// placeNumbers takes a place apart, which orders places as they are listed.
func placeNumbers(place string) []int {
	var numbers []int
	for part := range strings.SplitSeq(place, placeSeparator) {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = -1 // is no member
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// archiveStates are what the admin site calls them.
var archiveStates = map[archive.State]admin.ArchiveState{
	archive.StateUnread:  admin.ArchiveUnread,
	archive.StateWaiting: admin.ArchiveWaiting,
	archive.StateListed:  admin.ArchiveFolder,
	archive.StateRefused: admin.ArchiveRefused,
}

// describe says what is known of an archive.
func (a *archives) describe(l listedArchive) admin.Archive {
	a.mu.Lock()
	_, isRead := a.looks[l.archive]
	a.mu.Unlock()
	status := l.archive.Status()
	l.set.noteRefused(l.place, status.Reason)
	d := admin.Archive{Place: l.place, Path: strings.Join(l.path, "/"), Size: l.archive.Size(), State: archiveStates[status.State]}
	switch {
	case isRead:
		d.State = admin.ArchiveReading
	case status.Reason != nil:
		d.Reason = status.Reason.Error()
	case status.State == archive.StateListed:
		d.Reason = l.archive.Partial()
	}
	if status.Members >= 0 {
		d.Members = &status.Members
	}
	return d
}

// Refused returns how many archives of a torrent stay files, as far as that is known since the start.
func (a *archives) Refused(ih torrents.Infohash) int {
	set := a.set(ih)
	if set == nil {
		return 0
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	return len(set.refused)
}

// Look forgets why an archive was refused, and reads it, which goes on when the caller waits no longer.
func (a *archives) Look(ctx context.Context, ih torrents.Infohash, place string) (admin.Archive, error) {
	l, err := a.find(ih, place)
	if err != nil {
		return admin.Archive{}, err
	}
	begun, err := a.begin(l)
	if err != nil {
		return admin.Archive{}, err
	}
	wait := time.NewTimer(lookWait)
	defer wait.Stop()
	select {
	case <-begun.done:
		switch err := begun.err; {
		case err == nil, archive.Refuses(err):
		case errors.Is(err, archive.ErrCrowded), errors.Is(err, spool.ErrNoRoom):
			return admin.Archive{}, fmt.Errorf("%w: %w", admin.ErrNoRoom, err)
		default:
			return admin.Archive{}, err
		}
	case <-wait.C:
	case <-ctx.Done():
		return admin.Archive{}, ctx.Err()
	}
	return a.describe(l), nil
}

// find returns an archive by its place. The error is torrents.ErrNotFound.
func (a *archives) find(ih torrents.Infohash, place string) (listedArchive, error) {
	missing := fmt.Errorf("archive %s of torrent %s: %w", place, ih, torrents.ErrNotFound)
	set := a.set(ih)
	if set == nil {
		return listedArchive{}, missing
	}
	files, err := set.all()
	if err != nil {
		return listedArchive{}, err
	}
	numbers := placeNumbers(place)
	top := slices.IndexFunc(files, func(l listedArchive) bool { return l.place == strconv.Itoa(numbers[0]) })
	if top < 0 {
		return listedArchive{}, missing
	}
	l := files[top]
	for _, i := range numbers[1:] {
		members, _ := l.archive.Known()
		if i < 0 || i >= len(members) || members[i].Archive == nil {
			return listedArchive{}, missing
		}
		l = l.member(members, i)
	}
	return l, nil
}

// begin begins a look, unless one is under way. The error is admin.ErrBusy, or torrents.ErrClosed.
func (a *archives) begin(l listedArchive) (*look, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch begun := a.looks[l.archive]; {
	case a.closed:
		return nil, torrents.ErrClosed
	case begun != nil:
		return begun, nil
	case len(a.looks) == maxLooks:
		return nil, admin.ErrBusy
	}
	begun := &look{done: make(chan struct{})}
	a.looks[l.archive] = begun
	a.tasks.Go(func() {
		begun.err = a.lookInto(l)
		a.mu.Lock()
		delete(a.looks, l.archive)
		a.mu.Unlock()
		close(begun.done)
	})
	return begun, nil
}

func (a *archives) lookInto(l listedArchive) error {
	l.archive.Ask()
	l.set.lookedFor(l.place)
	l.set.noteRefused(l.place, nil) // so that it is logged should it be refused again
	_, err := l.set.members(a.ctx, l.archive, l.place, l.path)
	if err != nil && !archive.Refuses(err) && a.ctx.Err() == nil {
		a.log.Warn("an archive could not be read", "torrent", l.set.ih, "path", strings.Join(l.path, "/"), "err", err)
	}
	return err
}
