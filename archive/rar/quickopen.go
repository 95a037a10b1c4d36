package rar

import (
	"errors"
	"hash/crc32"
)

const (
	// quickChunk is how much of a quick open record is read at a time, in bytes: one request for nearly all.
	quickChunk = 1 << 20
	// minQuick is the length of the shortest entry of the record, with a header of its own shortest length in it.
	minQuick = 4 + 1 + 1 + 1 + 1 + 7
)

// quickOpen is a quick open record of format 5: copies of headers, at the end of the archive, by the places where they are. It need
// not have all, and it may lie: a copy is a header like any other, and decoded and checked the same.
type quickOpen struct {
	at      int64 // where the record is
	headers map[int64][]byte
}

// readQuickOpen reads the record that the main header's locator names. What is wrong with it makes it end early, or be empty, as all it has
// is elsewhere, too: an error is one of reading, or of the budget.
func (v *volume) readQuickOpen() (*quickOpen, error) {
	none := &quickOpen{}
	at := v.mainAt + v.main.quickOpen
	if at < v.first || at > v.size-minHeader5 {
		return none, nil
	}
	h, err := v.read(at)
	if errors.Is(err, ErrFormat) {
		return none, nil
	}
	if err != nil {
		return nil, err
	}
	data := at + h.size
	if h.kind != serviceHeader || h.raw != "QO" || h.member.Method != Stored || h.member.Encrypted || h.data > v.size-data {
		return none, nil
	}
	// One that would take most of what listing may cost is left alone.
	if h.data > v.budget.headers/2 || h.data > v.budget.blocks*blockSize/2 {
		return none, nil
	}
	b, err := v.readLong(data, h.data)
	if err != nil {
		return nil, err
	}
	return parseQuickOpen(b, at), nil
}

// readLong reads n bytes at off, all of which the volume has, a chunk at a time.
func (v *volume) readLong(off, n int64) ([]byte, error) {
	v.budget.headers -= n
	var b []byte
	for n > 0 {
		chunk, err := v.bytes(off, int(min(n, quickChunk)))
		if err != nil {
			return nil, err
		}
		b = append(b, chunk...)
		off += int64(len(chunk))
		n -= int64(len(chunk))
	}
	return b, nil
}

// parseQuickOpen takes the data of the record at a place apart. Entries that go on or past that place, or before the volume, end it, as
// does a wrong CRC.
func parseQuickOpen(b []byte, at int64) *quickOpen {
	q := &quickOpen{at: at, headers: make(map[int64][]byte)}
	for f := (&fields{b: b}); len(f.b) >= minQuick; {
		crc := f.uint(4)
		covered := f.b
		n := f.length()
		if n < 1 || n > int64(len(f.b)) {
			break
		}
		prefix := len(covered) - len(f.b)
		entry := &fields{b: f.take(int(n))}
		if uint32(crc) != crc32.ChecksumIEEE(covered[:prefix+int(n)]) {
			break
		}
		entry.vint() // flags: none yet
		back, length := entry.length(), entry.length()
		if entry.short || back > at || length > int64(len(entry.b)) || length < minHeader5 || length > back {
			break
		}
		q.headers[at-back] = entry.take(int(length))
	}
	return q
}

// header returns the copy of the header at a place, or nil if there is none, or none that can be true: whole, of one header, with the data
// before the record.
func (q *quickOpen) header(v *volume, at int64) *header {
	b, ok := q.headers[at]
	if !ok {
		return nil
	}
	if n, err := size5(b); err != nil || n != len(b) {
		return nil
	}
	h, err := v.decode(b, at)
	if err != nil || h.data > q.at-at-h.size {
		return nil
	}
	return h
}
