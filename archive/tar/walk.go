package tar

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// maxSpecial is how long the data of a header may be that only describe another one, in bytes: the limit of Go's archive/tar.
const maxSpecial = 1 << 20

// maxAllExtents is how many extents all members with holes may have together: 16 MiB of memory.
const maxAllExtents = 1 << 20

// walker goes from header to header.
type walker struct {
	o       Options
	in      window
	index   *Index
	headers int   // that were valid
	dropped int   // entries
	names   int64 // bytes
	extents int   // of members with holes

	// What special headers said about the next one.
	records           paxRecords
	longName, longLnk string
}

func (w *walker) walk(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := w.index.Next
		if at == w.in.size && w.headers > 0 {
			return nil
		}
		var b block
		if err := w.in.read(b[:], at); err != nil {
			return err
		}
		if b.isZero() { // two such end an archive; GNU tar, too, ends at one
			return nil
		}
		h, err := b.parse()
		if err != nil {
			return err
		}
		w.headers++
		if err := w.entry(&h, &b, at+blockSize); err != nil {
			return err
		}
	}
}

// entry deals with a header whose data are at an offset.
func (w *walker) entry(h *header, b *block, data int64) error {
	switch h.kind {
	case typePAX, typeGNUName, typeGNULink:
		s, err := w.special(h, data)
		if err != nil {
			return err
		}
		switch h.kind {
		case typePAX:
			w.records, err = parsePAX(s)
		case typeGNUName:
			w.longName = cString([]byte(s))
		case typeGNULink:
			w.longLnk = cString([]byte(s))
		}
		if err != nil {
			return err
		}
		return w.skip(h, data)
	case typePAXGlobal: // nothing in it is about names, sizes or times of members
		return w.skip(h, data)
	}
	if err := w.describe(h); err != nil {
		return err
	}
	extents, data, err := w.locate(h, b, data)
	w.records, w.longName, w.longLnk = nil, "", ""
	if err != nil && !errors.Is(err, errSparse) {
		return err
	}
	if err2 := w.skip(h, data); err2 != nil { // its data are not all there
		return err2
	}
	if err != nil {
		return w.drop(&w.index.Dropped.Sparse)
	}
	return w.keep(h, extents)
}

// describe puts what special headers said into the header that they were about.
func (w *walker) describe(h *header) error {
	if err := w.records.apply(h); err != nil {
		return err
	}
	if w.longName != "" {
		h.name = w.longName
	}
	if w.longLnk != "" {
		h.link = w.longLnk
	}
	if h.kind == typeFileOld {
		h.kind = typeFile
		if strings.HasSuffix(h.name, "/") { // version 7 has no other way of saying so
			h.kind = typeDir
		}
	}
	if hasNoData(h.kind) {
		h.stored, h.size = 0, 0
	}
	return nil
}

// special reads the data of a header that describes another one.
func (w *walker) special(h *header, data int64) (string, error) {
	if h.stored > maxSpecial {
		return "", damageError(fmt.Sprintf("an extended header is %d bytes long", h.stored))
	}
	if h.stored > w.in.size-data {
		return "", damageError("the archive ends within an extended header")
	}
	p := make([]byte, h.stored)
	err := w.in.read(p, data)
	return string(p), err
}

// locate says where the data are, and where in the archive they start. errSparse is what says that the data can't be found.
func (w *walker) locate(h *header, b *block, data int64) ([]Extent, int64, error) {
	switch h.kind {
	case typeGNUSparse:
		m, data, err := w.oldGNUSparse(h, b, data)
		if err != nil {
			return nil, data, err
		}
		x, err := w.sparse(&m, h, data, h.stored)
		return x, data, err
	case typeFile, typeContiguous:
		m, found, taken, err := w.paxSparseFile(h, w.records, data)
		if err != nil {
			return nil, data, err
		}
		if found {
			x, err := w.sparse(&m, h, data+taken, h.stored-taken)
			return x, data, err
		}
		if h.size > 0 {
			return []Extent{{data, h.size}}, data, nil
		}
	}
	return nil, data, nil
}

func (w *walker) sparse(m *sparseMap, h *header, off, stored int64) ([]Extent, error) {
	x, err := m.extents(off, stored, h.size)
	if w.extents += len(x); w.extents > maxAllExtents {
		return nil, fmt.Errorf("%w: over %d runs of data in members with holes", ErrLimit, maxAllExtents)
	}
	return x, err
}

// skip moves behind the data of a header, which are padded to whole blocks. The padding of the last ones may be missing.
func (w *walker) skip(h *header, data int64) error {
	if data > w.in.size || h.stored > w.in.size-data {
		return damageError(fmt.Sprintf("the archive ends at %d, within the data of %.200q", w.in.size, h.name))
	}
	w.index.Next = min(w.in.size, (data+h.stored+blockSize-1)/blockSize*blockSize)
	return nil
}

// drop counts an entry that is not listed.
func (w *walker) drop(count *int) error {
	*count++
	w.dropped++
	return w.count()
}

func (w *walker) count() error {
	if w.dropped+len(w.index.Members) > w.o.Entries {
		return fmt.Errorf("%w: over %d entries", ErrLimit, w.o.Entries)
	}
	return nil
}

// keep lists a member.
func (w *walker) keep(h *header, extents []Extent) error {
	m := Member{Name: h.name, Mode: h.mode, ModTime: time.Unix(h.mtime, h.nsec).UTC(), Size: h.size, Extents: extents, Target: -1}
	switch h.kind {
	case typeFile, typeContiguous, typeGNUSparse:
		m.Type = File
	case typeDir, typeGNUDir:
		m.Type, m.Size = Dir, 0
	case typeSymlink:
		m.Type, m.Link, m.Size = Symlink, h.link, int64(len(h.link))
	case typeHardLink:
		m.Type, m.Link = HardLink, h.link
	default:
		return w.drop(&w.index.Dropped.Special)
	}
	if !w.o.nameOK(m.Name, m.Type == Dir) || len(m.Link) > w.o.Path || strings.ContainsRune(m.Link, 0) {
		return w.drop(&w.index.Dropped.Names)
	}
	if m.Size > w.o.MemberSize {
		return w.drop(&w.index.Dropped.Sizes)
	}
	if w.names += int64(len(m.Name) + len(m.Link)); w.names > w.o.NameBytes {
		return fmt.Errorf("%w: over %d bytes of names", ErrLimit, w.o.NameBytes)
	}
	w.index.Members = append(w.index.Members, m)
	return w.count()
}

// nameOK says whether a name stays inside the archive and within the limits. Only a folder may be the archive's root.
func (o *Options) nameOK(name string, isDir bool) bool {
	if len(name) > o.Path || strings.ContainsRune(name, 0) {
		return false
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == ".." || len(part) > o.Component:
			return false
		}
		depth++
	}
	return depth <= o.Depth && (depth > 0 || isDir && name != "")
}

// resolveLinks gives hard links the data of what they name: the last member before them of that name, as extracting would.
func (x *Index) resolveLinks() {
	linked := false
	for i := range x.Members {
		linked = linked || x.Members[i].Type == HardLink
	}
	if !linked {
		return
	}
	byName := make(map[string]int, len(x.Members))
	for i := range x.Members {
		m := &x.Members[i]
		if m.Type == HardLink {
			if t, ok := byName[path.Clean("/"+m.Link)]; ok && x.Members[t].Type == File {
				m.link(t, &x.Members[t])
			}
		}
		here := i
		if m.Target >= 0 { // a link to a link is one to the file
			here = m.Target
		}
		byName[path.Clean("/"+m.Name)] = here
	}
}

// link makes a hard link the same file as a member.
func (m *Member) link(ordinal int, target *Member) {
	m.Target, m.Size, m.Extents, m.Mode, m.ModTime = ordinal, target.Size, target.Extents, target.Mode, target.ModTime
}
