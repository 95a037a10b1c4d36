//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// The names that both servers show, below what each of them calls the top.
const (
	fileName   = "large.bin"
	folderName = "many"
)

// entryName is the name of a file in the folder: 38 characters, like those of a series.
func entryName(i int) string { return fmt.Sprintf("A.Series.S%02dE%06d.1080p.WEB.x264.mkv", i%7+1, i) }

// data is what both servers serve.
type data struct {
	export  string // folder with the file and the folder, for ganesha
	size    int64
	entries int
}

func (d *data) file() string   { return filepath.Join(d.export, fileName) }
func (d *data) folder() string { return filepath.Join(d.export, folderName) }

// makeData makes the large file, and an empty folder beside it.
func makeData(dir string, size int64) (*data, error) {
	d := &data{export: filepath.Join(dir, "export"), size: size}
	if err := os.MkdirAll(d.folder(), 0o755); err != nil {
		return nil, err
	}
	return d, writeRandom(d.file(), size, 1)
}

// writeRandom makes a file whose content is the same in each run, the same nowhere twice, and another
// with each number.
func writeRandom(path string, size int64, number byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{number}), size)
	return errors.Join(err, f.Close())
}

// fill puts files into the folder.
func (d *data) fill(entries int) error {
	for i := range entries {
		if err := os.WriteFile(filepath.Join(d.folder(), entryName(i)), []byte{entryByte(i)}, 0o644); err != nil {
			return err
		}
	}
	d.entries = entries
	return nil
}

// entryByte is all that is in a file of the folder.
func entryByte(i int) byte { return binary.LittleEndian.AppendUint32(nil, uint32(i)*2654435761)[3] }
