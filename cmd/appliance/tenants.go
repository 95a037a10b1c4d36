package main

import (
	"strconv"
	"time"

	"shoal/archive"
	"shoal/torrents"
)

// Folders of the cache, and the part of its limit that each may take at most.
const (
	spoolFolder, spoolShare = "spool", 2
	indexFolder, indexShare = "index", 16
)

// spoolKeeper looks after what was decoded of archives, which costs as much as it takes to decode it again.
type spoolKeeper struct{ *archives }

var _ torrents.Keeper = spoolKeeper{}

func (k spoolKeeper) Free(n int64, before time.Time, force bool) int64 {
	if store := k.store.Load(); store != nil {
		return store.FreeSpool(n, before, force)
	}
	return 0
}

func (k spoolKeeper) Evict(ih torrents.Infohash, files []int) (freed int64) {
	store := k.store.Load()
	switch {
	case store == nil:
	case len(files) == 0:
		freed = store.Evict(ih.String())
	default:
		for _, index := range files {
			freed += store.Evict(archiveKey(ih, index))
		}
	}
	return freed
}

func (k spoolKeeper) Forget(ih torrents.Infohash) error {
	if store := k.store.Load(); store != nil {
		return store.Forget(ih.String())
	}
	return nil
}

// indexKeeper looks after what is known of archives. It is little, and dear: a list costs pieces from the far end of a file.
type indexKeeper struct{ *archives }

var _ torrents.Keeper = indexKeeper{}

// Free frees nothing unless it is forced to.
func (k indexKeeper) Free(n int64, _ time.Time, force bool) int64 {
	if store := k.store.Load(); store != nil && force {
		return store.FreeIndexes(n)
	}
	return 0
}

// Evict keeps it: who evicts the data of a torrent may look into its folders still.
func (indexKeeper) Evict(torrents.Infohash, []int) int64 { return 0 }

// Forget leaves it to that of the spool, which is for both.
func (indexKeeper) Forget(torrents.Infohash) error { return nil }

// archiveKey is below what is kept of a file that may be shown as a folder.
func archiveKey(ih torrents.Infohash, index int) string {
	return ih.String() + "/" + strconv.Itoa(index)
}

// forgetOthers removes what was kept of torrents that are not in the library any more.
func forgetOthers(store *archive.Store, library *torrents.Library) error {
	var known []string
	for _, ih := range library.Infohashes() {
		known = append(known, ih.String())
	}
	return store.Keep(known)
}
