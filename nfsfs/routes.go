package nfsfs

import (
	"sync/atomic"

	"shoal/tree"
)

// routeAccount is what clients were sent of the files in a route.
type routeAccount struct {
	id     tree.RouteID
	read   atomic.Uint64 // bytes
	missed bool          // the route was not there when somebody last looked; guarded by ledger.mu
}

// routeRead counts bytes for the route that the node is in now: torrents move.
func (l *ledger) routeRead(r *readerAccount, node *tree.Node, n int) {
	id, ok := node.Route()
	if !ok {
		return
	}
	a := r.route.Load()
	if a == nil || a.id != id {
		a = l.route(id)
		r.route.Store(a)
	}
	a.read.Add(uint64(n))
}

func (l *ledger) route(id tree.RouteID) *routeAccount {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.routes[id]
	if a == nil {
		a = &routeAccount{id: id}
		l.routes[id] = a
	}
	return a
}

// routeBytes returns how many bytes clients were sent of each of these routes. Others are forgotten the second time that they are not
// among them: one that is new may be here before it was listed, and its account is in use by then.
func (l *ledger) routeBytes(known map[tree.RouteID]string) map[tree.RouteID]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := make(map[tree.RouteID]uint64, len(known))
	for id := range known {
		bytes[id] = 0
	}
	for id, a := range l.routes {
		_, ok := known[id]
		switch {
		case ok:
			bytes[id], a.missed = a.read.Load(), false
		case a.missed:
			delete(l.routes, id)
		default:
			a.missed = true
		}
	}
	return bytes
}

// routeNames returns the names of the routes.
func routeNames(t *tree.Tree) map[tree.RouteID]string {
	root := t.Root()
	dir, err := root.Dir()
	if err != nil {
		return nil // never: the root is always there
	}
	names := make(map[tree.RouteID]string)
	for _, e := range dir.Entries() {
		if id, ok := e.Node.Route(); ok {
			names[id] = e.Name
		}
	}
	return names
}

// BytesRead returns how many bytes of files clients were sent since the start.
func (s *Server) BytesRead() uint64 { return s.ledger.bytes.Load() }
