package rar

import (
	"errors"
	"fmt"
)

// walk goes from header to header, and from volume to volume.
type walk struct {
	volumes Volumes
	limits  Limits
	budget  *budget
	archive *Archive
	open    int            // the member whose data goes on in the next volume, or -1
	sum     int64          // of the lengths of that member's parts
	more    bool           // the volume before said that another follows
	named   map[string]int // members by name, for hard links and copies; nil while there were none
	shared  int            // Extents that hard links and copies have
	predict bool
	misses  int    // predictions that were not possible
	guess   *guess // what the next volume that is walked has to confirm, or nil
}

// maxShared is how many Extents all hard links and copies may have. A header of 40 bytes is enough for one, and whoever keeps or opens members
// has the Extents of each.
const maxShared = 1 << 20

// list is Read and ReadAll.
func list(v Volumes, l Limits, predict bool) (*Archive, error) {
	l = l.withDefaults()
	w := &walk{volumes: v, limits: l, budget: newBudget(l), predict: predict, archive: &Archive{}, open: -1}
	for n := 0; n >= 0; {
		next, err := w.volume(n)
		if w.guess != nil && w.guess.at == n && (err == nil || errors.Is(err, ErrFormat)) {
			n = w.takeBack()
			continue
		}
		if err != nil {
			if !w.endsEarly(n, err) {
				return nil, err
			}
			w.archive.Truncated = err
			break
		}
		n = next
	}
	if w.open >= 0 {
		w.close("its end is missing")
	}
	return w.archive, nil
}

// endsEarly says whether after an error in volume n there is a listing, of what was found before it.
func (w *walk) endsEarly(n int, err error) bool {
	early := errors.Is(err, ErrBudget) || errors.Is(err, ErrFormat) || n > 0 && errors.Is(err, errNoVolume)
	return early && len(w.archive.Members) > 0
}

// volume lists volume n, and returns the one to go on with, or -1 if that was all. An error may come after some of its members.
func (w *walk) volume(n int) (next int, err error) {
	v, err := openVolume(w.volumes, n, w.budget)
	if n > 0 && w.open < 0 && !w.more && errors.Is(err, errNoVolume) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	if n >= w.limits.Volumes {
		return 0, fmt.Errorf("%w: more than %d volumes", ErrLimit, w.limits.Volumes)
	}
	a := w.archive
	if n == 0 {
		a.Format, a.Multi, a.Solid = v.format, v.main.multi, v.main.solid
	} else if v.format != a.Format {
		return 0, fmt.Errorf("%w: volume %d is of another format than the first", ErrFormat, n)
	}
	a.Volumes = max(a.Volumes, n+1)
	w.more = false
	for at := v.first; v.size-at >= v.shortest(); {
		h, err := v.header(at)
		if err != nil {
			return 0, err
		}
		data := at + h.size
		switch h.kind {
		case fileHeader:
			if err := w.file(v, h, data); err != nil {
				return 0, err
			}
		case endHeader:
			if w.more = !h.lastOfIt; w.more {
				return n + 1, nil
			}
			return -1, nil
		case encryptionHeader:
			return 0, fmt.Errorf("%w: some of its headers are encrypted", ErrEncrypted)
		case mainHeader:
			return 0, fmt.Errorf("%w: a second main header at %d of volume %d", ErrFormat, at, n)
		}
		if h.data > v.size-data {
			return 0, fmt.Errorf("%w: data at %d goes past the end of volume %d", ErrFormat, data, n)
		}
		if h.after { // what follows is of no interest: only the end, and records for recovery
			w.more = true
			return w.onward(v, h, data)
		}
		at = data + h.data
	}
	// Before version 3.0 there was no end header, and to read it is not worth a piece: there is no room for another member.
	if a.Multi {
		return n + 1, nil
	}
	return -1, nil
}

// onward returns the volume to read after v, where data ends with a part whose header is h.
func (w *walk) onward(v *volume, h *header, data int64) (next int, err error) {
	if w.predict && h.kind == fileHeader && h.before && w.open >= 0 {
		return w.guessParts(v, h, data)
	}
	return v.volume + 1, nil
}

// file adds a file header, whose data is at a place in v.
func (w *walk) file(v *volume, h *header, data int64) error {
	if w.guess != nil {
		if !h.before || h.after || !w.isOpen(h) || h.data != w.archive.Members[w.open].Size-w.sum {
			return fmt.Errorf("%w: volume %d is not as predicted", ErrFormat, v.volume)
		}
		w.guess = nil
	}
	if w.open >= 0 && !w.isOpen(h) {
		w.close("its end is missing")
	}
	switch {
	case h.before && w.open < 0:
		if w.archive.Truncated == nil {
			w.archive.Truncated = fmt.Errorf("%w: what %q of volume %d begins with is missing", ErrFormat, h.member.Name, v.volume)
		}
		return nil
	case !h.before:
		if len(w.archive.Members) == w.limits.Entries {
			return fmt.Errorf("%w: more than %d members", ErrLimit, w.limits.Entries)
		}
		w.archive.Members = append(w.archive.Members, h.member)
		w.open, w.sum = len(w.archive.Members)-1, 0
	}
	m := &w.archive.Members[w.open]
	if h.data > v.size-data {
		w.close("it goes past the end of its volume")
		return nil
	}
	if h.data > 0 && !m.IsDir() {
		m.Extents = append(m.Extents, Extent{Volume: v.volume, Off: data, Len: h.data})
	}
	w.sum += h.data
	// The CRC of all is in the last part's header. Others have that of their part.
	m.CRC, m.HasCRC = h.member.CRC, h.member.HasCRC && !h.after
	if !h.after {
		w.close("")
	}
	return nil
}

// isOpen says whether h goes on with the member whose last part was in the volume before.
func (w *walk) isOpen(h *header) bool {
	if w.open < 0 || !h.before {
		return false
	}
	m := &w.archive.Members[w.open]
	return h.member.Name == m.Name && h.member.Size == m.Size && h.member.Version == m.Version && h.member.Method == m.Method
}

// close ends the open member, with what else is wrong with it, or "".
func (w *walk) close(problem string) {
	i := w.open
	m := &w.archive.Members[i]
	w.open = -1
	m.Packed = w.sum
	switch {
	case m.Problem != "":
	case problem != "":
		m.Problem = problem
	case m.LinkKind == HardLink || m.LinkKind == Copy:
		w.follow(m)
	case m.Method == Stored && !m.IsDir() && m.LinkKind == NoLink && m.Packed != m.Size:
		m.Problem = fmt.Sprintf("it is stored in %d bytes, but should have %d", m.Packed, m.Size)
	}
	if w.named != nil {
		w.named[m.Name] = i
	}
}

// follow makes m, a hard link or copy, the same as what it names, which has to come before it.
func (w *walk) follow(m *Member) {
	if w.named == nil {
		w.named = make(map[string]int)
		for i := range w.archive.Members[:len(w.archive.Members)-1] {
			w.named[w.archive.Members[i].Name] = i
		}
	}
	i, ok := w.named[m.Link]
	if !ok || w.archive.Members[i].IsDir() {
		m.Problem = fmt.Sprintf("a link to %q, which is not there", m.Link)
		return
	}
	target := &w.archive.Members[i]
	m.Size, m.Packed, m.CRC, m.HasCRC = target.Size, target.Packed, target.CRC, target.HasCRC
	m.Method, m.Unpack, m.Dictionary = target.Method, target.Unpack, target.Dictionary
	m.Encrypted, m.Solid, m.Problem = target.Encrypted, target.Solid, target.Problem
	if len(target.Extents) > maxShared-w.shared {
		m.Problem = "it is one of too many links to what lies in many volumes"
		return
	}
	w.shared += len(target.Extents)
	m.Extents, m.Predicted = target.Extents, target.Predicted
}
