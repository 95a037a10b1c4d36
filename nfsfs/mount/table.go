package mount

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// maxMounts is how many mounts are remembered. They are for people to look at, and nothing depends on
// them: clients come and go without a word.
const maxMounts = 1024

// Mount is a folder that a client has mounted, as far as it told.
type Mount struct {
	Client  netip.Addr
	Path    string
	Machine string // what the client calls itself; may be empty
	Since   time.Time
}

// table is what clients have mounted.
type table struct {
	mu     sync.Mutex
	mounts []Mount // oldest first
}

func (t *table) add(client netip.Addr, path, machine string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mounts = slices.DeleteFunc(t.mounts, func(m Mount) bool { return m.Client == client && m.Path == path })
	if len(t.mounts) >= maxMounts {
		t.mounts = slices.Delete(t.mounts, 0, 1)
	}
	t.mounts = append(t.mounts, Mount{client, path, machine, at})
}

func (t *table) remove(client netip.Addr, path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mounts = slices.DeleteFunc(t.mounts, func(m Mount) bool { return m.Client == client && m.Path == path })
}

func (t *table) removeAll(client netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mounts = slices.DeleteFunc(t.mounts, func(m Mount) bool { return m.Client == client })
}

// list returns them by client and path.
func (t *table) list() []Mount {
	t.mu.Lock()
	list := slices.Clone(t.mounts)
	t.mu.Unlock()
	slices.SortFunc(list, func(a, b Mount) int {
		return cmp.Or(a.Client.Compare(b.Client), cmp.Compare(a.Path, b.Path))
	})
	return list
}
