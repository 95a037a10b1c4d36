package nlm

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shoal/nfsfs/rpc"
)

// grantee is a client's lock manager that accepts whatever is granted, and tells who waits for it.
type grantee struct {
	granted [8]chan struct{} // by process

	mu   sync.Mutex
	seen map[string]bool // by cookie
}

func (g *grantee) Serve(call *rpc.Call, reply []byte) ([]byte, rpc.Status) {
	a, err := decodeArguments(call.Args, procGranted, call.Version)
	if err != nil || call.Proc != procGranted || int(a.svid) >= len(g.granted) {
		return reply, rpc.GarbageArgs
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if again := g.seen[string(a.cookie)]; !again && a.svid%2 == 0 {
		g.granted[a.svid] <- struct{}{}
	}
	g.seen[string(a.cookie)] = true
	return appendResult(reply, a.cookie, granted, call.Version), rpc.Success
}

// have waits until a process has the lock on target: the even ones are called, the odd ones ask again.
func (g *grantee) have(p peer, i int, target []byte) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := p.exchange(procLock, p.lockArgs(1, 1, target))
		switch {
		case err != nil:
			p.t.Error(err)
			return false
		case bytes.Equal(b, p.result(granted)):
			return true
		case i%2 == 0:
			<-g.granted[i]
			return true
		}
	}
	p.t.Errorf("%d never has the lock", i)
	return false
}

// Many processes want the same range, and one has it at a time, whether they are called or ask again.
func TestExclusion(t *testing.T) {
	g := &grantee{seen: make(map[string]bool)}
	for i := range g.granted {
		g.granted[i] = make(chan struct{}, 100)
	}
	callback := listen(t, "127.0.0.2", Versions, g)
	h := newHandler(t, lookupFor(t, "127.0.0.2", callback, "udp"))
	port := listen(t, "127.0.0.1", Versions, h)
	var holder atomic.Int32
	var group sync.WaitGroup
	for i := range g.granted {
		p := connect(t, networks[i/4], "127.0.0.2", port, 4)
		group.Go(func() {
			target := p.target("tv", "file", uint32(i), 0, 0)
			for range 20 {
				if !g.have(p, i, target) {
					return
				}
				if !holder.CompareAndSwap(0, int32(i)+1) {
					t.Errorf("%d has the lock, and %d too", i, holder.Load()-1)
				}
				time.Sleep(100 * time.Microsecond)
				holder.Store(0)
				if _, err := p.exchange(procUnlock, p.unlockArgs(target)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	eventually(t, h, 0, 0)
}
