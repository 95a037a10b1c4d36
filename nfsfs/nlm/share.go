package nlm

import "slices"

// share is what a client that opened a file does with it, and what it lets others do meanwhile, as DOS
// has it (XNFS, chapter 10). The bits of access and of deny are 1 for reading and 2 for writing.
// The opener is known by its owner handle: these calls have no process number.
type share struct {
	client
	oh           string
	access, deny uint32
}

// shareAll is both bits.
const shareAll = 3

// share opens a file, or changes how the opener has it open.
func (t *table) share(handle string, s share) status {
	f := t.file(handle)
	mine := -1
	for i, o := range f.shares {
		if o.client == s.client && o.oh == s.oh {
			mine = i
		} else if s.access&o.deny != 0 || s.deny&o.access != 0 {
			return denied
		}
	}
	switch {
	case mine >= 0:
		f.shares[mine] = s
		return granted
	case !t.room(f, s.addr, 1):
		return noLocks
	}
	f.shares = append(f.shares, s)
	t.account(f, s.client, 1)
	return granted
}

// unshare closes it.
func (t *table) unshare(handle string, s share) {
	f := t.files[handle]
	if f == nil {
		return
	}
	before := len(f.shares)
	f.shares = slices.DeleteFunc(f.shares, func(o share) bool { return o.client == s.client && o.oh == s.oh })
	t.account(f, s.client, len(f.shares)-before)
}
