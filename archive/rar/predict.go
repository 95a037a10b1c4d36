package rar

import (
	"errors"
	"fmt"
	"io/fs"
)

// guess is a prediction that the header in a volume has to confirm.
type guess struct {
	at      int   // that volume
	from    int   // the first that was not read
	extents int   // how many the member had before
	sum     int64 // of their lengths
}

// plainEnd is how much there is behind a volume's last data at most if it is an end header alone, in bytes: 8 in format 5, at most
// 20 in format 4.
const plainEnd = 64

// maxMisses is how many predictions may fail before there are no more: each opens many volumes.
const maxMisses = 8

// shape is how a volume of a set is filled: by headers in front, one part of one file, and the rest.
type shape struct {
	front, tail int64
	size        int64
	number      int // of the volume that showed it
}

// frontOf returns the place of the data in volume n: in format 5 the volume's number takes 1 byte up to 127.
func (s shape) frontOf(n, format int) int64 {
	if format == 4 {
		return s.front
	}
	return s.front + vintLength(n) - vintLength(s.number)
}

func vintLength(n int) int64 {
	length := int64(1)
	for ; n >= 0x80; n >>= 7 {
		length++
	}
	return length
}

// guessParts predicts the parts of the open member in the volumes after v, which has nothing but one part of it: those up to
// the last part have the same headers then, and their sizes tell the rest. It returns the volume to go on with: that of the last part, whose
// header will confirm the sum; -1 if nothing can be behind that part; the one after v if there is nothing to predict.
func (w *walk) guessParts(v *volume, h *header, data int64) (next int, err error) {
	m := &w.archive.Members[w.open]
	from := v.volume + 1
	if m.Method != Stored || m.Encrypted || m.Size <= w.sum {
		return from, nil
	}
	s := shape{front: data, tail: v.size - data - h.data, size: v.size, number: v.volume}
	parts, size, err := w.parts(s, m.Size-w.sum)
	if err != nil {
		return 0, err
	}
	if len(parts) == 0 {
		w.misses++
		w.predict = w.misses < maxMisses
		return from, nil
	}
	last := parts[len(parts)-1]
	_, _, err = w.volumes.Open(last.Volume + 1)
	final := errors.Is(err, fs.ErrNotExist)
	if err != nil && !final {
		return 0, fmt.Errorf("open volume %d: %w", last.Volume+1, err)
	}
	room := size - last.Off - last.Len - s.tail
	if final && s.tail <= plainEnd && room >= 0 && room < v.shortest() {
		m.Extents = append(m.Extents, parts...)
		m.Predicted, m.HasCRC = true, false
		w.sum = m.Size
		w.archive.Volumes = max(w.archive.Volumes, last.Volume+1)
		w.close("")
		return -1, nil
	}
	if len(parts) == 1 {
		return from, nil // that is the one to read
	}
	w.guess = &guess{at: last.Volume, from: from, extents: len(m.Extents), sum: w.sum}
	m.Extents = append(m.Extents, parts[:len(parts)-1]...)
	m.Predicted = true
	w.sum = m.Size - last.Len
	return last.Volume, nil
}

// parts returns where the next left bytes of a stored file are in the volumes after the one that showed s, and the size of the
// last of them. There are none if that can't be told.
func (w *walk) parts(s shape, left int64) (parts []Extent, size int64, err error) {
	for n := s.number + 1; left > 0; n++ {
		_, next, err := w.volumes.Open(n)
		if errors.Is(err, fs.ErrNotExist) {
			return stretch(parts, left, s.tail), size, nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("open volume %d: %w", n, err)
		}
		size = next
		if n >= w.limits.Volumes {
			return nil, 0, fmt.Errorf("%w: more than %d volumes", ErrLimit, w.limits.Volumes)
		}
		front := s.frontOf(n, w.archive.Format)
		room := size - front - s.tail
		// Recovery records are as long as a share of the volume, so that only equal volumes have equal ones: the last may have less.
		if room <= 0 || left > room && s.tail > plainEnd && size != s.size {
			_, _, err := w.volumes.Open(n + 1)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, 0, fmt.Errorf("open volume %d: %w", n+1, err)
			}
			if err == nil || left > size-front {
				return nil, 0, nil
			}
			return append(parts, Extent{Volume: n, Off: front, Len: left}), size, nil
		}
		part := Extent{Volume: n, Off: front, Len: min(left, room)}
		parts = append(parts, part)
		left -= part.Len
	}
	return parts, size, nil
}

// stretch makes the last of the parts, in the last volume there is, longer by what is left, if that is so little that shorter
// headers may leave room for it. Otherwise there is a volume missing, and there are no parts.
func stretch(parts []Extent, left, tail int64) []Extent {
	if len(parts) == 0 || left > tail {
		return nil
	}
	parts[len(parts)-1].Len += left
	return parts
}

// takeBack forgets a prediction that did not come true, and returns the volume to go on with. There will be no other.
func (w *walk) takeBack() (next int) {
	g := w.guess
	m := &w.archive.Members[w.open]
	m.Extents, m.Predicted = m.Extents[:g.extents], false
	w.sum, w.guess, w.predict = g.sum, nil, false
	return g.from
}

// verifyReads is more than any volume needs up to its first file header: it is in the first block.
const verifyReads = 16

// walkedParts is how many parts of a member are read before others are predicted: that where it begins, and the next.
const walkedParts = 2

// Verify reads the first headers of volume n, one block of 64 KiB nearly always, and says whether the part of a member that was
// predicted there is where it was predicted. It is also true for volumes where nothing was predicted, which are not read. If it is
// false, Read was wrong about the set, and ReadAll has to list it again. An error is one of Volumes, and tells nothing. It should be
// asked before the first use of each volume with Predicted Extents; the answer stays the same for ever.
func (a *Archive) Verify(v Volumes, n int) (held bool, err error) {
	m, part := a.predictedIn(n)
	if m == nil {
		return true, nil
	}
	held, err = a.holds(v, m, part)
	for _, wrong := range []error{ErrFormat, ErrUnsupported, ErrEncrypted, ErrBudget, ErrLimit} {
		if errors.Is(err, wrong) {
			return false, nil
		}
	}
	return held, err
}

// holds says whether the first part of a file in a volume is that part of m.
func (a *Archive) holds(v Volumes, m *Member, part int) (bool, error) {
	want := m.Extents[part]
	vol, err := openVolume(v, want.Volume, newBudget(Limits{Reads: verifyReads}.withDefaults()))
	if err != nil {
		return false, err
	}
	for at := vol.first; ; {
		h, err := vol.read(at)
		if err != nil {
			return false, err
		}
		data := at + h.size
		if h.kind == fileHeader {
			got := Extent{Volume: want.Volume, Off: data, Len: h.data}
			last := part == len(m.Extents)-1
			return vol.format == a.Format && h.before && h.after == !last && got == want && h.member.Name == m.Name &&
				h.member.Size == m.Size && h.member.Method == Stored && !h.member.Encrypted, nil
		}
		if h.kind != serviceHeader && h.kind != otherHeader || h.data > vol.size-data {
			return false, nil
		}
		at = data + h.data
	}
}

// predictedIn returns the member with a predicted part in volume n, and which of its Extents that is, or nil.
func (a *Archive) predictedIn(n int) (m *Member, part int) {
	for i := range a.Members {
		m := &a.Members[i]
		if !m.Predicted || m.LinkKind == HardLink || m.LinkKind == Copy {
			continue
		}
		for part := walkedParts; part < len(m.Extents); part++ {
			if m.Extents[part].Volume == n {
				return m, part
			}
		}
	}
	return nil, 0
}
