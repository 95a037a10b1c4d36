package relay

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// maxReplies is how many replies are kept for calls that come again, at some hundred bytes each.
	maxReplies = 1024
	// replyTime is how long they are kept: clients that still miss a reply after this have given up, or
	// begun to count their calls anew.
	replyTime = 2 * time.Minute
)

// reply is the reply to a call, once done is closed.
type reply struct {
	done   chan struct{}
	result []byte
	err    error

	key replyKey
	at  time.Time
}

// replyKey tells calls apart: by client, and by all that it sent, the XID among it.
type replyKey struct {
	client netip.Addr
	call   uint64
}

// replies are those to the latest calls: a REMOVE that is made again because its reply was lost must
// not fail for lack of the file.
type replies struct {
	seed  maphash.Seed
	mu    sync.Mutex
	byKey map[replyKey]*list.Element
	order list.List // of *reply, oldest first
}

// find returns the reply to a call, which the caller has to fill in if it is the first to ask.
func (r *replies) find(client netip.Addr, call []byte, now time.Time) (_ *reply, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey, r.seed = make(map[replyKey]*list.Element), maphash.MakeSeed()
	}
	for e := r.order.Front(); e != nil && now.Sub(e.Value.(*reply).at) >= replyTime; e = r.order.Front() {
		r.drop(e)
	}
	key := replyKey{client, maphash.Bytes(r.seed, call)}
	if e, ok := r.byKey[key]; ok {
		return e.Value.(*reply), false
	}
	if r.order.Len() >= maxReplies {
		r.drop(r.order.Front())
	}
	p := &reply{done: make(chan struct{}), key: key, at: now}
	r.byKey[key] = r.order.PushBack(p)
	return p, true
}

func (r *replies) drop(e *list.Element) {
	delete(r.byKey, e.Value.(*reply).key)
	r.order.Remove(e)
}
