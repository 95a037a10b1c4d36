//go:build linux

package main

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"

	"github.com/klauspost/compress/flate"
)

const (
	words      = 8_000
	deflateUse = 6 // the level that zip(1) has by itself
)

// prose writes words of a language that nobody speaks, the frequent ones as frequent as in any other (Zipf's law): DEFLATE makes about
// a third of it, in dynamic blocks, as of most that is worth it. The same seed gives the same text.
type prose struct {
	random *rand.ChaCha8
	words  [][]byte
	rank   [1 << 16]uint16 // of the word for 16 random bits
}

func newProse(seed byte) *prose {
	p := &prose{random: rand.NewChaCha8([32]byte{seed})}
	r := rand.New(p.random)
	const letters = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwffggyyppbbvk"
	for range words {
		word := make([]byte, 1+r.IntN(6)+r.IntN(6))
		for i := range word {
			word[i] = letters[r.IntN(len(letters))]
		}
		p.words = append(p.words, append(word, " "[0]))
	}
	for i := range p.rank {
		p.rank[i] = uint16(math.Pow(words, float64(i)/float64(len(p.rank)))) - 1
	}
	return p
}

// write writes so many bytes.
func (p *prose) write(w io.Writer, n int64) error {
	b := make([]byte, 0, 64<<10)
	for n > 0 {
		for b = b[:0]; len(b) < cap(b)-64; {
			for bits, i := p.random.Uint64(), 0; i < 4; bits, i = bits>>16, i+1 {
				b = append(b, p.words[p.rank[bits&0xffff]]...)
			}
		}
		part := b[:min(n, int64(len(b)))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		n -= int64(len(part))
	}
	return nil
}

// writeText makes a file of so many bytes.
func writeText(path string, seed byte, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(newProse(seed).write(f, n), f.Close())
}

// writeZip makes a zip of files, by their names in it and their paths.
func writeZip(path string, files ...[2]string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := bufio.NewWriterSize(f, 1<<20)
	z := zip.NewWriter(b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, deflateUse) })
	for _, file := range files {
		h := &zip.FileHeader{Name: file[0], Method: zip.Deflate}
		h.SetMode(0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if err := copyFile(w, file[1]); err != nil {
			return fmt.Errorf("compress %s: %w", file[0], err)
		}
	}
	return errors.Join(z.Close(), b.Flush(), f.Close())
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// holes writes to a file, and leaves out what is only zeros.
type holes struct{ *os.File }

var zeros [256 << 10]byte

func (h holes) Write(b []byte) (int, error) {
	if len(b) <= len(zeros) && string(b) == string(zeros[:len(b)]) {
		_, err := h.Seek(int64(len(b)), io.SeekCurrent)
		return len(b), err
	}
	return h.File.Write(b)
}

// zeroReader is as many zeros as anybody wants.
type zeroReader struct{}

func (zeroReader) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}
