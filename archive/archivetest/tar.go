package archivetest

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// TarEntry is an entry of a tar archive, as the archive has it.
type TarEntry struct {
	Name, Link string
	Type       byte   // '0' is a file
	Data       []byte // that is there
	Size       int64  // that it claims, if it is not that of Data
}

// Tar writes a tar archive (POSIX.1-1988, and base 256 for numbers that do not fit).
func Tar(entries ...TarEntry) []byte {
	var b []byte
	for i := range entries {
		e := &entries[i]
		size := e.Size
		if size == 0 {
			size = int64(len(e.Data))
		}
		b = append(b, TarHeader(e.Name, e.Link, e.Type, size)...)
		b = append(b, e.Data...)
		b = append(b, make([]byte, -len(e.Data)&511)...)
	}
	return append(b, make([]byte, 1024)...)
}

// TarHeader returns a block.
func TarHeader(name, link string, kind byte, size int64) []byte {
	b := make([]byte, 512)
	copy(b[:100], name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	b[124] = 0x80
	binary.BigEndian.PutUint64(b[128:], uint64(size))
	copy(b[136:], "13602617200\x00")
	b[156] = kind
	copy(b[157:257], link)
	copy(b[257:], "ustar\x0000")
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// EmptyTar has n empty files.
func EmptyTar(n int) []byte {
	b := make([]byte, 512*n+1024)
	none := TarHeader("", "", '0', 0)
	sum, _ := strconv.ParseInt(string(none[148:154]), 8, 32)
	for i := range n { // all at once, as calculating the sums would take most of the time of a test
		header, name := b[512*i:][:512], number(i)
		copy(header, none)
		copy(header, name)
		this := sum
		for _, c := range []byte(name) {
			this += int64(c)
		}
		copy(header[148:154], fmt.Sprintf("%06o", this))
	}
	return b
}

// SparseTar has a file "sparse" of size bytes with one byte of data at its end, by a map of pax format 0.1.
func SparseTar(size int64) []byte { return sparseTar(size, fmt.Sprintf("%d,1", size-1), []byte("!")) }

// LinkedSparseTar has a file "sparse" of n bytes of data with holes between them, and so many hard links to it.
func LinkedSparseTar(n, links int) []byte {
	runs := make([]string, n)
	for i := range runs {
		runs[i] = fmt.Sprintf("%d,1", 2*i+1)
	}
	list := make([]TarEntry, links)
	for i := range list {
		list[i] = TarEntry{Name: number(i), Link: "sparse", Type: '1'}
	}
	return sparseTar(int64(2*n), strings.Join(runs, ","), make([]byte, n), list...)
}

func sparseTar(size int64, runs string, data []byte, more ...TarEntry) []byte {
	var records []byte
	for _, r := range []string{
		"GNU.sparse.size=" + fmt.Sprint(size), fmt.Sprintf("GNU.sparse.numblocks=%d", strings.Count(runs, ",")/2+1), "GNU.sparse.map=" + runs,
		"GNU.sparse.name=sparse", "GNU.sparse.major=0", "GNU.sparse.minor=1",
	} {
		records = append(records, paxRecord(r)...)
	}
	sparse := []TarEntry{{Name: "pax", Type: 'x', Data: records}, {Name: "sparse", Type: '0', Data: data}}
	return Tar(append(sparse, more...)...)
}

// paxRecord puts the length in front, which counts itself.
func paxRecord(s string) string {
	n := len(s) + 2
	for len(fmt.Sprint(n))+len(s)+2 != n {
		n++
	}
	return fmt.Sprintf("%d %s\n", n, s)
}
