package archivetest

import (
	"bytes"
	"math/bits"
	"slices"
)

// bzip2Block is the most bytes of a block, after its run-length coding: few, as sorting takes the time. bzip2(1) has 100,000 at least.
const bzip2Block = 5_000

// Bzip2 compresses to what bzip2(1) decompresses, as Go has no compressor, though not so well: all codes are nearly equally long. There is no
// specification; compress/bzip2 is what it was written against.
func Bzip2(data []byte) []byte {
	w := &highFirst{out: []byte("BZh1")}
	var sum uint32
	for len(data) > 0 {
		coded, n := bzip2Runs(data)
		crc := bzip2CRC(data[:n])
		sum = bits.RotateLeft32(sum, 1) ^ crc
		data = data[n:]
		w.put(0x314159265359, 48)
		w.put(uint64(crc), 32)
		w.put(0, 1)
		w.block(coded)
	}
	w.put(0x177245385090, 48)
	w.put(uint64(sum), 32)
	w.put(0, -w.count&7)
	return w.out
}

// bzip2Runs returns what a block has of the beginning of data, and how long that is: behind four equal bytes is how many more there are.
func bzip2Runs(data []byte) (coded []byte, n int) {
	for n < len(data) && len(coded) <= bzip2Block-5 {
		run := 1
		for run < 255 && n+run < len(data) && data[n+run] == data[n] {
			run++
		}
		coded = append(coded, bytes.Repeat(data[n:n+1], min(run, 4))...)
		if run >= 4 {
			coded = append(coded, byte(run-4))
		}
		n += run
	}
	return coded, n
}

// bzip2CRC is CRC-32 with the highest bit first.
func bzip2CRC(data []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range data {
		crc ^= uint32(c) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ 0x04c11db7*carry
		}
	}
	return ^crc
}

// rotations returns where all rotations of b start, in their order.
func rotations(b []byte) []int {
	twice, order := slices.Concat(b, b), make([]int, len(b))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(twice[i:i+len(b)], twice[j:j+len(b)]) })
	return order
}

// highFirst writes bits, the highest first.
type highFirst struct {
	out   []byte
	bits  uint64
	count uint
}

func (w *highFirst) put(v uint64, n uint) { // up to 56
	w.bits = w.bits<<n | v
	for w.count += n; w.count >= 8; {
		w.count -= 8
		w.out = append(w.out, byte(w.bits>>w.count))
	}
}

// block writes the rest of a block: the Burrows-Wheeler transform of b, by where each byte is in a list in which it goes to the front then.
func (w *highFirst) block(b []byte) {
	order := rotations(b)
	w.put(uint64(slices.Index(order, 0)), 24)
	list := slices.Compact(slices.Sorted(slices.Values(b)))
	var rows [16]uint64
	var used uint64
	for _, c := range list {
		rows[c>>4] |= 1 << (15 - c&15)
		used |= 1 << (15 - c>>4)
	}
	w.put(used, 16)
	for _, row := range rows {
		if row != 0 {
			w.put(row, 16)
		}
	}

	symbols := make([]int, 0, len(b))
	end, zeros := len(list)+1, 0
	flush := func() { // how many zeros there were, with the digits 1 and 2
		for ; zeros > 0; zeros = (zeros - 1) / 2 {
			symbols = append(symbols, (zeros-1)%2)
		}
	}
	for _, start := range order {
		c := b[(start+len(b)-1)%len(b)]
		i := slices.Index(list, c)
		if i == 0 {
			zeros++
			continue
		}
		flush()
		symbols = append(symbols, i+1)
		copy(list[1:], list[:i])
		list[0] = c
	}
	flush()
	symbols = append(symbols, end)

	// One code, but there have to be two: length bits for the first symbols, one more for the others, so that none is left over.
	length := uint(bits.Len(uint(end))) - 1
	short := 2<<length - (end + 1)
	const groups, group = 2, 50
	selectors := (len(symbols) + group - 1) / group
	w.put(groups, 3)
	w.put(uint64(selectors), 15)
	for range selectors {
		w.put(0, 1)
	}
	for range groups {
		w.put(uint64(length), 5)
		for symbol := range end + 1 {
			if symbol == short {
				w.put(2, 2) // one more from here on
			}
			w.put(0, 1)
		}
	}
	for _, symbol := range symbols {
		if symbol < short {
			w.put(uint64(symbol), length)
		} else {
			w.put(uint64(short+symbol), length+1)
		}
	}
}
