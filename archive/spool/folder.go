package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A file in the folder is named by the member's key, and a number of its own, so that a new one and one that is being removed don't meet.
// Of the key there are SHA-256 sums, in hexadecimal digits: 16 of that of its first element, 16 of that of its first two, and 32 of that of
// all. While the member is decoded, its name ends in partSuffix. When all is there, sums and a
// trailer are added, the file is synced, and gets doneSuffix.
//
//	data      of the member
//	sums      the CRC-32C of each sumLength bytes of the data, and of the rest, 4 bytes each, little-endian
//	trailer   "shoalsp2", the size of the data (8 bytes), the CRC-32C of the name's hash and both of these, little-endian
const (
	partSuffix = ".part"
	doneSuffix = ".done"

	hashDigits  = 64
	groupDigits = 16
	magic       = "shoalsp2"
	trailerSize = int64(len(magic) + 8 + 4)
)

// nameOf returns what the name of a member's file begins with.
func nameOf(key string) string {
	parts := strings.SplitN(key, "/", 3)
	second := strings.Join(parts[:min(len(parts), 2)], "/")
	return digest(parts[0], groupDigits) + digest(second, groupDigits) + digest(key, hashDigits-2*groupDigits)
}

// prefixOf returns what the names begin with of all members below a folder of one or two elements.
func prefixOf(folder string) string {
	top, _, isSecond := strings.Cut(folder, "/")
	if !isSecond {
		return digest(top, groupDigits)
	}
	return digest(top, groupDigits) + digest(folder, groupDigits)
}

// digest returns the first digits of a SHA-256 sum.
func digest(of string, digits int) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:])[:digits]
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func trailer(hash string, size int64) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(magic), uint64(size))
	sum := crc32.Update(crc32.Checksum([]byte(hash), castagnoli), castagnoli, b)
	return binary.LittleEndian.AppendUint32(b, sum)
}

// finish marks the file as whole, durably.
func (d *decoding) finish(f *os.File) error {
	e, s := d.e, d.e.s
	if err := d.occupy(fileSize(e.size)); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(d.sums.end(), trailer(e.hash, e.size)...), e.size); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	path := strings.TrimSuffix(f.Name(), partSuffix) + doneSuffix
	s.mu.Lock()
	if e.path != f.Name() { // it was lost
		s.mu.Unlock()
		return d.ctx.Err()
	}
	e.renaming = true
	s.mu.Unlock()
	err := os.Rename(f.Name(), path)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.renaming = false
	if err == nil {
		e.path, e.finished, e.checked = path, true, nil
	}
	return err
}

// scan takes in what is in the folder. Names that are not of this package are left alone.
func (s *Spool) scan() error {
	if err := os.MkdirAll(s.o.Dir, 0o755); err != nil {
		return err
	}
	files, err := os.ReadDir(s.o.Dir)
	if err != nil {
		return err
	}
	type found struct {
		e    *entry
		when time.Time
	}
	var all []found
	for _, f := range files {
		hash, rest, ok := strings.Cut(f.Name(), "-")
		if _, err := hex.DecodeString(hash); !ok || err != nil || len(hash) != hashDigits || !f.Type().IsRegular() {
			continue
		}
		path := filepath.Join(s.o.Dir, f.Name())
		size, when, ok := int64(0), time.Time{}, false
		if strings.HasSuffix(rest, doneSuffix) {
			size, when, ok = readTrailer(path, hash)
		} else if !strings.HasSuffix(rest, partSuffix) {
			continue
		}
		if ok && s.entries[hash] == nil {
			e := &entry{s: s, hash: hash, size: size, path: path, reserved: true, done: size, finished: true, taken: blocks(fileSize(size))}
			s.entries[hash] = e
			s.used += fileSize(size)
			if s.o.Room != nil {
				s.o.Room.Add(e.taken)
			}
			all = append(all, found{e, when})
			continue
		}
		if err := remove(path); err != nil {
			return err
		}
	}
	slices.SortFunc(all, func(a, b found) int { return a.when.Compare(b.when) })
	for _, f := range all {
		f.e.touch()
		f.e.usedAt = f.when
	}
	return nil
}

// readTrailer says whether the file is whole, and how much data it has.
func readTrailer(path, hash string) (size int64, when time.Time, ok bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, when, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() < trailerSize {
		return 0, when, false
	}
	b := make([]byte, trailerSize)
	if _, err := f.ReadAt(b, info.Size()-trailerSize); err != nil {
		return 0, when, false
	}
	claim := binary.LittleEndian.Uint64(b[len(magic):])
	if claim > maxSize || fileSize(int64(claim)) != info.Size() || string(b) != string(trailer(hash, int64(claim))) {
		return 0, when, false
	}
	return int64(claim), info.ModTime(), true
}

// remove removes a file, if it is there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
