package nlm

import "net/netip"

// All that is kept is kept in memory, and none of it can be had back from a client that does not want to
// let go. So there are limits; what goes beyond is answered with LCK_DENIED_NOLOCKS. An entry is a range
// that is held, a request that waits for one, or a share. It takes less than 1 KiB, as names are limited
// too: some 50 MiB if dozens of clients do their worst together.
const (
	// maxEntries is how many entries there may be.
	maxEntries = 65536
	// maxHostEntries is how many there may be from one address, behind which there may be many clients.
	maxHostEntries = 16384
	// maxFileEntries is how many there may be on one file: every call looks at all of them.
	maxFileEntries = 4096
	// maxWaiting is how many requests may wait, and maxHostWaiting from one address.
	maxWaiting     = 4096
	maxHostWaiting = 1024
	// maxFileWaiting is how many may wait on one file: whenever a range becomes free, each of them is
	// compared with all that is held.
	maxFileWaiting = 256
	// maxKept is the longest name of a host, or of an owner, that is kept. The protocol allows 1024
	// bytes; a host name has 255 at most, and owners are a process number and a host name.
	maxKept = 255
)

// client is a host that locks: the address that its calls come from, and how it calls itself. The address
// alone would make one client of all that are behind a router which translates addresses, or in virtual
// machines; the name alone could be anybody's.
type client struct {
	addr netip.Addr
	name string
}

// host is what an address has.
type host struct {
	entries int
	waiting int
	clients map[string]map[*file]int // entries by name and file
}

// room says whether there may be n more entries of an address on a file.
func (t *table) room(f *file, addr netip.Addr, n int) bool {
	if t.entries+n > maxEntries || f.entries+n > maxFileEntries {
		return false
	}
	h := t.hosts[addr]
	return h == nil || h.entries+n <= maxHostEntries
}

// roomToWait says whether one more request of an address may wait for a file.
func (t *table) roomToWait(f *file, addr netip.Addr) bool {
	if !t.room(f, addr, 1) || t.waiting >= maxWaiting || len(f.queue) >= maxFileWaiting {
		return false
	}
	h := t.hosts[addr]
	return h == nil || h.waiting < maxHostWaiting
}

// account notes that a client has n more entries on a file, or fewer. A file is in the table as long as
// it has any, and so is a host.
func (t *table) account(f *file, c client, n int) {
	if n == 0 {
		return
	}
	h := t.hosts[c.addr]
	if h == nil {
		h = &host{clients: make(map[string]map[*file]int)}
		t.hosts[c.addr] = h
	}
	files := h.clients[c.name]
	if files == nil {
		files = make(map[*file]int)
		h.clients[c.name] = files
	}
	t.files[f.handle] = f
	t.entries += n
	h.entries += n
	f.entries += n
	if files[f] += n; files[f] == 0 {
		delete(files, f)
	}
	if len(files) == 0 {
		delete(h.clients, c.name)
	}
	if h.entries == 0 {
		delete(t.hosts, c.addr)
	}
	if f.entries == 0 {
		delete(t.files, f.handle)
	}
}
