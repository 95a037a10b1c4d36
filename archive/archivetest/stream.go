package archivetest

import (
	"encoding/binary"
	"hash/crc32"
)

// ZstdWindow returns a zstd frame (RFC 8878, 3.1.1.1.2) of "hello" that says that it needs a window of 1 KiB times 2 to the exponent, 0 to 31.
func ZstdWindow(exponent byte) []byte {
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 5<<3 | 1, 0, 0}, "hello"...)
}

// XZDictionary returns the start of an xz file (xz-file-format 1.1.0, 3.1) that says that it needs a dictionary, by the byte of section
// 5.3.1: 40 is 4 GiB.
func XZDictionary(size byte) []byte {
	b := append([]byte{0xfd, '7', 'z', 'X', 'Z', 0, 0, 1}, 0x69, 0x22, 0xde, 0x36)
	block := []byte{2, 0, 0x21, 1, size, 0, 0, 0}
	b = append(b, binary.LittleEndian.AppendUint32(block, crc32.ChecksumIEEE(block))...)
	return append(b, 1, 0, 4, 'h', 'e', 'l', 'l', 'o', 0, 0, 0)
}

// RARDictionary returns a RAR archive of format 5 (technote, "General archive structure") with one compressed file "big" of size bytes that
// says that it needs a dictionary of 128 KiB times 2 to the exponent, 0 to 15, which is 4 GiB. Its data are nonsense.
func RARDictionary(exponent byte, size uint64) []byte {
	b := append([]byte("Rar!\x1a\x07\x01\x00"), rarHeader([]byte{1, 0, 0})...) // main: no flags
	compression := uint64(3)<<7 | uint64(exponent)<<10
	file := []byte{2, 2, 8, 0} // with data, of 8 bytes; no flags of the file
	file = binary.AppendUvarint(file, size)
	file = binary.AppendUvarint(file, 0o100644)
	file = binary.AppendUvarint(file, compression)
	file = append(file, 1, 3, 'b', 'i', 'g')
	b = append(append(b, rarHeader(file)...), "nonsense"...)
	return append(b, rarHeader([]byte{5, 0, 0})...)
}

func rarHeader(body []byte) []byte {
	b := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	return append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...)
}
