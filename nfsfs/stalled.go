package nfsfs

import (
	"net/netip"
	"sync"
	"time"

	"shoal/tree"
)

// stallTime is how long a READ waits before its reader counts as stalled: what a player has buffered lasts for longer than that.
const stallTime = 5 * time.Second

// waits are the READs that wait for the swarm. Package rpc limits how many there are.
type waits struct {
	mu  sync.Mutex
	all map[*wait]struct{}
}

type wait struct {
	readerKey
	since time.Time
}

// begin notes a READ that begins to wait, until over is called, once.
func (w *waits) begin(client netip.Addr, node tree.Node) (over func()) {
	one := &wait{readerKey{client, node}, time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all[one] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, one)
	}
}

// stalled returns how many readers have a READ that has waited for stallTime by now.
func (w *waits) stalled(now time.Time) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	readers := make(map[readerKey]struct{})
	for one := range w.all {
		if now.Sub(one.since) >= stallTime {
			readers[one.readerKey] = struct{}{}
		}
	}
	return len(readers)
}
