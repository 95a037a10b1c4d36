package admin

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"shoal/torrents"
	"shoal/tree"
)

const (
	// maxFSReaders is how many are kept account of; beyond that the one that was silent longest is forgotten.
	maxFSReaders = 1024
	// readerTime is how long somebody who reads nothing counts as a reader, as it is with NFS.
	readerTime = time.Minute
)

// fsReaders keeps account of who reads which file over HTTP.
type fsReaders struct {
	mu       sync.Mutex // guards what follows
	accounts map[readerKey]*readerAccount
	sweeping bool // sweep is going to run
}

type readerKey struct {
	client netip.Addr
	node   tree.Node
}

type readerAccount struct {
	offset      int64 // behind the last byte that was read
	bytesRead   uint64
	first, last time.Time
}

func (a *readerAccount) over(now time.Time) bool { return now.Sub(a.last) > readerTime }

// read is told of each part of a file that was read.
func (f *fsReaders) read(key readerKey, offset int64, n int) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.accounts[key]
	if a == nil || a.over(now) {
		if a == nil && len(f.accounts) >= maxFSReaders {
			f.forgetOldest()
		}
		a = &readerAccount{first: now}
		if f.accounts == nil {
			f.accounts = make(map[readerKey]*readerAccount)
		}
		f.accounts[key] = a
	}
	a.offset, a.last = offset+int64(n), now
	a.bytesRead += uint64(n)
	if !f.sweeping {
		f.sweeping = true
		time.AfterFunc(readerTime, f.sweep)
	}
}

// sweep forgets readers that are over although nobody asks for them, as a node keeps its torrent in memory. It runs while there are
// any, and then once a minute.
func (f *fsReaders) sweep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetOver(time.Now())
	if f.sweeping = len(f.accounts) > 0; f.sweeping {
		time.AfterFunc(readerTime, f.sweep)
	}
}

// forgetOver needs f.mu.
func (f *fsReaders) forgetOver(now time.Time) {
	maps.DeleteFunc(f.accounts, func(_ readerKey, a *readerAccount) bool { return a.over(now) })
}

// forgetOldest needs f.mu.
func (f *fsReaders) forgetOldest() {
	var oldest readerKey
	var last time.Time
	for key, a := range f.accounts {
		if last.IsZero() || a.last.Before(last) {
			oldest, last = key, a.last
		}
	}
	delete(f.accounts, oldest)
}

// list lists who has read what within the last minute, in no order. What has been removed since is not among them.
func (f *fsReaders) list(t *tree.Tree) []Reader {
	f.mu.Lock()
	f.forgetOver(time.Now())
	kept := make(map[readerKey]readerAccount, len(f.accounts))
	for key, a := range f.accounts {
		kept[key] = *a
	}
	f.mu.Unlock()

	var list []Reader
	for key, a := range kept {
		handle := key.node.Handle()
		node, err := t.Resolve(handle[:]) // another one, if its torrent was removed and added again
		if err != nil {
			continue
		}
		ih, _ := node.Infohash() // nothing but torrents has files
		list = append(list, Reader{
			Protocol: ProtocolHTTP, Client: key.client, Path: "/" + strings.Join(node.Path(), "/"), Infohash: torrents.Infohash(ih),
			Size: node.Attr().Size, Offset: a.offset, BytesRead: a.bytesRead, Since: a.first, LastRead: a.last,
		})
	}
	return list
}

// allReaders joins those over NFS with those over HTTP, the latest first.
func (s *server) allReaders(nfs func() []Reader) func() []Reader {
	return func() []Reader {
		list := slices.Concat(nfs(), s.fsReaders.list(s.tree))
		slices.SortStableFunc(list, func(a, b Reader) int { return cmp.Or(b.LastRead.Compare(a.LastRead), a.Client.Compare(b.Client)) })
		return list
	}
}
