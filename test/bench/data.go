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

func makeData(dir string, size int64, entries int) (*data, error) {
	d := &data{export: filepath.Join(dir, "export"), size: size, entries: entries}
	if err := os.MkdirAll(d.folder(), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(d.file())
	if err != nil {
		return nil, err
	}
	// The same in each run, and the same nowhere twice.
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), size)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	for i := range entries {
		if err := os.WriteFile(filepath.Join(d.folder(), entryName(i)), []byte{entryByte(i)}, 0o644); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// entryByte is all that is in a file of the folder.
func entryByte(i int) byte { return binary.LittleEndian.AppendUint32(nil, uint32(i)*2654435761)[3] }
