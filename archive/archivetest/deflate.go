package archivetest

import "math/bits"

// OneBlock returns DEFLATE data (RFC 1951) of a single block that decodes to at least size zeros, nearly as short as it can be: a match of
// 258 bytes takes two bits, which makes 1,032 bytes of one. There is no place in it to go on decoding from. The number of zeros is returned.
func OneBlock(size int64) (data []byte, zeros int64) {
	w := &BitWriter{}
	w.Put(1, 1)
	w.Put(2, 2)
	// Codes for the literal 0 (2 bits), the end (2 bits) and length 258 (1 bit); one for distance 1 (1 bit).
	w.Put(286-257, 5)
	w.Put(0, 5)
	w.Put(14, 4) // 18 lengths of the code for lengths, in the order of 3.2.7: up to symbol 1
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
		switch symbol {
		case 18, 0, 2, 1:
			w.Put(2, 3)
		default:
			w.Put(0, 3)
		}
	}
	const one, two, zeroRun = 1, 2, 3 // codes of 2 bits of 1, 2 and 18; 0 is that of 0
	code := func(c uint64) { w.Put(bits.Reverse64(c)>>62, 2) }
	run := func(n int) { // of zeros, 11 to 138
		code(zeroRun)
		w.Put(uint64(n-11), 7)
	}
	code(two) // literal 0
	run(138)  // up to 138
	run(117)  // up to 255
	code(two) // 256
	run(28)   // up to 284
	code(one) // 285
	code(one) // distance 1
	// The canonical codes: 285 is 0; 0 is 10; 256 is 11.
	w.Put(1, 2) // 10, its highest bit first
	zeros = 1
	for ; zeros < size; zeros += 258 {
		w.Put(0, 2)
	}
	w.Put(3, 2)
	w.Align()
	return w.Out, zeros
}

// BitWriter writes bits as DEFLATE has them, the lowest of a number first.
type BitWriter struct {
	Out   []byte
	bits  uint64
	count uint
}

// Put writes the n lowest bits of v, up to 57.
func (w *BitWriter) Put(v uint64, n uint) {
	w.bits |= v << w.count
	w.count += n
	for w.count >= 8 {
		w.Out = append(w.Out, byte(w.bits))
		w.bits >>= 8
		w.count -= 8
	}
}

// Align goes on at the next byte.
func (w *BitWriter) Align() {
	if w.count > 0 {
		w.Put(0, 8-w.count)
	}
}
