package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"shoal/archive/inflate"
	"shoal/archive/names"
	"shoal/archive/stream"
	"shoal/archive/zip"
)

// maxLink is how long what a symbolic link says may be, in bytes.
const maxLink = 4096

// zipArchive is what is known of a zip archive.
type zipArchive struct {
	*zip.Archive
	links map[int32]string // what they say, by entry
}

// indexZip lists a zip archive, and reads its links.
func (a *Archive) indexZip(ctx context.Context) ([]byte, error) {
	r := readerAt(ctx, a.file)
	list, err := zip.Read(r, a.file.Size(), a.store.opts.Limits.zip())
	if err != nil {
		return nil, err
	}
	z := &zipArchive{list, make(map[int32]string)}
	for i, tried := 0, 0; i < list.Len() && tried < a.store.opts.Limits.Links; i++ {
		e := list.Entry(i)
		if e.Kind != names.Symlink || e.Size <= 0 || e.Size > maxLink {
			continue
		}
		tried++
		f, err := a.openZip(ctx, z, i)
		if err != nil && !Refuses(err) {
			return nil, err
		}
		if err != nil {
			continue
		}
		b := make([]byte, e.Size)
		if n, err := readerAt(ctx, f).ReadAt(b, 0); n < len(b) {
			if !Refuses(err) && !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("read the symbolic link %.80q: %w", e.Name, err)
			}
			continue
		}
		z.links[int32(i)] = string(b)
	}
	return z.encode(), nil
}

// encode puts the list behind its length, and the links behind it.
func (z *zipArchive) encode() []byte {
	list := z.Encode()
	b := binary.AppendUvarint(nil, uint64(len(list)))
	b = append(b, list...)
	for i := range z.Len() {
		if link, ok := z.links[int32(i)]; ok {
			b = binary.AppendUvarint(b, uint64(i))
			b = binary.AppendUvarint(b, uint64(len(link)))
			b = append(b, link...)
		}
	}
	return b
}

// decodeZip is the inverse of encode. The error is zip.ErrIndex.
func decodeZip(b []byte, size int64, o zip.Options) (*zipArchive, error) {
	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return nil, zip.ErrIndex
	}
	list, err := zip.Decode(b[n:n+int(length)], size, o)
	if err != nil {
		return nil, err
	}
	z := &zipArchive{list, make(map[int32]string)}
	for r := bytes.NewReader(b[n+int(length):]); r.Len() > 0; {
		entry, err := binary.ReadUvarint(r)
		if err != nil || entry >= uint64(list.Len()) {
			return nil, zip.ErrIndex
		}
		length, err := binary.ReadUvarint(r)
		if err != nil || length > uint64(r.Len()) {
			return nil, zip.ErrIndex
		}
		link := make([]byte, length)
		_, _ = io.ReadFull(r, link) // there are so many
		z.links[int32(entry)] = string(link)
	}
	return z, nil
}

// zipMembers makes the list of members of what was kept of a zip archive.
func (a *Archive) zipMembers(saved []byte) ([]Member, error) {
	z, err := decodeZip(saved, a.file.Size(), a.store.opts.Limits.zip())
	if err != nil {
		return nil, err
	}
	tree, err := z.Tree(a.store.opts.Names)
	if err != nil {
		return nil, err
	}
	return a.listTree(tree, func(m *Member, node int, entry int) bool {
		e := z.Entry(entry)
		m.Size, m.ModTime, m.Run = e.Size, e.Modified, e.Mode&0o111 != 0
		if e.Kind == names.Symlink {
			to, err := tree.Target(node, []byte(z.links[int32(entry)]))
			m.Link = to
			return err == nil && to != ""
		}
		if !m.Dir {
			m.File = a.store.newLazy(e.Size, func(ctx context.Context) (File, error) { return a.openZip(ctx, z, entry) })
		}
		return true
	}), nil
}

// zipStreams are the methods that can only be decoded from the start.
var zipStreams = map[zip.Method]stream.Method{
	zip.BZIP2: stream.Bzip2,
	zip.LZMA:  stream.ZipLZMA,
	zip.Zstd:  stream.Zstd,
	zip.XZ:    stream.XZ,
}

// openZip returns the data of an entry. It reads its local header.
func (a *Archive) openZip(ctx context.Context, z *zipArchive, entry int) (File, error) {
	off, n, err := z.Data(readerAt(ctx, a.file), entry)
	if err != nil {
		return nil, err
	}
	data, err := newExtents([]extent{{a.file, off, n}})
	if err != nil {
		return nil, err
	}
	e := z.Entry(entry)
	switch method, isStream := zipStreams[e.Method]; {
	case e.Method == zip.Store:
		return data, nil
	case e.Method == zip.Deflate:
		key := a.memberKey(entry) + pointsSuffix
		return &deflated{store: a.store, key: key, source: data, size: e.Size, format: inflate.Raw, level: a.level()}, nil
	case isStream:
		return &spooled{a.store, a.memberKey(entry), e.Size, a.level(), func(ctx context.Context) (io.ReadCloser, error) {
			return a.store.opts.Limits.stream().Open(method, io.NewSectionReader(readerAt(ctx, data), 0, data.Size()), e.Size)
		}}, nil
	default:
		return nil, fmt.Errorf("%w: method %d", ErrUnsupported, e.Method)
	}
}
