//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"
)

// page is a part of a folder.
type page struct {
	*decoder

	verifier uint64
	cookie   uint64 // of the last entry so far
	end      bool   // known when all entries were looked at
}

// entry is one of its entries. It is good as long as the reply is.
type entry struct{ name, attributes, handle []byte }

// page asks for the entries after the cookie.
func (s *session) page(cookie, verifier uint64) (*page, error) {
	args := appendOpaque(nil, s.folder)
	args = big.AppendUint64(args, cookie)
	args = big.AppendUint64(args, verifier)
	// dircount and maxcount: Linux asks for the same in both.
	args = big.AppendUint32(args, uint32(s.Page))
	args = big.AppendUint32(args, uint32(s.Page))
	reply, err := s.call(programNFS, procReaddirplus, args)
	if err != nil {
		return nil, fmt.Errorf("READDIRPLUS after %x: %w", cookie, err)
	}
	reply.attributes()
	return &page{decoder: reply, verifier: reply.uint64(), cookie: cookie}, nil
}

// next takes the next entry. There is none at the end of the page, nor where err is set. It is written
// out, without the decoder's steps, as with those the client would work longer than a good server.
func (p *page) next(e *entry) bool {
	const (
		toName   = 4 + 8 + 4            // that there is one, file id, length of the name
		toHandle = 8 + 4 + attrSize + 4 // cookie, attributes, that there is a handle
	)
	b := p.b
	if len(b) < toName || big.Uint32(b) == 0 {
		p.last()
		return false
	}
	size := int(big.Uint32(b[12:]))
	if toName+padded(size)+toHandle+4 > len(b) {
		return p.nextBare(e)
	}
	rest := b[toName+padded(size):]
	if big.Uint32(rest[8:]) != 1 || big.Uint32(rest[12+attrSize:]) != 1 {
		return p.nextBare(e)
	}
	length := int(big.Uint32(rest[toHandle:]))
	handle := rest[toHandle+4:]
	if padded(length) > len(handle) {
		return p.nextBare(e)
	}
	p.cookie = big.Uint64(rest)
	e.name, e.attributes, e.handle = b[toName:toName+size], rest[12:12+attrSize], handle[:length]
	p.b = handle[padded(length):]
	return true
}

// nextBare is next for an entry without attributes or handle, as "." and ".." may be, and for one that
// is cut off.
func (p *page) nextBare(e *entry) bool {
	p.uint32() // that there is one
	p.uint64() // file id
	e.name = p.opaque()
	p.cookie = p.uint64()
	e.attributes, e.handle = p.attributes(), nil
	if p.uint32() == 1 {
		e.handle = p.opaque()
	}
	return p.err == nil
}

// last takes what follows the entries of a page.
func (p *page) last() {
	p.uint32() // that there is no entry
	p.end = p.uint32() == 1
}

// dots says whether that is the folder itself or the one above, which are no files.
func (e *entry) dots() bool { return string(e.name) == "." || string(e.name) == ".." }

// check says whether that is one of the files, which are of one byte, with all that makes READDIRPLUS
// more than READDIR.
func (e *entry) check() error {
	if len(e.handle) == 0 || e.attributes == nil {
		return fmt.Errorf("the entry %q lacks its handle or attributes", e.name)
	}
	if size := big.Uint64(e.attributes[20:]); size != 1 {
		return fmt.Errorf("the entry %q has a size of %d", e.name, size)
	}
	return nil
}

// walk calls visit with every entry of the folder but "." and "..". It returns how long each page took,
// with what visit did.
func (s *session) walk(visit func(e *entry) error) (times []time.Duration, err error) {
	for cookie, verifier := uint64(0), uint64(0); ; {
		begin := time.Now()
		page, err := s.page(cookie, verifier)
		if err != nil {
			return nil, err
		}
		var e entry
		for page.next(&e) {
			if e.dots() {
				continue
			}
			if err := visit(&e); err != nil {
				return nil, err
			}
		}
		times = append(times, time.Since(begin))
		switch {
		case page.err != nil:
			return nil, fmt.Errorf("READDIRPLUS: %w", page.err)
		case page.end:
			return times, nil
		case page.cookie == cookie:
			return nil, fmt.Errorf("READDIRPLUS after %x: nothing, and not the end", cookie)
		}
		cookie, verifier = page.cookie, page.verifier
	}
}

// list measures how long it takes to list the whole folder, once it was listed before.
func (s *session) list() (measured, error) {
	if _, err := s.listFirst(); err != nil {
		return measured{}, err
	}
	return s.listFirst()
}

// listFirst measures one listing. It is the first one if nobody has listed the folder before.
func (s *session) listFirst() (m measured, err error) {
	before, err := s.clocks()
	if err != nil {
		return m, err
	}
	entries := 0
	begin := time.Now()
	times, err := s.walk(func(e *entry) error {
		entries++
		return e.check()
	})
	m.Elapsed = time.Since(begin)
	if err != nil {
		return m, err
	}
	if entries != s.Entries {
		return m, fmt.Errorf("%d entries instead of %d", entries, s.Entries)
	}
	after, err := s.clocks()
	m.since(before, after)
	m.Ops = len(times)
	m.P50, m.P99 = percentile(times, 50), percentile(times, 99)
	return m, err
}

// checkNames checks that the folder lists just the names that it has to.
func (s *session) checkNames() error {
	var names []string
	if _, err := s.walk(func(e *entry) error {
		names = append(names, string(e.name))
		return e.check()
	}); err != nil {
		return err
	}
	slices.Sort(names)
	want := make([]string, s.Entries)
	for i := range want {
		want[i] = entryName(i)
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		return fmt.Errorf("the folder lists %d names, and not the %d that it has", len(names), len(want))
	}
	return nil
}
