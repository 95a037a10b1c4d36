package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"

	"shoal/archive/names"
	"shoal/archive/spool"
	"shoal/archive/stream"
	"shoal/archive/tar"
)

// What is kept of a compressed file is how many bytes it decodes to, as a varint, and, if these are a tar archive, the list of that.

// indexCompressed finds out how large what is compressed is, and lists it if it is a tar archive.
func (a *Archive) indexCompressed(ctx context.Context) ([]byte, error) {
	if a.kind == compressedTarKind {
		return a.indexCompressedTar(ctx)
	}
	size, err := a.measure(ctx)
	if err != nil {
		return nil, err
	}
	return binary.AppendUvarint(nil, uint64(size)), nil
}

// indexCompressedTar lists a tar archive while it is decoded, once if that can be.
func (a *Archive) indexCompressedTar(ctx context.Context) ([]byte, error) {
	list, size, err := a.walkDecoded(ctx)
	if err != nil {
		return nil, err
	}
	list.ArchiveSize = size
	return list.Append(binary.AppendUvarint(nil, uint64(size))), nil
}

func (a *Archive) walkDecoded(ctx context.Context) (list *tar.Index, size int64, err error) {
	size, err = a.announced(ctx)
	if errors.Is(err, stream.ErrUnknownSize) {
		list, size, err = a.walkForward(ctx, tar.UnknownSize)
		if err != nil || list.Damage == "" {
			return list, size, err
		}
		// It ends too early: what is said to be behind its end is found when that is known.
		if a.gzip == nil {
			return a.walkForward(ctx, size)
		}
	}
	if err != nil {
		return nil, 0, err
	}
	// What is spooled meanwhile need not be decoded again, if there is room for it.
	list, err = tar.Walk(ctx, readerAt(ctx, a.decoded(size)), size, a.wholeTar())
	if errors.Is(err, spool.ErrNoRoom) {
		return a.walkForward(ctx, size)
	}
	return list, size, err
}

// walkForward lists a tar archive, of a size that may be unknown, while all of it is decoded.
func (a *Archive) walkForward(ctx context.Context, size int64) (*tar.Index, int64, error) {
	var r io.ReaderAt
	var measure func(ctx context.Context) (int64, error)
	if a.gzip != nil {
		r, measure = readerAt(ctx, a.gzip), a.gzip.measure
	} else {
		f, err := a.forward(ctx)
		if err != nil {
			return nil, 0, err
		}
		defer f.Close()
		r, measure = f, f.measure
	}
	list, err := tar.Walk(ctx, r, size, a.wholeTar())
	if err != nil {
		return nil, 0, err
	}
	size, err = measure(ctx)
	return list, size, err
}

// wholeTar are the options of a walk that need not fetch little.
func (a *Archive) wholeTar() tar.Options {
	opts := a.store.opts.Limits.tar()
	opts.Fetch = -1
	return opts
}

// measure returns how many bytes the file decodes to. It decodes all of it, unless the file says.
func (a *Archive) measure(ctx context.Context) (int64, error) {
	if a.gzip != nil {
		return a.gzip.measure(ctx)
	}
	size, err := a.announced(ctx)
	if !errors.Is(err, stream.ErrUnknownSize) {
		return size, err
	}
	f, err := a.forward(ctx)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.measure(ctx)
}

// announced returns how many bytes the file says that it decodes to. The error is stream.ErrUnknownSize if it does not.
func (a *Archive) announced(ctx context.Context) (size int64, err error) {
	r := readerAt(ctx, a.file)
	switch a.codec {
	case xzCodec:
		var x *stream.XZIndex
		if x, err = stream.ReadXZIndex(r, a.file.Size()); err == nil {
			size = x.Size
		}
	case zstdCodec:
		size, err = stream.ZstdSize(ctx, r, a.file.Size(), a.file.Size()+1<<20)
	default:
		err = stream.ErrUnknownSize
	}
	if err == nil {
		err = a.check(size)
	}
	return size, err
}

// check refuses what was made to exhaust those who decode it.
func (a *Archive) check(size int64) error {
	if n := a.file.Size(); a.store.opts.Limits.tooMany(size, n) {
		return fmt.Errorf("%w: %d bytes or more come of %d", ErrLimit, size, n)
	}
	return nil
}

// forward begins to decode the file from its start, when it is its turn.
func (a *Archive) forward(ctx context.Context) (*forward, error) {
	select {
	case a.store.heavy <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to decode: %w", context.Cause(ctx))
	}
	f := &forward{check: a.check, free: func() { <-a.store.heavy }}
	r, err := a.openStream(ctx)
	if err != nil {
		f.free()
		return nil, err
	}
	f.r = r
	return f, nil
}

var streamMethods = map[codec]stream.Method{bzip2Codec: stream.Bzip2, xzCodec: stream.XZ, zstdCodec: stream.Zstd}

func (a *Archive) openStream(ctx context.Context) (io.ReadCloser, error) {
	return a.store.opts.Limits.stream().Open(streamMethods[a.codec], io.NewSectionReader(readerAt(ctx, a.file), 0, a.file.Size()), -1)
}

// decoded returns what the file decodes to, of which the size is known.
func (a *Archive) decoded(size int64) File {
	if a.gzip != nil {
		a.gzip.setSize(size)
		return a.gzip
	}
	whole := &spooled{a.store, a.key + "/whole", size, a.level(), a.openStream}
	if a.codec != xzCodec {
		return whole
	}
	return a.store.newLazy(size, func(ctx context.Context) (File, error) {
		x, err := stream.ReadXZIndex(readerAt(ctx, a.file), a.file.Size())
		if err != nil {
			return nil, err
		}
		if x.Size != size {
			return nil, fmt.Errorf("%w: it decodes to %d bytes, and not to %d", ErrFormat, x.Size, size)
		}
		if len(x.Blocks) < 2 || len(x.Blocks) > maxXZBlocks {
			return whole, nil
		}
		return a.xzBlocks(x)
	})
}

// maxXZBlocks is how many blocks an xz file may have, each of which is decoded for itself. "xz -T0" makes one of 24 MiB.
const maxXZBlocks = 1 << 16

// xzBlocks joins the blocks of an xz file.
func (a *Archive) xzBlocks(x *stream.XZIndex) (File, error) {
	list := make([]extent, len(x.Blocks))
	for i := range list {
		b := &x.Blocks[i]
		f := &spooled{a.store, fmt.Sprintf("%s/block/%d", a.key, i), b.Size, a.level(), func(ctx context.Context) (io.ReadCloser, error) {
			return a.store.opts.Limits.stream().OpenBlock(b, readerAt(ctx, a.file))
		}}
		list[i] = extent{f, 0, b.Size}
	}
	return newExtents(list)
}

// compressedMembers makes the list of members of what was kept of a compressed file.
func (a *Archive) compressedMembers(saved []byte) ([]Member, error) {
	size, n := binary.Uvarint(saved)
	if n <= 0 || size > maxDecoded {
		return nil, errKept
	}
	data := a.decoded(int64(size))
	if a.kind == compressedTarKind {
		return a.tarMembers(data, saved[n:])
	}
	tree, err := names.Build(1, func(int) names.Entry {
		return names.Entry{Name: a.name[:len(a.name)-len(path.Ext(a.name))], Kind: names.File}
	}, a.store.opts.Names)
	if err != nil {
		return nil, err
	}
	return a.listTree(tree, func(m *Member, _, _ int) bool {
		m.File, m.Size = data, int64(size)
		return true
	}), nil
}

// maxDecoded is above every size that can be, in bytes.
const maxDecoded = 1 << 60

// forward reads what is decoded from the start as if it lay somewhere, as long as nobody reads backwards.
type forward struct {
	r     io.ReadCloser
	at    int64 // bytes that were decoded
	check func(decoded int64) error
	free  func()
}

var errBackward = errors.New("read backwards in what is decoded forward")

// ReadAt decodes up to off, and from there.
func (f *forward) ReadAt(p []byte, off int64) (int, error) {
	if off < f.at {
		return 0, fmt.Errorf("%w: at %d, after %d", errBackward, off, f.at)
	}
	if err := f.skip(off - f.at); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(f.r, p)
	f.at += int64(n)
	if err == io.ErrUnexpectedEOF { // that of ReadFull itself
		err = io.EOF
	}
	return n, err
}

// skip decodes n bytes, or all that there are, in steps after which that may be too much.
func (f *forward) skip(n int64) error {
	for n > 0 {
		if err := f.check(f.at); err != nil {
			return err
		}
		got, err := io.CopyN(io.Discard, f.r, min(n, forwardStep))
		f.at += got
		n -= got
		if err != nil {
			return err
		}
	}
	return nil
}

const forwardStep = 1 << 20

// measure decodes the rest, and returns how many bytes all is.
func (f *forward) measure(context.Context) (int64, error) {
	if err := f.skip(maxDecoded); !errors.Is(err, io.EOF) {
		return 0, err
	}
	return f.at, f.check(f.at)
}

func (f *forward) Close() error {
	err := f.r.Close()
	f.free()
	return err
}
