//go:build linux

package main

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"shoal/archive/rar/rartest"
	"shoal/test/libtorrent"
)

const (
	manyMembers  = 2000
	manySize     = 2 << 20
	manyPiece    = 4 << 20
	filmSize     = 1 << 30
	filmName     = "film.mkv"
	volumeSize   = 52_000_000
	volumeCount  = 21
	manyLimit    = 2.0 // pieces, to list, and to read a member then
	volumesLimit = 4.0 // pieces, to list and to read in the middle
)

// numbered is endless zeros, but for numbers at each 64 KiB, so that places can be told from each other and it takes little room.
type numbered struct{ zeroReader }

const numberedStep = 64 << 10

func (n numbered) ReadAt(p []byte, off int64) (int, error) {
	_, _ = n.zeroReader.ReadAt(p, off) // never fails
	for at := (off + numberedStep - 1) / numberedStep * numberedStep; at+8 <= off+int64(len(p)); at += numberedStep {
		binary.BigEndian.PutUint64(p[at-off:], uint64(at))
	}
	return len(p), nil
}

// manyZip makes a zip of stored members, which takes little room, and a file with the content of one of them.
func manyZip(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := zip.NewWriter(holes{f})
	for i := range manyMembers {
		h := &zip.FileHeader{
			Name: fmt.Sprintf("folder %d/member %d.bin", i%110, i), Method: zip.Store, CompressedSize64: manySize, UncompressedSize64: manySize,
		} // nobody looks at the CRC
		member, err := w.CreateRaw(h)
		if err == nil {
			_, err = member.Write(binary.BigEndian.AppendUint64(nil, uint64(i)))
		}
		for left := manySize - 8; err == nil && left > 0; left -= min(left, len(zeros)) {
			_, err = member.Write(zeros[:min(left, len(zeros))])
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), f.Close())
}

// counted reads in an archive from an empty cache, and counts the pieces that the seeder sends for each of the tasks.
func (a *archiveBench) counted(path string, tasks ...task) (pieces []float64, err error) {
	src, err := makeSource(path, a.dir, manyPiece)
	if err != nil {
		return nil, err
	}
	seeds, err := libtorrent.Start(libtorrent.LargeBuffers, seederPort, loopback)
	if err != nil {
		return nil, err
	}
	defer seeds.End()
	if err := seed(seeds, src, filepath.Dir(path)); err != nil {
		return nil, err
	}
	home, remove, err := a.home()
	if err != nil {
		return nil, err
	}
	defer remove()
	p, err := runShoal(a.setup, home, "SHOAL_BT_PEERS="+seederAddr)
	if err != nil {
		return nil, err
	}
	defer p.end()
	if _, err := upload(src.content); err != nil {
		return nil, err
	}
	var before int64
	for _, t := range tasks {
		o, err := a.ask(&server{p, shoalTarget(p)}, t)
		if err == nil && o.Ops == 0 {
			err = errors.New("there is nothing in " + t.Name)
		}
		if err != nil {
			return nil, err
		}
		after, err := seeds.Uploaded(src.infohash)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, float64(after-before)/manyPiece)
		before = after
	}
	return pieces, nil
}

// manyMembers counts the pieces that a large zip of many members takes.
func (a *archiveBench) manyMembers() error {
	path := filepath.Join(a.dir, "many.zip")
	if err := manyZip(path); err != nil {
		return err
	}
	const n = 1234
	content := filepath.Join(a.dir, "member")
	if err := os.WriteFile(content, append(binary.BigEndian.AppendUint64(nil, n), make([]byte, manySize-8)...), 0o644); err != nil {
		return err
	}
	pieces, err := a.counted(path,
		task{Workload: namesWorkload.name, Name: "many.zip", Page: maxPage},
		task{
			Workload: placesWorkload.name, Name: fmt.Sprintf("many.zip/folder %d/member %d.bin", n%110, n), File: content, Size: manySize,
			Places: places{Offsets: []int64{0}, Length: archiveRead, InFlight: 1},
		})
	if err != nil {
		return err
	}
	for i, what := range []string{"list it", "read in a member then"} {
		a.verdict(pieces[i] <= manyLimit, "archive: a zip of %d members, 4 GiB, pieces of 4 MiB: %.2f pieces to %s, has to be ≤ %.0f",
			manyMembers, pieces[i], what, manyLimit)
	}
	return os.Remove(path)
}

// volumes counts the pieces that a film in many volumes takes.
func (a *archiveBench) volumes() error {
	volumes, err := rartest.Write(rartest.Options{Format: 5, VolumeSize: volumeSize},
		rartest.File{Name: filmName, Data: numbered{}, Size: filmSize, ModTime: rartest.Time})
	if err == nil && len(volumes) != volumeCount {
		err = fmt.Errorf("there are %d volumes", len(volumes))
	}
	if err != nil {
		return err
	}
	dir := filepath.Join(a.dir, "film")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i, v := range volumes {
		if err := writeHoles(filepath.Join(dir, fmt.Sprintf("film.part%02d.rar", i+1)), v, v.Size()); err != nil {
			return err
		}
	}
	content := filepath.Join(a.dir, filmName)
	if err := writeHoles(content, numbered{}, filmSize); err != nil {
		return err
	}
	const folder = "film/film.part01.rar"
	pieces, err := a.counted(dir,
		task{Workload: namesWorkload.name, Name: folder, Page: maxPage},
		task{
			Workload: placesWorkload.name, Name: folder + "/" + filmName, File: content, Size: filmSize,
			Places: places{Offsets: []int64{filmSize / 2}, Length: archiveRead, InFlight: 1},
		})
	if err != nil {
		return err
	}
	a.verdict(pieces[0]+pieces[1] <= volumesLimit, "archive: %d volumes of RAR, pieces of 4 MiB: %.2f pieces to list them and %.2f to read in the middle, have to be ≤ %.0f",
		volumeCount, pieces[0], pieces[1], volumesLimit)
	return os.RemoveAll(dir)
}

// writeHoles makes a file whose zeros take no room.
func writeHoles(path string, r io.ReaderAt, n int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 32<<10)
	for at := int64(0); at < n; at += int64(len(b)) {
		part := b[:min(int64(len(b)), n-at)]
		if _, err := r.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := (holes{f}).Write(part); err != nil {
			return err
		}
	}
	return errors.Join(f.Truncate(n), f.Close())
}
