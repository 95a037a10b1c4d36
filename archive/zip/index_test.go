package zip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
)

func TestIndex(t *testing.T) {
	b := builder{prefix: "in front"}.build(
		file{name: "a", data: "x", host: 3, attributes: 0o100755 << 16, date: 1 << 9, flags: flagUTF8},
		file{name: "\xff", data: "xyz", extra: field(extraUnicode, append([]byte{1, 0, 0, 0, 0xff}, "é"...)...), method: 98},
		file{name: "secret", flags: 1, data: "x"},
		file{name: "", noLocal: true},
		file{name: "lie", data: "x", size: 5000, method: 8},
	)
	a := list(t, b)
	index := a.Encode()
	got, err := Decode(index, int64(len(b)), Options{})
	if err != nil || !reflect.DeepEqual(got, a) {
		t.Errorf("%+v, %v\nis not %+v", got, err, a)
	}
	if got, err := Decode(index, int64(len(b)), Options{MaxSize: 1}); err != nil || got.Entry(4).Problem != TooLarge {
		t.Errorf("other limits are not those of the index: %v", err)
	}
	if _, err := Decode(index, int64(len(b)), Options{MaxEntries: 4}); !errors.Is(err, ErrLimit) {
		t.Errorf("more entries than there may be: %v", err)
	}
	if _, err := Decode(index, int64(len(b))+1, Options{}); !errors.Is(err, ErrIndex) {
		t.Errorf("index of an archive of another size: %v", err)
	}
	for i := range index {
		if _, err := Decode(index[:i], int64(len(b)), Options{}); !errors.Is(err, ErrIndex) {
			t.Errorf("%d of %d bytes: %v", i, len(index), err)
		}
		index[i] ^= 4
		if _, err := Decode(index, int64(len(b)), Options{}); !errors.Is(err, ErrIndex) {
			t.Errorf("bit in byte %d wrong: %v", i, err)
		}
		index[i] ^= 4
	}
}

func TestEmptyIndex(t *testing.T) {
	b := builder{}.build()
	got, err := Decode(list(t, b).Encode(), int64(len(b)), Options{})
	if err != nil || got.Len() != 0 {
		t.Errorf("%v", err)
	}
}

// sign gives an index the right checksum, so that what is behind that is tested too.
func sign(b []byte) []byte {
	if len(b) < indexTrailer {
		return b
	}
	b = bytes.Clone(b)
	body := b[:len(b)-indexTrailer]
	binary.LittleEndian.PutUint32(b[len(body):], crc32.Checksum(body, castagnoli))
	return b
}

// TestForged has indexes with the right checksum that no archive is of.
func TestForged(t *testing.T) {
	b := builder{}.build(file{name: "ab", data: "x"}, file{name: "cd", data: "x"}, file{name: "ef"})
	index := list(t, b).Encode()
	const first, second, third = indexHeader, indexHeader + indexEntry, indexHeader + 2*indexEntry
	changes := map[string]func([]byte){
		"directory beyond":  put64(16, uint64(len(b)+1)),
		"directory before":  put64(16, 1<<63),
		"more entries":      put32(24, 4),
		"fewer entries":     put32(24, 2),
		"most entries":      put32(24, 1<<32-1),
		"more names":        put32(28, 7),
		"header before":     put64(first, 1<<63),
		"header too far":    put64(first, maxHeader+1),
		"compressed below":  put64(first+8, 1<<63),
		"size below":        put64(first+16, 1<<63),
		"names backward":    put32(second+36, 1),
		"names beyond":      put32(second+36, 7),
		"names left":        put32(third+36, 5),
		"unicode too long":  put16(second+40, 3),
		"kind unknown":      func(b []byte) { b[first+49] = 4 },
		"problem unsavable": func(b []byte) { b[first+50] = byte(Overlap) },
	}
	for name, change := range changes {
		forged := bytes.Clone(index)
		change(forged)
		if _, err := Decode(sign(forged), int64(len(b)), Options{}); !errors.Is(err, ErrIndex) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
