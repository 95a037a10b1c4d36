package xdr

import "encoding/binary"

// AppendUint32 appends an unsigned int, or an enum.
func AppendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// AppendUint64 appends an unsigned hyper.
func AppendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendBool appends a bool.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return AppendUint32(b, 1)
	}
	return AppendUint32(b, 0)
}

// AppendWords appends unsigned ints, one after another.
func AppendWords(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = AppendUint32(b, w)
	}
	return b
}

// AppendOpaque appends bytes of variable length: their number, they themselves, and padding.
func AppendOpaque[T string | []byte](b []byte, v T) []byte {
	b = append(AppendUint32(b, uint32(len(v))), v...)
	return append(b, make([]byte, Padded(len(v))-len(v))...)
}
