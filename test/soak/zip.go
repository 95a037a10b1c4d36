//go:build linux

package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// members are of each archive that is read: read where they lie, by checkpoints, and through the spool.
var members = []struct {
	name   string
	method uint16
}{
	{"stored.bin", zip.Store}, {"deflated.txt", zip.Deflate}, {"zstd.txt", zstd.ZipMethodWinZip},
}

// makeZip makes a zip archive of members of some size together before they are compressed. What is in them stays below dir.
func makeZip(path, dir string, size int64, seed byte) (files []file, err error) {
	out, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := zip.NewWriter(out)
	w.RegisterCompressor(zstd.ZipMethodWinZip, zstd.ZipCompressor())
	for i, m := range members {
		f := file{path: []string{filepath.Base(path), m.name}, size: size/int64(len(members)) - 12345*int64(i+1)}
		fill := makeFile
		if m.method != zip.Store {
			fill = makeText
		}
		if f.original, err = fill(filepath.Join(dir, m.name), f.size, seed, byte(i)); err != nil {
			return nil, err
		}
		member, err := w.CreateHeader(&zip.FileHeader{Name: m.name, Method: m.method})
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(member, io.NewSectionReader(f.original, 0, f.size)); err != nil {
			return nil, fmt.Errorf("write %s into %s: %w", m.name, path, err)
		}
		files = append(files, f)
	}
	return files, w.Close()
}

// makeText makes a file that is half as long when it is compressed: of 16 letters, by chance.
func makeText(path string, size int64, seed ...byte) (*os.File, error) {
	var key [32]byte
	copy(key[:], seed)
	random := rand.NewChaCha8(key)
	return writeFile(path, io.LimitReader(letters{random}, size))
}

// letters makes letters of what is random.
type letters struct{ random io.Reader }

func (l letters) Read(b []byte) (int, error) {
	n, err := l.random.Read(b)
	for i := range b[:n] {
		b[i] = 'a' + b[i]%16
	}
	return n, err
}
