// Package archivetest makes archives that mean harm, for tests: those that claim more than they have, and those that have more than
// anybody wants. It shares nothing with the readers of archives.
package archivetest

import (
	"encoding/binary"
	"hash/crc32"
)

// ZipMethod is how a member of a zip archive is compressed (APPNOTE 4.4.5).
type ZipMethod uint16

// The methods whose members are decoded.
const (
	ZipStored  ZipMethod = 0
	ZipDeflate ZipMethod = 8
	ZipBzip2   ZipMethod = 12
	ZipZstd    ZipMethod = 93
	ZipXZ      ZipMethod = 95
)

// ZipEntry is an entry of a zip archive, as the archive has it: nothing is compressed or checked.
type ZipEntry struct {
	Name   string
	Method ZipMethod
	Data   []byte
	Size   uint32 // that it claims, in bytes
	CRC    uint32
	// At is where the local header is that the entry claims, if it is not one of its own: 1 more than that.
	At   int
	Link bool // a symbolic link, of Unix
	DOS  bool // made by a program that separates folders by backslashes
}

// Stored returns an entry that is what it says.
func Stored(name string, data []byte) ZipEntry {
	return ZipEntry{Name: name, Data: data, Size: uint32(len(data)), CRC: crc32.ChecksumIEEE(data)}
}

// Zip writes a zip archive without zip64: of the number of entries the end record has the low 16 bits, as some programs write it.
func Zip(entries ...ZipEntry) []byte {
	var b, directory []byte
	for i := range entries {
		e := &entries[i]
		at := e.At - 1
		if e.At == 0 {
			at = len(b)
			b = append(e.common(append(b, "PK\x03\x04\x14\x00"...)), e.Name...)
			b = append(b, e.Data...)
		}
		host, mode := byte(3), uint32(0o100644)
		if e.Link {
			mode = 0o120777
		}
		if e.DOS {
			host, mode = 0, 0
		}
		directory = e.common(append(directory, 'P', 'K', 1, 2, 20, host, 20, 0))
		directory = append(directory, make([]byte, 6)...) // comment, disk, internal attributes
		directory = binary.LittleEndian.AppendUint32(directory, mode<<16)
		directory = binary.LittleEndian.AppendUint32(directory, uint32(at))
		directory = append(directory, e.Name...)
	}
	return append(b, withEnd(directory, len(b), uint16(len(entries)))...)
}

// common appends what both headers have: from the flags to the length of the extra fields.
func (e *ZipEntry) common(b []byte) []byte {
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(e.Method))
	b = append(b, 0, 0, 0x21, 0x50) // 2020-01-01
	b = binary.LittleEndian.AppendUint32(b, e.CRC)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(e.Data)))
	b = binary.LittleEndian.AppendUint32(b, e.Size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Name)))
	return append(b, 0, 0)
}

// withEnd appends the end record of a directory that is at an offset.
func withEnd(directory []byte, at int, entries uint16) []byte {
	n := len(directory)
	b := append(directory, "PK\x05\x06\x00\x00\x00\x00"...)
	b = binary.LittleEndian.AppendUint16(b, entries)
	b = binary.LittleEndian.AppendUint16(b, entries)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, uint32(at))
	return append(b, 0, 0)
}

// OverlappingZip is a bomb (D. Fifield, "A better zip bomb", 2019, in its simplest form): n entries that all are the one kernel, which
// decodes to size bytes each time.
func OverlappingZip(n int, kernel []byte, size uint32) []byte {
	entries := make([]ZipEntry, n)
	for i := range entries {
		entries[i] = ZipEntry{Name: number(i), Method: ZipDeflate, Data: kernel, Size: size}
		if i > 0 {
			entries[i].Name, entries[i].At = number(i), 1
		}
	}
	return Zip(entries...)
}

// EmptyZip has n empty members.
func EmptyZip(n int) []byte {
	entries := make([]ZipEntry, n)
	for i := range entries {
		entries[i].Name = number(i)
	}
	return Zip(entries...)
}

// ClaimingZip is no more than an end record that claims n entries, with zip64, in a directory of that length in bytes.
func ClaimingZip(n, length uint64) []byte {
	b := append([]byte("PK\x06\x06"), 44, 0, 0, 0, 0, 0, 0, 0, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, v := range []uint64{n, n, length, 0} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, "PK\x06\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"...)
	return append(b, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
}

// NestedZip has an archive in an archive in an archive…, depth of them, each stored in the one around it as "in.zip". All have a file
// called "x" too.
func NestedZip(depth int) []byte {
	z := Zip(Stored("x", []byte("x")))
	for range depth - 1 {
		z = Zip(Stored("x", []byte("x")), Stored("in.zip", z))
	}
	return z
}

// SelfZip has itself as a stored member "self.zip", if one believes it: as many bytes as all of the archive.
func SelfZip() []byte {
	z := Zip(ZipEntry{Name: "self.zip"})
	size := uint32(len(z))
	// Both headers have the size of all, though what is behind the local one is less.
	for _, at := range []int{18, 22, 38 + 20, 38 + 24} {
		binary.LittleEndian.PutUint32(z[at:], size)
	}
	return z
}

// number makes a name of a number, with few digits.
func number(i int) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	name := ""
	for {
		name = digits[i%36:i%36+1] + name
		if i /= 36; i == 0 {
			return name
		}
	}
}
