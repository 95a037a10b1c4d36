package archivetest

import "math/bits"

// OneBlock returns DEFLATE data (RFC 1951) of a single block that decodes to at least size zeros, nearly as short as it can be: a match of
// 258 bytes takes two bits, which makes 1,032 bytes of one. There is no place in it to go on decoding from. The number of zeros is returned.
func OneBlock(size int64) (data []byte, zeros int64) {
	w := &bitWriter{}
	w.put(1, 1)
	w.put(2, 2)
	// Codes for the literal 0 (2 bits), the end (2 bits) and length 258 (1 bit); one for distance 1 (1 bit).
	w.put(286-257, 5)
	w.put(0, 5)
	w.put(14, 4) // 18 lengths of the code for lengths, in the order of 3.2.7: up to symbol 1
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1} {
		switch symbol {
		case 18, 0, 2, 1:
			w.put(2, 3)
		default:
			w.put(0, 3)
		}
	}
	const one, two, zeroRun = 1, 2, 3 // codes of 2 bits of 1, 2 and 18; 0 is that of 0
	code := func(c uint64) { w.put(bits.Reverse64(c)>>62, 2) }
	run := func(n int) { // of zeros, 11 to 138
		code(zeroRun)
		w.put(uint64(n-11), 7)
	}
	code(two) // literal 0
	run(138)  // up to 138
	run(117)  // up to 255
	code(two) // 256
	run(28)   // up to 284
	code(one) // 285
	code(one) // distance 1
	// The canonical codes: 285 is 0; 0 is 10; 256 is 11.
	w.put(1, 2) // 10, its highest bit first
	zeros = 1
	for ; zeros < size; zeros += 258 {
		w.put(0, 2)
	}
	w.put(3, 2)
	w.align()
	return w.out, zeros
}

// bitWriter writes bits, the lowest first.
type bitWriter struct {
	out   []byte
	bits  uint64
	count uint
}

func (w *bitWriter) put(v uint64, n uint) {
	w.bits |= v << w.count
	w.count += n
	for w.count >= 8 {
		w.out = append(w.out, byte(w.bits))
		w.bits >>= 8
		w.count -= 8
	}
}

func (w *bitWriter) align() {
	if w.count > 0 {
		w.put(0, 8-w.count)
	}
}
