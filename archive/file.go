// Package archive shows what is inside archives without unpacking them: each member is read where it lies.
//
// It knows neither torrents nor NFS. An archive lies in a File, or in several beside each other; a member is a File as well, so that
// archives in archives are read in the same way.
//
// A member is, in this order of preference,
//
//   - extents of the archive (stored in zip, tar or RAR): reading it costs what reading the archive does;
//   - DEFLATE data with checkpoints (package inflate): a read decodes about as much as it returns, once a first pass has gone by;
//   - decoded once from its start into a folder on the disk (package spool).
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
)

// File is what an archive lies in, and what a member is.
type File interface {
	// Size returns the size in bytes.
	Size() int64
	// ReadAt is that of io.ReaderAt. It waits for what is not there yet, as long as ctx lasts.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// Ready says, without waiting, whether n bytes at off, as far as the file has them, can be read at once.
	Ready(off int64, n int) bool
	// Await returns when they can, and keeps them so until release is called, once.
	Await(ctx context.Context, off int64, n int) (release func(), err error)
}

// Located is a File whose bytes are those of another one.
type Located interface {
	File
	// Locate returns where n bytes at off are, if they are all in one place.
	Locate(off int64, n int) (f File, at int64, ok bool)
}

// Holder is a File that says, at once, whether a range of it can be read without waiting for anybody: decoding it may still take a while.
type Holder interface {
	File
	// Holds is about n bytes at off, all of which the file has.
	Holds(off, n int64) bool
}

// holds says whether n bytes at off of a file can be read without waiting for anybody.
func holds(f File, off, n int64) bool {
	if h, ok := f.(Holder); ok {
		return h.Holds(off, n)
	}
	for ; n > 0; off, n = off+holdsStep, n-holdsStep {
		if !f.Ready(off, int(min(n, holdsStep))) {
			return false
		}
	}
	return true
}

const holdsStep = 1 << 30

// Folder finds the files beside an archive: the other volumes of a set.
type Folder interface {
	// File returns the file of a name, if there is one.
	File(name string) (File, bool)
}

// readerAt returns a File as an io.ReaderAt whose reads end when ctx does, and are no work by its clock.
func readerAt(ctx context.Context, f File) io.ReaderAt { return boundFile{ctx, f} }

type boundFile struct {
	ctx  context.Context //nolint:containedctx // io.ReaderAt has no place for one
	file File
}

func (b boundFile) ReadAt(p []byte, off int64) (int, error) {
	clock := workClockOf(b.ctx)
	clock.pause()
	defer clock.goOn()
	return b.file.ReadAt(b.ctx, p, off)
}

// extent is a part of a file, or a hole, which has no file.
type extent struct {
	file   File
	at     int64 // in the file
	length int64
}

// extents is a File made of parts of others.
type extents struct {
	list []extent
	ends []int64 // of each, in this file
}

var (
	_ Located = (*extents)(nil)
	_ Holder  = (*extents)(nil)
)

// newExtents joins parts. The error is ErrFormat if one is not inside its file.
func newExtents(list []extent) (*extents, error) {
	x := &extents{list: list, ends: make([]int64, len(list))}
	var end int64
	for i, e := range list {
		if e.length < 0 || e.file != nil && (e.at < 0 || e.length > e.file.Size()-e.at) {
			return nil, fmt.Errorf("%w: %d bytes at %d are not all there", ErrFormat, e.length, e.at)
		}
		end += e.length
		x.ends[i] = end
	}
	return x, nil
}

func (x *extents) Size() int64 {
	if len(x.ends) == 0 {
		return 0
	}
	return x.ends[len(x.ends)-1]
}

// each calls do for the parts of n bytes at off, as far as there are some, until that fails. at is where a part is in these bytes.
func (x *extents) each(off, n int64, do func(part extent, at int64) error) error {
	if off < 0 {
		return fmt.Errorf("%w: offset %d", fs.ErrInvalid, off)
	}
	start, end := off, min(x.Size(), off+n)
	for k := sort.Search(len(x.ends), func(k int) bool { return x.ends[k] > off }); k < len(x.list) && off < end; k++ {
		part := x.list[k]
		skip := off - (x.ends[k] - part.length)
		part.at += skip
		part.length = min(part.length-skip, end-off)
		if part.length == 0 {
			continue
		}
		if err := do(part, off-start); err != nil {
			return err
		}
		off += part.length
	}
	return nil
}

func (x *extents) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = x.each(off, int64(len(p)), func(part extent, at int64) error {
		into := p[at : at+part.length]
		if part.file == nil {
			clear(into)
			n += len(into)
			return nil
		}
		got, err := part.file.ReadAt(ctx, into, part.at)
		n += got
		if got == len(into) {
			return nil
		}
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (x *extents) Ready(off int64, n int) bool {
	return x.each(off, int64(n), func(part extent, _ int64) error {
		if part.file != nil && !part.file.Ready(part.at, int(part.length)) {
			return errNotReady
		}
		return nil
	}) == nil
}

// Holds says whether all parts are held.
func (x *extents) Holds(off, n int64) bool {
	return x.each(off, n, func(part extent, _ int64) error {
		if part.file != nil && !holds(part.file, part.at, part.length) {
			return errNotReady
		}
		return nil
	}) == nil
}

var errNotReady = errors.New("not ready")

func (x *extents) Await(ctx context.Context, off int64, n int) (release func(), err error) {
	var held []func()
	release = func() {
		for _, r := range held {
			r()
		}
	}
	err = x.each(off, int64(n), func(part extent, _ int64) error {
		if part.file == nil {
			return nil
		}
		r, err := part.file.Await(ctx, part.at, int(part.length))
		if err == nil {
			held = append(held, r)
		}
		return err
	})
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (x *extents) Locate(off int64, n int) (f File, at int64, ok bool) {
	err := x.each(off, int64(n), func(part extent, _ int64) error {
		if part.file == nil || part.length < int64(n) {
			return errNotReady
		}
		f, at = part.file, part.at
		return nil
	})
	if err != nil || f == nil {
		return nil, 0, false
	}
	if inner, isLocated := f.(Located); isLocated {
		return inner.Locate(at, n)
	}
	return f, at, true
}
