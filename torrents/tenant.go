package torrents

import (
	"time"

	"shoal/torrents/cache"
)

// Tenant is somebody who keeps files in a folder of the cache, within its limit.
type Tenant = cache.Tenant

// Keeper looks after the files of a tenant. The library calls it from any goroutine, and waits for it. So its methods may call Tenant.Add and
// Tenant.Give, and wait for the disk, but neither call Tenant.Take, nor wait for anybody who is in that, nor call the library.
type Keeper interface {
	// Free removes what was last used before a time, what was used least lately first, until n bytes are free, and returns how many
	// are. What is in use goes only if force says so, and may do so a little later.
	Free(n int64, before time.Time, force bool) int64
	// Evict removes what is not in use of some files of a torrent, by their places in the metainfo, or of all of them if there are
	// none, and returns how many bytes that were.
	Evict(ih Infohash, files []int) int64
	// Forget removes everything of a torrent, in use or not.
	Forget(ih Infohash) error
}

// keeper is a Keeper as the cache has it.
type keeper struct{ Keeper }

func (k keeper) Evict(key cache.Key, files []int) int64 { return k.Keeper.Evict(Infohash(key), files) }
func (k keeper) Forget(key cache.Key) error             { return k.Keeper.Forget(Infohash(key)) }

// Lodge lets somebody keep files in a folder of Options.CacheDir that is called so. They take a part of the limit at most: half of it
// with a share of 2. He calls Tenant.Add once, for what an earlier run has left there and he keeps.
func (l *Library) Lodge(folder string, share int64, k Keeper) *Tenant {
	return l.cache.Lodge(folder, share, keeper{k})
}

// Infohashes lists the torrents, in no order. It reads nothing.
func (l *Library) Infohashes() []Infohash {
	entries := l.list()
	list := make([]Infohash, len(entries))
	for i, e := range entries {
		list[i] = e.ih
	}
	return list
}
