package inflate

import (
	"math/bits"
	"math/rand/v2"

	"shoal/archive/archivetest"
)

// generator writes DEFLATE data (RFC 1951) of all kinds of blocks, and what comes of it.
type generator struct {
	archivetest.BitWriter
	random *rand.Rand
	plain  []byte
}

// code is a Huffman code: the length of each symbol's, in bits, and the bits in the order they are written.
type code struct {
	lengths []uint
	bits    []uint64
}

// newCode makes the code of RFC 1951, 3.2.2.
func newCode(lengths []uint) code {
	c := code{lengths: lengths, bits: make([]uint64, len(lengths))}
	next := uint64(0)
	for length := uint(1); length <= 15; length++ {
		for symbol, l := range lengths {
			if l == length {
				c.bits[symbol] = bits.Reverse64(next) >> (64 - length)
				next++
			}
		}
		next <<= 1
	}
	return c
}

func (g *generator) symbol(c code, symbol int) { g.Put(c.bits[symbol], c.lengths[symbol]) }

// fixedCodes are those of RFC 1951, 3.2.6.
func fixedCodes() (literals, distances code) {
	lengths := make([]uint, 288)
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	even := make([]uint, 32)
	for i := range even {
		even[i] = 5
	}
	return newCode(lengths), newCode(even)
}

// randomLengths gives n symbols codes by splitting codes at random until there are enough.
func (g *generator) randomLengths(n int) []uint {
	lengths := []uint{1, 1}
	for len(lengths) < n {
		if i := g.random.IntN(len(lengths)); lengths[i] < 14 {
			lengths[i]++
			lengths = append(lengths, lengths[i])
		}
	}
	g.random.Shuffle(n, func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
	return lengths
}

// begin begins a block of a type.
func (g *generator) begin(isFinal bool, kind uint64) {
	g.Put(uint64(flag(isFinal)), 1)
	g.Put(kind, 2)
}

func (g *generator) stored(content []byte, isFinal bool) {
	g.begin(isFinal, 0)
	g.Align()
	g.Put(uint64(len(content)), 16)
	g.Put(uint64(^uint16(len(content))), 16)
	g.Out = append(g.Out, content...)
	g.plain = append(g.plain, content...)
}

// compressed writes a block with as many bytes, about.
func (g *generator) compressed(length int, isFinal, dynamic bool) {
	literals, distances := fixedCodes()
	if dynamic {
		literals, distances = newCode(g.randomLengths(286)), newCode(g.randomLengths(30))
		g.begin(isFinal, 2)
		g.Put(286-257, 5)
		g.Put(30-1, 5)
		g.Put(19-4, 4)
		for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
			if symbol < 16 {
				g.Put(4, 3)
			} else {
				g.Put(0, 3)
			}
		}
		for _, l := range append(append([]uint{}, literals.lengths...), distances.lengths...) {
			g.Put(bits.Reverse64(uint64(l))>>60, 4)
		}
	} else {
		g.begin(isFinal, 1)
	}
	for end := len(g.plain) + length; len(g.plain) < end; {
		if len(g.plain) < 10 || g.random.IntN(4) == 0 {
			b := byte(g.random.Uint32())
			g.symbol(literals, int(b))
			g.plain = append(g.plain, b)
			continue
		}
		g.match(literals, distances)
	}
	g.symbol(literals, 256)
}

// match writes a match, of a random distance as far as possible.
func (g *generator) match(literals, distances code) {
	symbol := g.random.IntN(29)
	length, extra := 258, uint(0)
	if symbol < 28 {
		length, extra = lengthOf(symbol)
	}
	more := g.random.IntN(1 << extra)
	if symbol == 27 && more == 31 { // 258 has a symbol of its own
		more = 0
	}
	length += more
	g.symbol(literals, 257+symbol)
	g.Put(uint64(more), extra)

	for {
		symbol := g.random.IntN(30)
		distance, extra := distanceOf(symbol)
		more := g.random.IntN(1 << extra)
		if distance += more; distance > len(g.plain) {
			continue
		}
		g.symbol(distances, symbol)
		g.Put(uint64(more), extra)
		for range length {
			g.plain = append(g.plain, g.plain[len(g.plain)-distance])
		}
		return
	}
}

// lengthOf returns the shortest length of a symbol, counted from 257, but the last, and how many bits are added (RFC 1951, 3.2.5).
func lengthOf(symbol int) (length int, extra uint) {
	if symbol < 8 {
		return 3 + symbol, 0
	}
	extra = uint(symbol/4 - 1)
	return 3 + (4+symbol%4)<<extra, extra
}

// distanceOf is lengthOf for distances.
func distanceOf(symbol int) (distance int, extra uint) {
	if symbol < 4 {
		return 1 + symbol, 0
	}
	extra = uint(symbol/2 - 1)
	return 1 + (2+symbol%2)<<extra, extra
}

// generate makes blocks of all kinds with size bytes, about.
func generate(seed uint64, size int) (plain, compressed []byte) {
	g := &generator{random: rand.New(rand.NewPCG(seed, 7))}
	for len(g.plain) < size {
		g.block(false)
	}
	g.block(true)
	g.Align()
	return g.plain, g.Out
}

func (g *generator) block(isFinal bool) {
	length := g.random.IntN(1 << (1 + g.random.IntN(14)))
	switch g.random.IntN(6) {
	case 0:
		content := make([]byte, length)
		for i := range content {
			content[i] = byte(g.random.Uint32())
		}
		g.stored(content, isFinal)
	case 1: // a flush
		g.stored(nil, isFinal)
	case 2, 3:
		g.compressed(length, isFinal, false)
	default:
		g.compressed(length, isFinal, true)
	}
}
